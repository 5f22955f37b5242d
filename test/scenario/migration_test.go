package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden/test/load"
	"doppelboden/test/peer"
)

const (
	migrants = 2000 // mailboxes that move
	pilots   = 40   // of these, the first ones get their mail at both places
	waves    = 4
)

// TestTwoThousandMailboxesMoveToAnotherDovecotAndBackUnderLoad moves a city in waves while
// mail comes in, with a pilot group that gets its mail at both places, lets the new
// groupware fail in the middle, takes a wave back, goes on, and in the end takes everything
// back. Every mail lies in one of the two, once; those of the pilot group in both, once.
//
// It was shown to find its faults: when boxes stay in their lane after a move, 124 mails
// still wait for the groupware that is down, 30 s after their wave was taken back; when a
// box does not wait for what it has in flight, mails lie in both; and without uncross, those
// of pilots that waited while their two routes changed places lie twice in one and never in
// the other.
func TestTwoThousandMailboxesMoveToAnotherDovecotAndBackUnderLoad(t *testing.T) {
	peer.Need(t, "doveadm")
	all := users(migrants)
	// Nobody is on vacation: on a busy machine a Dovecot that answers senders is slower than
	// the mail that comes.
	old := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: all, Quiet: true})
	next := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: all, Quiet: true})
	c := found(t, "", "lmtp://"+old.Addr(), migrants)
	m := &migration{city: c, acked: &ackedMails{records: map[string]load.Record{}}}
	m.secondRoute("lmtp://" + next.Addr())
	m.move(all[:pilots], "--also", "new") // before the first mail, until after the last

	stop := m.send(t, all)
	for i := range waves {
		m.move(m.wave(i), "--to", "new")
		if i == 0 {
			m.move(all[:pilots], "--to", "new", "--also", "old")
		}
		if i == 1 {
			next = m.outage(next)
		}
	}
	m.await(200)
	m.probe(next, old, all[pilots:pilots+20])
	for i := range waves {
		m.move(m.wave(i), "--to", "old")
		if i == 0 {
			m.move(all[:pilots], "--to", "old", "--also", "new")
		}
	}
	m.await(200)
	m.probe(old, next, all[pilots:pilots+20])
	stop()
	b := c.settled(2 * time.Minute)
	m.check(old, next)
	if b.Difference != 0 || b.Queued != 0 || b.Held != 0 || b.Discarded != 0 {
		t.Errorf("balance %+v, want all delivered and no difference", b)
	}
	t.Logf("%d mails; slowest move of %d mailboxes: %v; slowest answer to a final dot: %v; balance %+v",
		m.acked.count(), migrants/waves, m.slowest.Round(time.Millisecond), m.latency().Round(time.Millisecond), b)
}

// A migration is a city whose mailboxes move.
type migration struct {
	*city
	acked   *ackedMails
	slowest time.Duration // of the moves
}

// secondRoute gives the city another groupware.
func (m *migration) secondRoute(host string) {
	m.t.Helper()
	m.edit("city.toml", `name = "groupware"`, `name = "old"`)
	m.edit("city.toml", "[[tenant.route]]", "default_route = \"old\"\n\n[[tenant.route]]")
	path := filepath.Join(m.dir, "city.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	text = append(text, "\n[[tenant.route]]\nname = \"new\"\nhosts = [\""+host+"\"]\n"...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		m.t.Fatal(err)
	}
	out, code := m.run("config", "apply", path)
	if code != 1 || !strings.Contains(out, fmt.Sprintf("--yes %d", migrants)) {
		m.t.Fatalf("a configuration that renames the way of %d mailboxes: exit code %d, want 1 and that it asks\n%s", migrants, code, out)
	}
	m.must("config", "apply", path, "--yes", fmt.Sprint(migrants))
}

// wave returns the mailboxes of one wave, without the pilot group.
func (m *migration) wave(i int) []string {
	size := (migrants - pilots) / waves
	return users(migrants)[pilots+i*size:][:size]
}

// move moves mailboxes and lets some mail come in afterwards.
func (m *migration) move(boxes []string, to ...string) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "wave.csv")
	if err := os.WriteFile(file, []byte("address\n"+strings.Join(boxes, "\n")+"\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	began := time.Now()
	out := m.must(append([]string{"route", "move", "--json", "--file", file, "--yes", fmt.Sprint(len(boxes))}, to...)...)
	if len(boxes) > pilots {
		m.slowest = max(m.slowest, time.Since(began))
	}
	var moved struct{ Mailboxes int }
	if err := json.Unmarshal([]byte(out), &moved); err != nil || moved.Mailboxes != len(boxes) {
		m.t.Fatalf("%d mailboxes were moved (%v), want %d: %s", moved.Mailboxes, err, len(boxes), out)
	}
	if m.acked.count() > 0 {
		m.await(60)
	}
}

// await waits until some more mails were acknowledged.
func (m *migration) await(more int) {
	m.t.Helper()
	m.acked.await(m.t, m.acked.count()+more)
}

// outage ends the new groupware, takes a wave back and lets the pilots' routes change
// places twice while mail waits, and starts it again.
func (m *migration) outage(next *peer.DovecotServer) *peer.DovecotServer {
	m.t.Helper()
	resting, err := next.Halt()
	if err != nil {
		m.t.Fatal(err)
	}
	m.await(300)
	if b := m.balance(); b.Queued == 0 {
		m.t.Errorf("the new groupware is down and nothing waits for it: %+v", b)
	}
	m.move(m.wave(1), "--to", "old")
	m.drained(m.wave(1))
	m.move(users(pilots), "--to", "old", "--also", "new")
	m.await(100)
	m.move(users(pilots), "--to", "new", "--also", "old")
	next = peer.For[*peer.DovecotServer](m.t, resting)
	m.move(m.wave(1), "--to", "new")
	return next
}

// drained waits until what had been waiting for mailboxes is handed over.
func (m *migration) drained(boxes []string) {
	m.t.Helper()
	mine := map[string]bool{}
	for _, b := range boxes {
		mine[b] = true
	}
	before := time.Now()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		waiting := 0
		for line := range strings.Lines(m.must("queue", "list", "--json")) {
			var w struct {
				Recipient string
				Received  time.Time
			}
			if err := json.Unmarshal([]byte(line), &w); err != nil {
				m.t.Fatal(err)
			}
			if mine[w.Recipient] && w.Received.Before(before) {
				waiting++
			}
		}
		if waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("two minutes after a wave was taken back %d mails for it still wait for the groupware that is down", waiting)
		}
		time.Sleep(100 * time.Millisecond) // the command is a poll by its nature
	}
}

// everySome is the pace of the load: 200 mails a second are more than most cities get.
const everySome = 5 * time.Millisecond

// letters is a source of small mails for mailboxes drawn by lot; one in ten is for a pilot,
// one in twenty for several.
type letters struct {
	to   []string
	pace <-chan time.Time
}

func (l letters) Mail(n int) *load.Mail {
	<-l.pace
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	to := []string{l.to[rng.IntN(len(l.to))]}
	switch {
	case n%10 == 0:
		to[0] = l.to[rng.IntN(pilots)]
	case n%20 == 1:
		to = append(to, l.to[rng.IntN(pilots)], l.to[rng.IntN(len(l.to))])
	}
	return load.NewMail(fmt.Sprintf("m-%d", n), "a@fremd.example", to, []byte("Subject: move\r\n\r\nhello\r\n"))
}

// send begins to send and returns what ends it.
func (m *migration) send(t *testing.T, to []string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ticker := time.NewTicker(everySome)
	var running sync.WaitGroup
	running.Go(func() {
		_, err := load.Run(ctx, load.Options{Addr: m.mx, Source: letters{to, ticker.C}, Messages: 100_000, Connections: 10, Each: func(r load.Record) {
			if r.Phase == load.AtDot && !r.Acked() && ctx.Err() == nil {
				t.Errorf("mail %s was answered with %d %s", r.ID, r.Code, r.Text)
			}
			m.acked.note(r)
		}})
		if err != nil {
			t.Errorf("send: %v", err)
		}
	})
	m.acked.await(t, 50)
	return func() {
		cancel()
		running.Wait()
		ticker.Stop()
	}
}

// probe sends a mail to mailboxes and looks that it arrives here and not there.
func (m *migration) probe(here, there *peer.DovecotServer, boxes []string) {
	m.t.Helper()
	id := fmt.Sprintf("probe-%d", m.acked.count())
	mail := load.NewMail(id, "a@fremd.example", boxes, []byte("Subject: probe\r\n\r\nhello\r\n"))
	r, err := load.Run(m.t.Context(), load.Options{Addr: m.mx, Source: load.Only{M: mail}, Messages: 1, Connections: 1})
	if err != nil || len(r.Acked()) != 1 {
		m.t.Fatalf("send a probe: %v, %+v", err, r.Records)
	}
	m.acked.note(r.Acked()[0])
	for _, box := range boxes {
		deadline := time.Now().Add(3 * time.Minute) // it waits behind all that came before it
		for !holds(m.t, here, box, id) {
			if time.Now().After(deadline) {
				m.t.Fatalf("after three minutes %s did not arrive where %s went", id, box)
			}
			time.Sleep(50 * time.Millisecond) // another process delivers it
		}
		if holds(m.t, there, box, id) {
			m.t.Errorf("%s for %s arrived at the groupware that it left", id, box)
		}
	}
}

func holds(t *testing.T, d *peer.DovecotServer, box, id string) bool {
	t.Helper()
	mails, err := d.Mails(box)
	if err != nil {
		t.Fatal(err)
	}
	for _, mail := range mails {
		if idOf(mail) == id {
			return true
		}
	}
	return false
}

// idOf returns the id of a mail of package load.
func idOf(mail []byte) string {
	_, rest, _ := bytes.Cut(mail, []byte("X-Load-Id: "))
	id, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSpace(string(id))
}

// check counts every acknowledged mail in both groupwares.
func (m *migration) check(old, next *peer.DovecotServer) {
	m.t.Helper()
	found := [2]map[delivery]int{count(m.t, old), count(m.t, next)}
	wrong, excused := 0, 0
	for id, r := range m.acked.records {
		seen := map[string]bool{}
		for _, to := range r.Taken {
			if seen[to] { // two addresses of one mailbox get one mail
				continue
			}
			seen[to] = true
			key := delivery{id, to}
			a, b := found[0][key], found[1][key]
			delete(found[0], key)
			delete(found[1], key)
			both := isPilot(to)
			if both && a == 1 && b == 1 || !both && a+b == 1 {
				continue
			}
			if a+b > 0 && (!both || a > 0 && b > 0) && m.savedAndDenied(r.Receipt(), to) {
				excused++
				continue
			}
			if wrong++; wrong <= 10 {
				story, _ := m.run("message", "show", r.Receipt())
				m.t.Errorf("%s for %s (pilot: %v) lies %d times in the old and %d times in the new groupware\n%s", id, to, both, a, b, story)
			}
		}
	}
	// Not more than the new groupware can have had in flight when it ended.
	if excused > 16 {
		m.t.Errorf("%d mails were saved by the groupware although it answered 421, which is more than it had in flight", excused)
	}
	if wrong > 10 {
		m.t.Errorf("%d deliveries are wrong in all", wrong)
	}
	for _, rest := range found {
		for d := range rest {
			if _, ok := m.acked.records[d.id]; ok {
				m.t.Errorf("%s lies in the mailbox %s, for which it was not", d.id, d.to)
			}
		}
	}
}

// savedAndDenied reports whether a groupware answered 421 to the final dot of a mail:
// Dovecot 2.3 does so when it is ended, and has saved the mail all the same. Nobody can know
// that, so the mail comes a second time.
func (c *city) savedAndDenied(receipt, to string) bool {
	c.t.Helper()
	var story struct {
		Deliveries []struct {
			N         int
			Recipient string
		}
		Events []struct {
			N            int
			Phase, Reply string
		}
	}
	if err := json.Unmarshal([]byte(c.must("message", "show", "--json", receipt)), &story); err != nil {
		c.t.Fatal(err)
	}
	for _, e := range story.Events {
		if e.Phase == "dot" && strings.HasPrefix(e.Reply, "421") && story.Deliveries[e.N].Recipient == to {
			return true
		}
	}
	return false
}

func isPilot(box string) bool {
	var n int
	_, err := fmt.Sscanf(box, "u%d@", &n)
	return err == nil && n < pilots
}

// count returns how often each mail lies in each mailbox.
func count(t *testing.T, d *peer.DovecotServer) map[delivery]int {
	t.Helper()
	found := map[delivery]int{}
	for _, box := range users(migrants) {
		mails, err := d.Mails(box)
		if err != nil {
			t.Fatal(err)
		}
		for _, mail := range mails {
			found[delivery{idOf(mail), box}]++
		}
	}
	return found
}

// latency returns the longest time that a sender waited for the answer to a final dot.
func (m *migration) latency() time.Duration {
	var most time.Duration
	for _, r := range m.acked.records {
		most = max(most, r.Latency)
	}
	return most
}

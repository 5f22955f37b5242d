package scenario

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
	"doppelboden/app"
	config "doppelboden/city"

	"doppelboden/control"
	"doppelboden/send"
	"doppelboden/setup"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

const (
	// clerks is how many people work while the groupware is down.
	clerks = 60
	// before and during are how many mails each gets before it dies, and meanwhile.
	before, during = 4, 4
	password       = "Nordlicht-Fahrrad-1871"
)

// TestTheGroupwareLooksAsIfItHadNeverBeenAway lets people read, mark, move, delete, write and
// send with an IMAP client while a real Dovecot is down, kills the node and Dovecot in the
// middle of the way back, and compares every mailbox with what its owner had here. Afterwards
// each gets one mail about it, and vacation has answered nobody for what came back.
//
// It was shown to find its faults: see decision 0039.
func TestTheGroupwareLooksAsIfItHadNeverBeenAway(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram, peer.LMTPProgram, peer.SieveProgram)
	boxes := users(clerks)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: boxes})
	c, clock := worked(t, dovecot, boxes)
	node := c.inside(clock)
	resting, want := c.work(node, clock, dovecot, boxes)
	answered := replies(t, dovecot)
	c.rest(node)

	back := peer.For[*peer.DovecotServer](t, resting)
	c.start()
	t.Cleanup(c.end)
	c.must("event", "close", "1", "--note", "it works again")
	random := func() { time.Sleep(time.Duration(200+rand.Int64N(800)) * time.Millisecond) }
	for i := range 5 {
		random()
		t.Logf("%d changes are owed", c.owed())
		if i == 2 {
			crashed, err := back.Crash()
			if err != nil {
				t.Fatal(err)
			}
			back = peer.For[*peer.DovecotServer](t, crashed)
			continue
		}
		c.kill()
		c.start()
	}
	c.run("event", "close", "1", "--note", "it was Dovecot alone") // where its end was noticed
	for _, box := range boxes[:4] {
		c.must("send", "--to", box, "--from", "heute@buerger.example", "--subject", "heute")
		want[box] = append(want[box], lineOf("INBOX", nil, "heute", time.Time{}))
		answered["heute@buerger.example"]++
	}
	c.handedBack(2 * time.Minute)
	differences := 0
	for _, box := range boxes {
		differences += unequal(t, box, want[box], linesOf(peer.ReadIMAP(t, back.IMAP(), box)))
	}
	t.Logf("%d people, %d mails, %d differences", clerks, clerks*(before+during), differences)
	c.stop()

	// When it has been quiet for a while each gets one mail, also when the node starts again.
	clock.Forward(26 * time.Hour) // to some time after the way back
	for range 2 {
		node = c.inside(clock)
		deadline := time.Now().Add(time.Minute)
		for lettersIn(t, back, boxes) < clerks && time.Now().Before(deadline) {
			clock.Forward(2 * time.Second)
			time.Sleep(50 * time.Millisecond)
		}
		c.rest(node)
	}
	if n := lettersIn(t, back, boxes); n != clerks {
		t.Errorf("%d letters, want one for each of %d people", n, clerks)
	}
	if after := replies(t, back); !maps.Equal(after, answered) {
		t.Errorf("vacation has answered for what came back: %v, before: %v", after, answered)
	}
}

// worked makes an installation at which people may log in, and the clock of its beginning.
func worked(t *testing.T, dovecot *peer.DovecotServer, boxes []string) (*workplace, *hand.Clock) {
	t.Helper()
	clock := hand.At(time.Now().Add(-24 * time.Hour))
	dir := filepath.Join(t.TempDir(), "city")
	conf, err := setup.Create(setup.Options{Dir: dir, Domain: "stadt.example", Groupware: "lmtp://" + dovecot.Addr(), Listen: "127.0.0.1", DNS: "none", Now: clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(conf.City)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "\n[tenant.route.imap]\nserver = \"imap://%s\"\ntls = \"off\"\nuser = %q\nseparator = \"*\"\npassword_file = \"imap.password\"\nreadback = \"off\"\n",
		dovecot.IMAP(), peer.DovecotMaster)
	if err := os.WriteFile(conf.City, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf.Keys, "imap.password"), []byte(peer.DovecotPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &workplace{city: &city{t: t, dir: dir, log: &lines{}}, conf: conf}
	c.edit("node.toml", "min_free_mb = 1024", "min_free_mb = 16")
	conf.Limits.MinFreeMB = 16
	return c, clock
}

// A workplace is a city whose node may run within the test.
type workplace struct {
	*city
	conf *config.Node
}

// inside runs the node within the test, by a clock of the test's.
func (c *workplace) inside(clock *hand.Clock) *app.Node {
	c.t.Helper()
	n, err := app.New(c.t.Context(), app.Options{Node: c.conf, Version: "test", Log: slog.New(slog.NewTextHandler(c.log, nil)), Clock: clock.Now, Timer: clock.Timer})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := n.Start(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// rest ends a node that runs within the test.
func (c *workplace) rest(n *app.Node) {
	c.t.Helper()
	if err := n.Stop(context.WithoutCancel(c.t.Context())); err != nil {
		c.t.Errorf("stop the node: %v", err)
	}
}

// work lets everybody get mail and work while Dovecot is down; it returns what everybody has
// then.
func (c *workplace) work(n *app.Node, clock *hand.Clock, dovecot *peer.DovecotServer, boxes []string) (peer.Dovecot, map[string][]string) {
	c.t.Helper()
	t, client := c.t, control.NewClient(c.conf.Data, nil)
	for _, a := range boxes {
		if _, err := client.AddMailbox(t.Context(), control.Mailbox{Address: a, Kind: "person", Priority: 5}); err != nil {
			t.Fatal(err)
		}
		if err := client.SetPassword(t.Context(), control.Secret{Person: a, Password: password}); err != nil {
			t.Fatal(err)
		}
	}
	c.deliver(n, clock, boxes, "vorher", before)
	c.until("Dovecot has all mail", time.Minute, func() bool { return c.waiting() == 0 })
	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	c.deliver(n, clock, boxes, "waehrend", during)
	c.until("all mail that was accepted is in the database", time.Minute, func() bool {
		landed, queued := c.counts()
		return landed == 0 && queued >= int64(during*len(boxes))
	})
	c.until("the node knows of the outage", time.Minute, func() bool {
		clock.Forward(time.Second)
		out, _ := c.run("event", "list")
		return strings.Contains(out, "groupware")
	})
	want := map[string][]string{}
	var mu sync.Mutex // of want
	t.Run("everybody works", func(t *testing.T) {
		for _, a := range boxes {
			t.Run(a, func(t *testing.T) {
				t.Parallel()
				has := works(t, n, clock, a)
				mu.Lock()
				defer mu.Unlock()
				want[a] = has
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return resting, want
}

// deliver sends mails to everybody, several at a time.
func (c *workplace) deliver(n *app.Node, clock *hand.Clock, boxes []string, subject string, mails int) {
	c.t.Helper()
	for i := range mails {
		var sending sync.WaitGroup
		wrong := make(chan error, len(boxes))
		for part := range slices.Chunk(boxes, (len(boxes)+5)/6) {
			sending.Go(func() { wrong <- deliverTo(c.t.Context(), n, clock, part, fmt.Sprintf("%s%d", subject, i)) })
		}
		sending.Wait()
		close(wrong)
		for err := range wrong {
			if err != nil {
				c.t.Fatal(err)
			}
		}
		clock.Forward(2 * time.Second)
	}
}

// deliverTo sends a mail to each of some people.
func deliverTo(ctx context.Context, n *app.Node, clock *hand.Clock, boxes []string, subject string) error {
	s, err := send.Dial(ctx, n.Listeners()["mx"])
	if err != nil {
		return err
	}
	defer s.Close()
	from := doppelboden.Address{Local: subject, Domain: "buerger.example"}
	for _, a := range boxes {
		local, domain, _ := strings.Cut(a, "@")
		got, err := s.Send(send.Mail{From: from, To: doppelboden.Address{Local: local, Domain: domain}, Subject: subject, Text: "hello"}, clock.Now())
		if err != nil || !got.Kept() {
			return fmt.Errorf("send to %s: %+v, %w", a, got, err)
		}
	}
	return nil
}

// works lets one person do all that people do, and returns what she has then.
func works(t *testing.T, n *app.Node, clock *hand.Clock, owner string) []string {
	t.Helper()
	m, err := imapclient.DialTLS(n.Listeners()["imap"], &imapclient.Options{TLSConfig: &tls.Config{InsecureSkipVerify: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %s: %v", owner, what, err)
		}
	}
	must("log in", m.Login(owner, password).Wait())
	must("make a folder", m.Create("Bauamt/2026", nil).Wait())
	is, err := m.Select("INBOX", nil).Wait()
	must("select", err)
	if is.NumMessages != before+during {
		t.Fatalf("%s has %d mails in the inbox, want %d", owner, is.NumMessages, before+during)
	}
	store := func(uid imap.UID, flags ...imap.Flag) {
		t.Helper()
		must("store", m.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: flags}, nil).Close())
	}
	move := func(uid imap.UID, to string) {
		t.Helper()
		_, err := m.Move(imap.UIDSetNum(uid), to).Wait()
		must("move", err)
	}
	for _, first := range []imap.UID{1, before + 1} {
		store(first, imap.FlagSeen, imap.FlagAnswered)
		store(first+1, imap.FlagFlagged)
		move(first+1, "Bauamt/2026")
		move(first+2, "Papierkorb")
		store(first+3, imap.FlagDeleted)
	}
	must("expunge", m.Expunge().Close())
	put := func(folder, subject string, flag imap.Flag) {
		t.Helper()
		text := fmt.Sprintf("Subject: %s\r\nMessage-ID: <%s.%s>\r\n\r\nText\r\n", subject, subject, owner)
		cmd := m.Append(folder, int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{flag, imap.FlagSeen}, Time: clock.Now()})
		_, err := cmd.Write([]byte(text))
		must("append", err)
		must("append", cmd.Close())
		_, err = cmd.Wait()
		must("append", err)
	}
	put("Gesendet", "Antwort", imap.FlagSeen)
	put("Entwürfe", "Entwurf", imap.FlagDraft)
	want := linesOf(peer.ReadAll(t, m))
	// What was expunged here lies in the bin there.
	for _, subject := range []string{"vorher", "waehrend"} {
		want = append(want, lineOf("Papierkorb", nil, fmt.Sprintf("%s%d", subject, 3), time.Time{}))
	}
	return want
}

// owed returns how many changes have not gone back.
func (c *city) owed() int64 {
	c.t.Helper()
	out, _ := c.run("status", "--json")
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		c.t.Fatalf("status: %v\n%s", err, out)
	}
	if s.Handback == nil {
		return 0
	}
	return s.Handback.Deeds
}

// handedBack waits until nothing is owed to the groupware and no mail waits.
func (c *workplace) handedBack(limit time.Duration) {
	c.t.Helper()
	var s control.Status
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		out, _ := c.run("status", "--json")
		s = control.Status{}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			c.t.Fatalf("status: %v\n%s", err, out)
		}
		waits := int64(0)
		for _, t := range s.Tenants {
			waits += t.Counts["queued"] + t.Counts["held"]
		}
		if waits == 0 && (s.Handback == nil || s.Handback.Deeds == 0) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d mails wait, and %+v is owed", waits, s.Handback)
		}
	}
}

// linesOf returns a line for each mail of a mailbox.
func linesOf(all map[string][]peer.Lying) (list []string) {
	for folder, mails := range all {
		for _, m := range mails {
			list = append(list, lineOf(folder, m.Flags, subjectOf(m.Text), m.Date))
		}
	}
	return list
}

// lineOf tells of a mail. What the groupware got by LMTP it has dated itself, and what was
// removed here has no date any more.
func lineOf(folder string, flags []string, subject string, date time.Time) string {
	l := fmt.Sprintf("%s %v %s", folder, flags, subject)
	if strings.HasPrefix(subject, "vorher") || subject == "heute" || strings.HasSuffix(subject, "3") {
		return l
	}
	return l + " " + date.UTC().Format(time.DateTime)
}

// subjectOf returns the subject of a mail.
func subjectOf(text string) string {
	for l := range strings.Lines(text) {
		if s, is := strings.CutPrefix(l, "Subject: "); is {
			return strings.TrimSpace(s)
		}
	}
	return ""
}

// unequal tells what is in one mailbox and not in the other, and how much that is.
func unequal(t *testing.T, owner string, want, got []string) (differences int) {
	t.Helper()
	count := map[string]int{}
	for _, l := range want {
		count[l]++
	}
	for _, l := range got {
		count[l]--
	}
	for _, l := range slices.Sorted(maps.Keys(count)) {
		if n := count[l]; n != 0 {
			t.Errorf("%s: %+d of %s", owner, -n, l)
			differences++
		}
	}
	return differences
}

// lettersIn counts the letters in all inboxes.
func lettersIn(t *testing.T, d *peer.DovecotServer, boxes []string) (n int) {
	t.Helper()
	for _, box := range boxes {
		mails, err := d.Mails(box)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mails {
			if strings.Contains(string(m), "Auto-Submitted: auto-generated") {
				n++
			}
		}
	}
	return n
}

// replies counts whom vacation has answered.
func replies(t *testing.T, d *peer.DovecotServer) map[string]int {
	t.Helper()
	list, err := d.Replies()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, to := range list {
		count[to]++
	}
	return count
}

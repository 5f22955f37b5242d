package scenario

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden/event"
	"doppelboden/test/load"
	"doppelboden/test/peer"
)

// halfPeople is how many mailboxes the city has; the first half of them is one department.
const halfPeople = 60

// TestHalfTheMailboxesWorkWhileTheOthersAreInAnOutage is the third story of CASES.md: for
// some staff everything works, for a colleague in the same house nothing does. A real
// Dovecot loses the storage of one department under load, gets it back, falls as a whole
// in the middle of the backlog, and returns. The node works with PostgreSQL.
//
// It was shown to find its faults: with an event for everybody who was asked lately instead
// of those who were refused, 60 mailboxes are in it; with an end that the first mail
// declares, it ends and opens again and again while mail waits.
func TestHalfTheMailboxesWorkWhileTheOthersAreInAnOutage(t *testing.T) {
	t.Parallel()
	peer.Need(t, "doveadm")
	all := users(halfPeople)
	bad, good := all[:halfPeople/2], all[halfPeople/2:]
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: all})
	database := peer.For[*peer.PostgresServer](t, peer.Postgres{})
	h := &half{city: foundAs(t, "", "lmtp://"+dovecot.Addr(), 1, func(c *city) { c.onPostgres(database) }), acked: &ackedMails{records: map[string]load.Record{}}}
	h.people(bad, good)
	stop := h.send(all)
	h.await(300) // the queue begins gently
	warm := time.Now()
	h.await(400)
	before := h.latency(dovecot, good, warm)

	if err := dovecot.LoseStorage(bad...); err != nil {
		t.Fatal(err)
	}
	lost := time.Now()
	h.eventually("an event", 30*time.Second, func(s []event.Summary) bool { return len(s) == 1 })
	noticed := time.Since(lost)
	h.eventually("all 30 of the department in it", 60*time.Second, func(s []event.Summary) bool { return len(s) == 1 && s[0].Concerned == 30 })
	e := h.story(1)
	if e.Shared == nil || e.Shared.Concerned != 30 || e.Shared.Of != 30 || !slices.Contains([]string{"Bauamt", "Rathaus"}, strings.Join(e.Shared.Names, ",")) {
		t.Errorf("the event's mailboxes share %+v, want all 30 of the department Bauamt or the building Rathaus", e.Shared)
	}
	if e.Most != 30 {
		t.Errorf("%d mailboxes were in the event at once, want the 30 that are refused", e.Most)
	}
	for _, m := range e.Mailboxes {
		if !slices.Contains(bad, m.Address) {
			t.Errorf("%s is in the event and is served", m.Address)
		}
	}
	if out, code := h.run("status"); code != 1 || !strings.Contains(out, "OUTAGE stadt/1 since") || !strings.Contains(out, "all 30 mailboxes") {
		t.Errorf("status: exit code %d, want 1 and the outage first:\n%s", code, out)
	}
	h.await(600)
	during := h.latency(dovecot, good, lost)
	if during[1] > max(5*before[1], 2*time.Second) || during[0] > max(3*before[0], 500*time.Millisecond) {
		t.Errorf("the healthy half waits: median and 95th percentile %v before, %v during the outage", before, during)
	}

	if err := dovecot.FindStorage(bad...); err != nil {
		t.Fatal(err)
	}
	h.eventually("mail for the department taken again", 2*time.Minute, func(s []event.Summary) bool { return len(s) == 1 && !s[0].Turned.IsZero() })
	h.await(250)                   // some of what waited is taken
	resting, err := dovecot.Halt() // in the middle of the backlog
	if err != nil {
		t.Fatal(err)
	}
	h.eventually("the event being the whole route's", time.Minute, func(s []event.Summary) bool { return len(s) == 1 && s[0].Whole && s[0].Concerned == halfPeople })
	dovecot = peer.For[*peer.DovecotServer](t, resting)
	h.eventually("the end", 4*time.Minute, func(s []event.Summary) bool { return len(s) == 0 })
	stop()
	b := h.settled(2 * time.Minute)
	e = h.story(1)
	if e.State != event.Closed || e.Most != halfPeople {
		t.Errorf("event 1 is %s, with %d mailboxes at most; want it closed, with %d", e.State, e.Most, halfPeople)
	}
	for _, s := range e.Steps[:len(e.Steps)-1] {
		if s.What == "closed" {
			t.Errorf("the event ended at %v, while mail waited and before Dovecot fell again", s.At)
		}
	}
	twice := h.check(dovecot, all)
	if b.Difference != 0 || b.Queued != 0 || b.Held != 0 {
		t.Errorf("balance %+v, want all delivered and no difference", b)
	}
	if out, code := h.run("balance", "--event", "1", "--json"); code != 0 || !strings.Contains(out, `"difference":0`) {
		t.Errorf("the balance of the event: exit code %d\n%s", code, out)
	}
	t.Logf("%d mails, noticed after %v, latency of the healthy half (median, 95th percentile) before %v, during %v; twice because Dovecot denied what it had saved: %d; story:\n%s",
		h.acked.count(), noticed.Round(100*time.Millisecond), before, during, twice, h.must("event", "show", "1"))
}

// A half is a city of which one department falls.
type half struct {
	*city
	acked *ackedMails
}

// people gives the city its mailboxes.
func (h *half) people(bad, good []string) {
	h.t.Helper()
	list := "address,department,building\n"
	for _, a := range bad {
		list += a + ",Bauamt,Rathaus\n"
	}
	for _, a := range good {
		list += a + ",Ordnungsamt,Neubau\n"
	}
	file := filepath.Join(h.t.TempDir(), "people.csv")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.must("mailbox", "import", file)
}

// inTurn is a source of small mails for each mailbox in turn; one in ten is for one of each
// half.
type inTurn struct {
	to   []string
	pace <-chan time.Time
}

func (s inTurn) Mail(n int) *load.Mail {
	<-s.pace
	to := []string{s.to[n*7%len(s.to)]}
	if n%10 == 0 {
		to = append(to, s.to[(n*7+len(s.to)/2)%len(s.to)])
	}
	return load.NewMail(strconv.Itoa(n), "a@fremd.example", to, []byte("Subject: half\r\n\r\nhello\r\n"))
}

// send begins to send, one mail after the other, so that their order is known, and returns
// what ends it.
func (h *half) send(to []string) (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	ticker := time.NewTicker(20 * time.Millisecond)
	var running sync.WaitGroup
	running.Go(func() {
		_, err := load.Run(ctx, load.Options{Addr: h.mx, Source: inTurn{to, ticker.C}, Messages: 100_000, Connections: 1, Each: func(r load.Record) {
			if r.Phase == load.AtDot && !r.Acked() && ctx.Err() == nil {
				h.t.Errorf("mail %s was answered with %d %s", r.ID, r.Code, r.Text)
			}
			h.acked.note(r)
		}})
		if err != nil {
			h.t.Errorf("send: %v", err)
		}
	})
	return func() {
		cancel()
		running.Wait()
		ticker.Stop()
	}
}

// await waits until some more mails were acknowledged.
func (h *half) await(more int) {
	h.t.Helper()
	h.acked.await(h.t, h.acked.count()+more)
}

// eventually waits until the open events are as wanted.
func (h *half) eventually(what string, limit time.Duration, is func([]event.Summary) bool) {
	h.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		out, _ := h.run("status", "--json")
		var s struct{ Events []event.Summary }
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			h.t.Fatalf("status: %v\n%s", err, out)
		}
		if is(s.Events) {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("after %v still not %s: %+v", limit, what, s.Events)
		}
		time.Sleep(100 * time.Millisecond) // the command is a poll by its nature
	}
}

// story returns an event.
func (h *half) story(n int) event.Story {
	h.t.Helper()
	var s event.Story
	if err := json.Unmarshal([]byte(h.must("event", "show", strconv.Itoa(n), "--json")), &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// latency returns how long mails that were sent since a time took from the final dot of
// their sender into mailboxes: the median and the 95th percentile.
func (h *half) latency(d *peer.DovecotServer, boxes []string, since time.Time) [2]time.Duration {
	h.t.Helper()
	var all []time.Duration
	for _, box := range boxes {
		arrivals, err := d.Arrivals(box)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, a := range arrivals {
			h.acked.mu.Lock()
			r, ok := h.acked.records[idOf(a.Mail)]
			h.acked.mu.Unlock()
			if ok && r.Dot.After(since) {
				all = append(all, a.At.Sub(r.Dot))
			}
		}
	}
	if len(all) < 50 {
		h.t.Fatalf("only %d mails to measure", len(all))
	}
	slices.Sort(all)
	return [2]time.Duration{all[len(all)/2].Round(time.Millisecond), all[len(all)*95/100].Round(time.Millisecond)}
}

// check sees to it that every acknowledged mail lies in its mailboxes, once and in the
// order in which they were sent, and returns how many came twice because Dovecot said 421
// after it had saved them.
func (h *half) check(d *peer.DovecotServer, boxes []string) (twice int) {
	h.t.Helper()
	got := map[delivery]int{}
	for _, box := range boxes {
		arrivals, err := d.Arrivals(box)
		if err != nil {
			h.t.Fatal(err)
		}
		last := -1
		for _, a := range arrivals {
			id := idOf(a.Mail)
			if got[delivery{id, box}]++; got[delivery{id, box}] > 1 {
				twice++
				if r := h.acked.records[id]; !h.savedAndDenied(r.Receipt(), box) {
					h.t.Errorf("mail %s lies in %s twice", id, box)
				}
				continue
			}
			n, err := strconv.Atoi(id)
			if err != nil || n < last {
				h.t.Errorf("in %s mail %s came after %d", box, id, last)
			}
			last = n
		}
	}
	missing := 0
	for id, r := range h.acked.records {
		for _, to := range r.Taken {
			if got[delivery{id, to}] == 0 {
				missing++
			}
		}
	}
	if missing > 0 {
		h.t.Errorf("%d deliveries were acknowledged and are missing", missing)
	}
	if twice > 16 {
		h.t.Errorf("%d came twice, which is more than Dovecot can have had in flight", twice)
	}
	return twice
}

package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/sink"
	"doppelboden/store"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

// TestAnOutageAtNightEndsByItselfAndWhatSomebodyDidGoesBack has no mail wait and none come. A
// groupware that greets and takes nothing stays down; the real one ends the outage.
func TestAnOutageAtNightEndsByItselfAndWhatSomebodyDidGoesBack(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram, peer.SieveProgram)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{anna.Address}})
	node := install(t, "lmtp://"+dovecot.Addr())
	imapOf(t, node, dovecot.IMAP())
	h := hand.At(time.Now().Add(-3 * time.Hour))
	n := startAt(t, node, h)
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	passing := func(what string, is func() bool) {
		t.Helper()
		waitFor(t, what, func() bool { h.Forward(time.Second); return is() })
	}
	subjectAs(t, n, "before0")
	passing("the mail before is delivered", func() bool { return counted(t, n, doppelboden.Delivered) == 1 })
	answered, err := dovecot.Replies()
	if err != nil {
		t.Fatal(err)
	}
	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	box := boxOf(t, n, anna.Address)
	out := func() bool { _, _, in := n.events.InOutage(box); return in }
	passing("an event begins", out)
	a := at(t, n, anna.Address)
	a.shown(inbox)
	a.flag(1, doppelboden.Seen|doppelboden.Answered)
	a.draft("Entwurf im Notfall")
	caught(t, n)
	want := a.here()

	greets, err := sink.Start(sink.Options{Listen: dovecot.Addr(), Script: &sink.Script{Rules: []sink.Rule{{Phase: "mail", Reply: "451 4.3.0 not yet"}}}})
	if err != nil {
		t.Fatal(err)
	}
	passing("a letter is refused", func() bool {
		list := n.events.Open()
		return counted(t, n, doppelboden.Queued) == 1 && len(list) == 1 && strings.Contains(list[0].Reply, "not yet")
	})
	for range 100 {
		h.Forward(6 * time.Second)
		time.Sleep(2 * time.Millisecond) // polls a real process
	}
	if list, err := n.store.DeedCounts(t.Context()); err != nil || len(list) != 1 || list[0].Deeds != 2 || !out() || counted(t, n, doppelboden.Queued) != 1 {
		t.Fatalf("it greets and takes nothing: deeds %+v, %v, in the outage %v, letters %d; want that all is as before", list, err, out(), counted(t, n, doppelboden.Queued))
	}
	if err := greets.Close(); err != nil {
		t.Fatal(err)
	}
	back := peer.For[*peer.DovecotServer](t, resting)
	passing("the event ends", func() bool { return !out() })
	passing("everything that was done goes back", func() bool {
		h.Forward(time.Second)
		list, err := n.store.DeedCounts(t.Context())
		return err == nil && len(list) == 0
	})
	inbox := peer.ReadIMAP(t, back.IMAP(), anna.Address)["INBOX"]
	if !slices.ContainsFunc(inbox, func(l peer.Lying) bool { return strings.Contains(subjectIn(l.Text), "Der E-Mail-Server nimmt") }) {
		t.Errorf("no letter lies in the mailbox: %v", inbox)
	}
	differ(t, "anna", dated(want), dated(there(t, back.IMAP(), anna.Address, nil)))
	if to := replied(t, back, answered); len(to) > 0 {
		t.Errorf("vacation has answered %v", to)
	}
	c, err := n.store.Event(t.Context(), 1, 1)
	if err != nil || c.Event.ClosedBy != "" || !slices.ContainsFunc(c.Steps, func(s store.EventStep) bool { return s.What == "tried" }) {
		t.Errorf("event %+v, %v, want that it ended by itself, after a letter", c, err)
	}
}

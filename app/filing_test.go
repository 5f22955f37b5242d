package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/mailbox"
	"doppelboden/send"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

// imapOf adds the way into the mailboxes of a Dovecot to the last route of a city.toml.
func imapOf(t *testing.T, node *city.Node, imap string, more ...string) {
	t.Helper()
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("\n[tenant.route.imap]\nserver = \"imap://%s\"\ntls = \"off\"\nuser = %q\nseparator = \"*\"\npassword_file = \"imap.password\"\nreadback = \"off\"\n%s\n",
		imap, peer.DovecotMaster, strings.Join(more, "\n"))
	if err := os.WriteFile(node.City, append(text, table...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(node.Keys, "imap.password"), []byte(peer.DovecotPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lookInto returns what lies in the inbox of a mailbox of a Dovecot.
func lookInto(t *testing.T, imap, owner string) []mailbox.Seen {
	t.Helper()
	b, err := mailbox.NewIMAP(mailbox.IMAPOptions{Addr: imap, User: peer.DovecotMaster, Separator: "*", Inbox: "INBOX", AtOnce: 1,
		Password: func() (string, error) { return peer.DovecotPassword, nil }, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := b.Open(t.Context(), parse(t, owner))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Select(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	var all []mailbox.Seen
	if err := s.Seen(t.Context(), 1, func(m mailbox.Seen) error { all = append(all, m); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestWhatWaitedForHoursLiesInTheMailboxWithItsDateAndNobodyIsAnsweredForIt takes mail
// while a real Dovecot is down, whose people are on vacation, and lets half a day pass. The
// same mail by LMTP has every sender answered: the test could fail.
func TestWhatWaitedForHoursLiesInTheMailboxWithItsDateAndNobodyIsAnsweredForIt(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{anna.Address}})
	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	node := install(t, "lmtp://"+dovecot.Addr())
	imapOf(t, node, dovecot.IMAP())
	h := hand.At(time.Now().Add(-48 * time.Hour))
	n := startAt(t, node, h)
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	const mails = 30
	var came [][2]time.Time // between which each came
	for i := range mails {
		before := h.Now()
		sendAs(t, n, fmt.Sprintf("citizen%d@strange.example", i))
		came = append(came, [2]time.Time{before.Truncate(time.Second), h.Now()}) // dates in IMAP have whole seconds
		h.Forward(30 * time.Minute)
	}
	h.Forward(12 * time.Hour)
	back := peer.For[*peer.DovecotServer](t, resting)
	passing := func(what string, is func() bool) { // the times between attempts pass quickly
		waitFor(t, what, func() bool { h.Forward(100 * time.Millisecond); return is() })
	}
	passing("everything is delivered", func() bool { return counted(t, n, doppelboden.Delivered) == mails })
	seen := lookInto(t, back.IMAP(), anna.Address)
	if len(seen) != mails {
		t.Fatalf("%d mails lie in the mailbox, want %d", len(seen), mails)
	}
	for i, s := range seen {
		if s.Date.Before(came[i][0]) || s.Date.After(came[i][1]) {
			t.Errorf("mail %d has the date %v, want one from %v to %v, when it came", i, s.Date, came[i][0], came[i][1])
		}
	}
	if replies, err := back.Replies(); err != nil || len(replies) != 0 {
		t.Errorf("%d senders were answered for old mail (%v), want none", len(replies), err)
	}
	// What comes now goes by LMTP, and its sender is answered.
	sendAs(t, n, "today@strange.example")
	passing("the new mail is delivered", func() bool { return counted(t, n, doppelboden.Delivered) == mails+1 })
	waitFor(t, "who writes now is answered", func() bool {
		replies, err := back.Replies()
		return err == nil && len(replies) == 1
	})
	b, err := proof{n}.Balance(t.Context(), h.Now().Add(-72*time.Hour), h.Now(), nil)
	if err != nil || b.Accepted != mails+1 || b.Delivered != mails+1 || b.Difference != 0 || b.InDoubt != 0 || b.Duplicates != 0 {
		t.Errorf("the balance is %+v, %v", b, err)
	}
	st := n.house.queue.Status()[0]
	if st.Filing == nil || !st.Filing.Up {
		t.Errorf("the lane says %+v of its filing", st.Filing)
	}
}

// startAt starts a node with a clock.
func startAt(t *testing.T, node *city.Node, h *hand.Clock) *Node {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := New(t.Context(), Options{Node: node, Version: "test", Log: log, Clock: h.Now, Timer: h.Timer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// sendAs sends one mail to anna as a stranger.
func sendAs(t *testing.T, n *Node, from string) {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(t, from), To: parse(t, anna.Address), Subject: "x", Text: "hello"}, time.Now())
	if err != nil || a.Code != 250 {
		t.Fatalf("send: %+v, %v", a, err)
	}
}

// TestAMasterPasswordThatIsWrongStopsNoNewMailIsAnAlarmAndIsReadAgain gives a node that has
// old mail the wrong password for the mailboxes.
func TestAMasterPasswordThatIsWrongStopsNoNewMailIsAnAlarmAndIsReadAgain(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	berta := "berta@stadt.example"
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{anna.Address, berta}, Quiet: true})
	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	node := install(t, "lmtp://"+dovecot.Addr())
	imapOf(t, node, dovecot.IMAP())
	secret := filepath.Join(node.Keys, "imap.password")
	if err := os.WriteFile(secret, []byte("falsch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := hand.At(time.Now().Add(-48 * time.Hour))
	n := startAt(t, node, h)
	for _, m := range []control.Mailbox{anna, {Address: berta, Kind: "person", Priority: 5}} {
		if _, err := client(n).AddMailbox(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	sendAs(t, n, "a@strange.example")
	h.Forward(12 * time.Hour)
	peer.For[*peer.DovecotServer](t, resting)
	if a := mail(t, n, berta); a.Code != 250 {
		t.Fatalf("send: %+v", a)
	}
	passing := func(what string, step time.Duration, is func() bool) {
		waitFor(t, what, func() bool { h.Forward(step); return is() })
	}
	passing("new mail for somebody else is delivered", time.Second, func() bool { return counted(t, n, doppelboden.Delivered) == 1 })
	alarmed := func() bool {
		s, err := client(n).Status(t.Context())
		return err == nil && slices.ContainsFunc(s.Alarms, func(a doppelboden.Alarm) bool { return a.Kind == "mailboxes" })
	}
	passing("an alarm tells that nobody gets into the mailboxes", 5*time.Second, alarmed)
	if err := os.WriteFile(secret, []byte(peer.DovecotPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	passing("old mail is delivered with the right password", 5*time.Second, func() bool { return counted(t, n, doppelboden.Delivered) == 2 })
	passing("the alarm has ended", 5*time.Second, func() bool { return !alarmed() })
}

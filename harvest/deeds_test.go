package harvest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// A waking backend tells before it says anything of mails.
type waking struct {
	*fake
	heads func(uids []uint32)
}

func (b *waking) Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	s, err := b.fake.Mirror(ctx, owner)
	return &wakingSession{s, b}, err
}

type wakingSession struct {
	mailbox.Mirror
	b *waking
}

func (s *wakingSession) Heads(ctx context.Context, uids []uint32) ([]mailbox.Head, error) {
	s.b.heads(uids)
	return s.Mirror.Heads(ctx, uids)
}

func TestAMailboxThatMovesAwayDuringARoundIsNotReadAnyMore(t *testing.T) {
	w, g := filled(t, 3)
	anna, bert := w.boxes[0], w.boxes[1]
	gone := false
	place := w.room.opts.Place
	w.room.opts.Place = func(m doppelboden.MailboxID) (string, doppelboden.Mailbox, bool) {
		key, box, ok := place(m)
		if gone && m == bert.ID {
			key = "stadt/here"
		}
		return key, box, ok
	}
	w.room.opts.Mailboxes = func(string) []doppelboden.Mailbox { return []doppelboden.Mailbox{anna, bert} }
	w.route.Backend = &waking{fake: g, heads: func([]uint32) { gone = true }} // somebody moves bert's while anna's is read
	for _, box := range []doppelboden.Mailbox{anna, bert} {
		g.put(box.Address, "INBOX", letter("eva", box.Address.Local, "new", w.clock()), w.clock(), 0)
	}
	w.room.begin(w.route).round(ctx)
	if a, b := len(w.shows(anna)), len(w.shows(bert)); a != 4 || b != 3 {
		t.Errorf("the mailboxes show %d and %d mails, want 4, and 3 in the one that was moved", a, b)
	}
}

func TestAMailThatSomebodyMovesDuringALookStaysWhereSheMovedIt(t *testing.T) {
	w := open(t)
	g := &waking{fake: newFake()}
	w.route.Backend = g
	anna := w.boxes[0]
	at := w.clock().Add(-time.Hour)
	mail := func(subject string) string { return letter("eva", "anna", subject, at) }
	w.arrive("submission", "eva@stadt.example", mail("known"), "anna@stadt.example")
	w.arrive("submission", "eva@stadt.example", mail("moved"), "anna@stadt.example")
	g.put(anna.Address, "INBOX", mail("moved"), at, doppelboden.Seen) // the newest are read first
	for n := range headsAtOnce {
		g.put(anna.Address, "INBOX", mail(fmt.Sprintf("Mail %04d", n)), at, 0)
	}
	g.put(anna.Address, "INBOX", mail("known"), at, doppelboden.Seen)
	made, err := w.db.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: anna.Tenant, Mailbox: anna.ID}, Name: "Bauamt"})
	w.must(err)
	calls := 0
	g.heads = func([]uint32) {
		if calls++; calls != 2 {
			return
		}
		inbox := store.Place{Tenant: anna.Tenant, Mailbox: anna.ID, Folder: 1}
		_, err := w.db.Look(ctx, inbox)
		w.must(err)
		var uid uint32
		w.must(w.db.Shown(ctx, inbox, store.ShownFilter{}, func(s store.Shown) error {
			if w.subject(s.Message) == "moved" {
				uid = s.UID
			}
			return nil
		}))
		_, err = w.db.Change(ctx, []store.Change{{Place: inbox, Action: store.ActMove, UIDs: []uint32{uid}, To: made.Folder, Deed: true, At: w.clock()}})
		w.must(err)
	}
	w.fill(anna)
	if calls < 2 {
		t.Fatalf("%d pages of mails were read, want two: nobody moved anything", calls)
	}
	var shown []line
	for _, l := range w.shows(anna) {
		if l.Subject == "moved" || l.Subject == "known" {
			shown = append(shown, l)
		}
	}
	same(t, "what was moved during the look, and what was read before", shown, line{"Bauamt", "moved", 0}, line{"INBOX", "known", doppelboden.Seen})
	deeds := 0
	w.must(w.db.Deeds(ctx, store.DeedFilter{Mailbox: anna.ID}, func(store.Deed) error { deeds++; return nil }))
	if deeds != 1 {
		t.Errorf("%d deeds, want the move", deeds)
	}
}

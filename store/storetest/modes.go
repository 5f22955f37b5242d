package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testModes(t *testing.T, open Open) {
	t.Run("how mailboxes are used", func(t *testing.T) { modes(t, open) })
	t.Run("one key is one message", func(t *testing.T) { sendings(t, open) })
	t.Run("a message is read in its mailbox alone", func(t *testing.T) { messageIn(t, open) })
	t.Run("what is needed to read the mails of a folder comes in one go", func(t *testing.T) { textsOfAFolder(t, open) })
}

func modes(t *testing.T, open Open) {
	w := newWorld(t, open)
	all := func() []store.Mode {
		t.Helper()
		return gather(t, func(y func(store.Mode) error) error { return w.s.Modes(ctx, y) })
	}
	same(t, "modes of a new store", len(all()), 0)
	a := store.Mode{Tenant: w.boxes[0].Tenant, Mailbox: w.boxes[0].ID, Emergency: true, By: "event 3", At: cut(w.tick()), Event: 3}
	b := store.Mode{Tenant: w.boxes[2].Tenant, Mailbox: w.boxes[2].ID, By: hostile, At: cut(w.tick()), Event: 1, Used: cut(w.tick())}
	for range 2 {
		w.must(w.s.PutModes(ctx, []store.Mode{b, a}))
	}
	same(t, "modes", all(), []store.Mode{a, b})
	a.Emergency, a.Event, b.Emergency, b.Used = false, 0, true, time.Time{}
	w.must(w.s.PutModes(ctx, []store.Mode{{Mailbox: b.Mailbox}, a, b}))
	w.restart()
	same(t, "modes after one went back and a restart", all(), []store.Mode{b})
	w.must(w.s.PutModes(ctx, nil))
	w.must(w.s.UseModes(ctx, nil, w.tick()))
	same(t, "modes after nothing", all(), []store.Mode{b})
	a.Event = 4
	w.must(w.s.PutModes(ctx, []store.Mode{a}))
	b.Used = cut(w.tick())
	w.must(w.s.UseModes(ctx, []doppelboden.MailboxID{a.Mailbox, b.Mailbox, 4711}, b.Used))
	same(t, "modes after one was used, and one that is not used here", all(), []store.Mode{a, b})
}

func sendings(t *testing.T, open Open) {
	w := newWorld(t, open)
	put := func(s store.Sending, instead doppelboden.ID) store.Sending {
		t.Helper()
		got, err := w.s.PutSending(ctx, s, instead)
		w.must(err)
		return got
	}
	sending := func(box int, key byte, node string) store.Sending {
		return store.Sending{Tenant: w.boxes[box].Tenant, Mailbox: w.boxes[box].ID, Key: [16]byte{0, key, 15: 0xff}, Message: w.ids.New(w.clock()), Node: node, At: cut(w.tick())}
	}
	first, rival := sending(0, 1, "a"), sending(0, 1, "b")
	same(t, "the first with its key", put(first, doppelboden.ID{}), first)
	same(t, "another with the same key", put(rival, doppelboden.ID{}), first)
	same(t, "one instead of a third", put(rival, sending(0, 1, "c").Message), first)
	other, elsewhere := sending(0, 2, "a"), sending(1, 1, "a")
	same(t, "another key", put(other, doppelboden.ID{}), other)
	same(t, "another mailbox", put(elsewhere, doppelboden.ID{}), elsewhere)
	w.restart()
	same(t, "after a restart", put(rival, doppelboden.ID{}), first)
	same(t, "instead of the first", put(rival, first.Message), rival)
	same(t, "the first again", put(first, doppelboden.ID{}), rival)

	drop := func(before time.Time, limit int) int {
		t.Helper()
		n, err := w.s.DropSendings(ctx, before, limit)
		w.must(err)
		return n
	}
	if n := drop(rival.At, 5); n != 0 {
		t.Errorf("DropSendings before all of them removed %d", n)
	}
	if n := drop(w.tick(), 2); n != 2 {
		t.Errorf("DropSendings removed %d of 3, want its limit, 2", n)
	}
	if n := drop(w.tick(), 2); n != 1 {
		t.Errorf("DropSendings removed %d of the last one", n)
	}
	same(t, "after all are gone", put(first, doppelboden.ID{}), first)
}

func messageIn(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	filed := w.quiet(w.boxes[0], "Entwürfe")
	for _, c := range []struct {
		m   *doppelboden.Message
		box int
		in  bool
	}{{m, 0, true}, {m, 1, true}, {m, 2, false}, {filed, 0, true}, {filed, 1, false}} {
		box := w.boxes[c.box]
		got, err := w.s.MessageIn(ctx, box.Tenant, box.ID, c.m.ID)
		if !c.in {
			isCode(t, "MessageIn a mailbox that does not show it", err, doppelboden.NotFound)
			continue
		}
		w.must(err)
		if got.ID != c.m.ID || got.Body.Sum != c.m.Body.Sum || len(got.Deliveries) > 0 || len(got.Copies) != 1 || got.Copies[0].Mailbox != box.ID {
			t.Errorf("MessageIn mailbox %d: %+v, want message %s with its copy there alone", box.ID, got, c.m.ID)
		}
	}
	_, err := w.s.MessageIn(ctx, w.tenants[1].ID, w.boxes[0].ID, m.ID)
	isCode(t, "MessageIn for another tenant", err, doppelboden.NotFound)
	_, err = w.s.MessageIn(ctx, w.tenants[0].ID, w.boxes[0].ID, w.ids.New(w.clock()))
	isCode(t, "MessageIn of an unknown message", err, doppelboden.NotFound)
}

package storetest

import (
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testSettle(t *testing.T, open Open) {
	t.Run("an end stays an end, but for a late success", func(t *testing.T) { transitions(t, open) })
	t.Run("every field is written", func(t *testing.T) { settleFields(t, open) })
	t.Run("the same settlement twice counts one attempt", func(t *testing.T) { settleTwice(t, open) })
	t.Run("unknown deliveries are passed over", func(t *testing.T) { settleUnknown(t, open) })
	t.Run("a fenced lease writes nothing", func(t *testing.T) { settleFenced(t, open) })
	t.Run("the ledger records changes of state alone", func(t *testing.T) { settleLedger(t, open) })
	t.Run("a state that does not exist is refused", func(t *testing.T) {
		w := newWorld(t, open)
		m := w.accept(w.boxes[0])
		err := w.s.Settle(ctx, w.lease, []doppelboden.Settlement{{Ref: ref(m, 0), State: 99, At: day}})
		isCode(t, "Settle to state 99", err, doppelboden.Invalid)
	})
}

// allowed reports whether a delivery may go from one state to another. The table is the
// contract's, row by row, and shares nothing with an engine's.
func allowed(from, to doppelboden.State) bool {
	const q, h, d, c, b, x = doppelboden.Queued, doppelboden.Held, doppelboden.Delivered, doppelboden.Confirmed, doppelboden.Bounced, doppelboden.Discarded
	return map[doppelboden.State]map[doppelboden.State]bool{
		q: {q: true, h: true, d: true, c: true, b: true, x: true},
		h: {q: true, h: true, d: true, c: true, b: true, x: true},
		d: {c: true},
		c: {},
		b: {c: true, d: true},
		x: {c: true, d: true},
	}[from][to]
}

func transitions(t *testing.T, open Open) {
	w := newWorld(t, open)
	for _, from := range doppelboden.States() {
		for _, to := range doppelboden.States() {
			m := w.accept(w.boxes[0])
			if from != doppelboden.Queued {
				w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: from, Reply: "first"})
			}
			before := w.delivery(m.ID, 0)
			if before.State != from {
				t.Fatalf("after Settle to %v: state %v", from, before.State)
			}
			w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: to, Reply: "second", Attempt: true})
			after := w.delivery(m.ID, 0)
			if !allowed(from, to) {
				same(t, "delivery "+from.String()+" after Settle to "+to.String(), after, before)
			} else if after.State != to || after.Reply != "second" || after.Attempts != 1 {
				t.Errorf("%v after Settle to %v: state %v, reply %q, %d attempts", from, to, after.State, after.Reply, after.Attempts)
			}
		}
	}
}

func settleFields(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	next := day.Add(time.Hour)
	w.settle(doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Queued, Next: next, Reply: hostile, By: "courier", Attempt: true})
	want := m.Deliveries[1]
	want.Next, want.Reply, want.Attempts, want.Changed = cut(next), hostile, 1, cut(w.clock())
	same(t, "settled delivery", w.delivery(m.ID, 1), want)
	same(t, "the other delivery of the message", w.delivery(m.ID, 0), m.Deliveries[0])
	w.settle(doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Held, Reply: "550", By: "courier"})
	want.State, want.Next, want.Reply, want.Changed = doppelboden.Held, time.Time{}, "550", cut(w.clock())
	same(t, "held delivery", w.delivery(m.ID, 1), want)
}

func settleTwice(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	list := []doppelboden.Settlement{{Ref: ref(m, 0), State: doppelboden.Queued, Next: day.Add(time.Minute), Reply: "450", Attempt: true, At: w.tick()}}
	for range 2 {
		w.must(w.s.Settle(ctx, w.lease, list))
	}
	if d := w.delivery(m.ID, 0); d.Attempts != 1 {
		t.Errorf("%d attempts after the same call twice, wanted 1", d.Attempts)
	}
	list[0].At = w.tick()
	w.must(w.s.Settle(ctx, w.lease, list))
	if d := w.delivery(m.ID, 0); d.Attempts != 2 {
		t.Errorf("%d attempts after a second attempt, wanted 2", d.Attempts)
	}
	// The same with two settlements of one delivery in a call.
	list = append(list, list[0])
	list[0].At, list[1].At = w.tick(), w.tick()
	list[1].State = doppelboden.Held
	for range 2 {
		w.must(w.s.Settle(ctx, w.lease, list))
	}
	if d := w.delivery(m.ID, 0); d.Attempts != 4 || d.State != doppelboden.Held {
		t.Errorf("%d attempts and %v after a call with two attempts came twice, wanted 4 and held", d.Attempts, d.State)
	}
}

func settleUnknown(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	next := w.accept(w.boxes[0])
	stranger := doppelboden.Ref{Message: w.ids.New(day)}
	w.settle(
		doppelboden.Settlement{Ref: stranger, State: doppelboden.Delivered},
		doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Delivered},
		doppelboden.Settlement{Ref: ref(m, -1), State: doppelboden.Delivered},
		doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Held})
	if d := w.delivery(m.ID, 0); d.State != doppelboden.Held {
		t.Errorf("state %v beside unknown ones, wanted held", d.State)
	}
	if d := w.delivery(next.ID, 0); d.State != doppelboden.Queued {
		t.Errorf("state %v of a delivery that nobody named, wanted queued", d.State)
	}
	w.must(w.s.Settle(ctx, w.lease, nil))
}

func settleFenced(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	old := w.lease
	var err error
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	settlement := []doppelboden.Settlement{{Ref: ref(m, 0), State: doppelboden.Delivered, At: w.tick()}}
	for name, lease := range map[string]store.Lease{"older": old, "unknown": {Node: "stranger", Epoch: w.lease.Epoch},
		"future": {Node: "node", Epoch: w.lease.Epoch + 1}, "zero": {}} {
		isCode(t, "Settle with the "+name+" lease", w.s.Settle(ctx, lease, settlement), doppelboden.Fenced)
	}
	if d := w.delivery(m.ID, 0); d.State != doppelboden.Queued {
		t.Errorf("a fenced node made the state %v", d.State)
	}
	// A fenced call does not harm those beside it.
	var wg sync.WaitGroup
	for i := range 40 {
		good := w.message(w.boxes[0])
		wg.Go(func() {
			if i%4 == 0 {
				isCode(t, "fenced Settle beside others", w.s.Settle(ctx, old, settlement), doppelboden.Fenced)
			} else if _, err := w.s.Accept(ctx, good); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.must(w.s.Settle(ctx, w.lease, settlement))
	if d := w.delivery(m.ID, 0); d.State != doppelboden.Delivered {
		t.Errorf("state %v with the good lease, wanted delivered", d.State)
	}
}

func settleLedger(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	steps := []doppelboden.Settlement{
		{Ref: ref(m, 0), State: doppelboden.Queued, Attempt: true, By: "courier"}, // no change
		{Ref: ref(m, 0), State: doppelboden.Held, By: "courier"},
		{Ref: ref(m, 0), State: doppelboden.Held, Reply: "again", By: "courier"}, // no change
		{Ref: ref(m, 0), State: doppelboden.Queued, By: "anna"},
		{Ref: ref(m, 0), State: doppelboden.Discarded, By: "anna"},
		{Ref: ref(m, 0), State: doppelboden.Bounced, By: "courier"}, // too late
		{Ref: ref(m, 0), State: doppelboden.Delivered, By: "courier"},
		{Ref: ref(m, 0), State: doppelboden.Confirmed, By: "readback"},
	}
	var want []doppelboden.Entry
	for i, s := range steps {
		w.settle(s)
		if i == 1 || i == 3 || i == 4 || i >= 6 {
			want = append(want, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: w.clock(), Tenant: m.Tenant, Message: m.ID,
				State: s.State, By: s.By})
		}
	}
	got := ofKind(w.entries(), doppelboden.EntrySettled)
	for i := range got {
		got[i].At = cut(got[i].At)
	}
	for i := range want {
		want[i].At = cut(want[i].At)
	}
	same(t, "entries", got, want)
}

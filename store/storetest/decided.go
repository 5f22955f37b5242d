package storetest

import (
	"cmp"
	"slices"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func testDecided(t *testing.T, open Open) {
	t.Run("tenants are paused, closed and opened", func(t *testing.T) { standings(t, open) })
	t.Run("mailboxes get ways of their own", func(t *testing.T) { ways(t, open) })
	t.Run("what waits moves to another box", func(t *testing.T) { reboxed(t, open) })
	t.Run("what is moved to another box stays in the mailbox", func(t *testing.T) { reboxedCopies(t, open) })
}

func standings(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func() []store.Standing {
		t.Helper()
		all, err := w.s.Standings(ctx)
		w.must(err)
		return all
	}
	if got := read(); len(got) != 0 {
		t.Errorf("about a fresh store was decided: %v", got)
	}
	a := store.Standing{Tenant: w.tenants[0].ID, State: store.TenantPaused, Stops: true, Shut: store.ShutAll, Why: hostile, By: "anna", At: cut(day)}
	b := store.Standing{Tenant: w.tenants[1].ID, State: store.TenantClosed, By: "b"}
	w.must(w.s.PutStanding(ctx, b))
	w.must(w.s.PutStanding(ctx, a))
	w.must(w.s.PutStanding(ctx, a))
	same(t, "standings", read(), []store.Standing{a, b})
	a.State, a.Stops, a.Shut, a.Why = store.TenantOpen, false, store.ShutSenders, ""
	w.must(w.s.PutStanding(ctx, a))
	isCode(t, "a state that is none", w.s.PutStanding(ctx, store.Standing{Tenant: a.Tenant, State: "PAUSED"}), doppelboden.Invalid)
	w.restart()
	same(t, "standings after a restart", read(), []store.Standing{a, b})
}

func ways(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func() []store.Way {
		return gather(t, func(y func(store.Way) error) error { return w.s.Ways(ctx, y) })
	}
	seconds := func() []doppelboden.Destination {
		all := gather(t, func(y func(doppelboden.Destination) error) error { return w.s.Destinations(ctx, y) })
		slices.SortFunc(all, func(a, b doppelboden.Destination) int { return cmp.Compare(b.ID, a.ID) })
		return all
	}
	m := w.boxes
	first := store.Way{Tenant: m[0].Tenant, Mailbox: m[0].ID, Route: "neu", Also: []string{"alt", "a-b"}, By: "anna", At: cut(day)}
	second := store.Way{Tenant: m[1].Tenant, Mailbox: m[1].ID, Also: []string{"neu"}}
	w.must(w.s.PutWays(ctx, []store.Way{second, first}))
	same(t, "ways", read(), []store.Way{first, second})
	destinations := seconds()
	if len(destinations) != 3 {
		t.Fatalf("destinations %v, wanted three", destinations)
	}
	for _, to := range destinations {
		if to.ID >= 0 || to.Tenant != m[0].Tenant || to.Domain != "" {
			t.Errorf("destination %+v, wanted a negative number and the mailbox's tenant", to)
		}
	}
	// The same once more, and nothing different for the second: its destination stays.
	w.must(w.s.PutWays(ctx, []store.Way{first, {Tenant: m[1].Tenant, Mailbox: m[1].ID}, {Tenant: m[2].Tenant, Mailbox: m[2].ID, Route: "x"}}))
	same(t, "ways", read(), []store.Way{first, {Tenant: m[2].Tenant, Mailbox: m[2].ID, Route: "x"}})
	w.must(w.s.PutWays(ctx, []store.Way{second}))
	w.restart()
	same(t, "destinations after all that", seconds(), destinations)
}

func reboxed(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.must(w.s.PutWays(ctx, []store.Way{{Tenant: w.boxes[0].Tenant, Mailbox: w.boxes[0].ID, Also: []string{"alt"}}}))
	to := gather(t, func(y func(doppelboden.Destination) error) error { return w.s.Destinations(ctx, y) })[0].ID
	var refs []doppelboden.Ref
	for _, st := range []doppelboden.State{doppelboden.Queued, doppelboden.Held, doppelboden.Delivered, doppelboden.Queued} {
		m := w.message(w.boxes[0], w.boxes[1])
		_, err := w.s.Accept(ctx, m)
		w.must(err)
		ref := doppelboden.Ref{Message: m.ID}
		refs = append(refs, ref)
		if st != doppelboden.Queued {
			w.must(w.s.Settle(ctx, w.lease, []doppelboden.Settlement{{Ref: ref, Box: m.Deliveries[0].Box, State: st, By: "x", At: w.tick()}}))
		}
	}
	list := append(slices.Clone(refs[:3]), doppelboden.Ref{Message: refs[3].Message, N: 7}, doppelboden.Ref{})
	isCode(t, "Rebox of a run that was replaced", w.s.Rebox(ctx, store.Lease{Node: "node", Epoch: w.lease.Epoch - 1}, list, to), doppelboden.Fenced)
	for range 2 {
		w.must(w.s.Rebox(ctx, w.lease, list, to))
	}
	own := doppelboden.BoxID(w.boxes[0].ID)
	for i, want := range []doppelboden.BoxID{to, to, own, own} {
		m, err := w.s.Message(ctx, refs[i].Message)
		w.must(err)
		if m.Deliveries[0].Box != want || m.Deliveries[1].Box != doppelboden.BoxID(w.boxes[1].ID) {
			t.Errorf("message %d lies in the boxes %d and %d, wanted %d and %d", i, m.Deliveries[0].Box, m.Deliveries[1].Box, want, w.boxes[1].ID)
		}
	}
	heads, err := w.s.Heads(ctx, []doppelboden.BoxID{to, own}, []int64{0, 0}, 10)
	w.must(err)
	if len(heads) != 2 || heads[0].Delivery.Message != refs[0].Message || heads[1].Delivery.Message != refs[3].Message {
		t.Errorf("heads %v, wanted the first message in the new box and the last in the old", heads)
	}
}

func reboxedCopies(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.must(w.s.PutWays(ctx, []store.Way{{Tenant: w.boxes[0].Tenant, Mailbox: w.boxes[0].ID, Also: []string{"alt"}}}))
	to := gather(t, func(y func(doppelboden.Destination) error) error { return w.s.Destinations(ctx, y) })[0].ID
	m := w.message(w.boxes[0])
	_, err := w.s.Accept(ctx, m)
	w.must(err)
	copies := func() []doppelboden.Copy {
		return gather(t, func(y func(doppelboden.Copy) error) error {
			return w.s.Copies(ctx, w.boxes[0].Tenant, w.boxes[0].ID, y)
		})
	}
	before := copies()
	if len(before) != 1 {
		t.Fatalf("copies %v, wanted one", before)
	}
	ref := []doppelboden.Ref{{Message: m.ID}}
	for _, box := range []doppelboden.BoxID{to, doppelboden.BoxID(w.boxes[0].ID), to} {
		w.must(w.s.Rebox(ctx, w.lease, ref, box))
		same(t, "copies in the mailbox", copies(), before)
		got, err := w.s.Message(ctx, m.ID)
		w.must(err)
		same(t, "copies of the message", got.Copies, before)
	}
}

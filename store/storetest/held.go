package storetest

import (
	"fmt"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testHeld(t *testing.T, open Open) {
	t.Run("what is held is told by groups, with how much is in each", func(t *testing.T) { heldGroups(t, open) })
	t.Run("why something is held is known while it is held, and no longer", func(t *testing.T) { heldWhy(t, open) })
	t.Run("the members of a group and of a box are found in their order", func(t *testing.T) { heldMembers(t, open) })
	t.Run("what is tried again by itself is told by group and box", func(t *testing.T) { refusedBoxes(t, open) })
	t.Run("what comes into being held says why", func(t *testing.T) { heldAtTheDoor(t, open) })
	t.Run("what is queued and was tried is told by tenant and Seq", func(t *testing.T) { failing(t, open) })
	t.Run("of thousands held, groups and members are told page by page", func(t *testing.T) { manyHeld(t, open) })
}

// refusedAt is a hold for a refusal on a route.
func refusedAt(route string) doppelboden.Hold {
	return doppelboden.Hold{Reason: doppelboden.HeldAddress, Route: route}
}

// noSuchUser is what a groupware says of an address.
func noSuchUser(a doppelboden.Address) string {
	return fmt.Sprintf("rcpt 10.0.0.1:24: 550 5.1.1 <%s> User doesn't exist: %s", a, a)
}

// refuse accepts a message for mailboxes and has all of it refused.
func (w *world) refuse(h doppelboden.Hold, boxes ...doppelboden.Mailbox) *doppelboden.Message {
	w.t.Helper()
	m := w.accept(boxes...)
	for i, b := range boxes {
		w.settle(doppelboden.Settlement{Ref: ref(m, i), State: doppelboden.Held, Hold: h, Reply: noSuchUser(b.Address), By: "courier", Attempt: true})
	}
	return m
}

// groups reads the groups of a tenant, or of all.
func (w *world) groups(t doppelboden.TenantID) []store.HeldGroup {
	w.t.Helper()
	return gather(w.t, func(y func(store.HeldGroup) error) error { return w.s.HeldGroups(ctx, t, y) })
}

func heldGroups(t *testing.T, open Open) {
	w := newWorld(t, open)
	if got := w.groups(0); len(got) != 0 {
		t.Errorf("a store where nothing is held has groups: %+v", got)
	}
	first := w.refuse(refusedAt("stadt/a"), w.boxes[0], w.boxes[1])
	w.refuse(refusedAt("stadt/a"), w.boxes[0])
	last := w.now
	other := w.refuse(refusedAt("stadt/b"), w.boxes[0])
	w.refuse(refusedAt("kreis/a"), w.boxes[2])
	full := w.accept(w.boxes[0])
	w.settle(doppelboden.Settlement{Ref: ref(full, 0), State: doppelboden.Held, Hold: doppelboden.Hold{Reason: doppelboden.HeldMail, Route: "stadt/a"},
		Reply: "rcpt 10.0.0.1:24: 552 5.2.2 Quota exceeded", By: "courier"})
	by := map[string]store.HeldGroup{}
	name := ""
	for _, g := range w.groups(w.tenants[0].ID) {
		if g.Group <= name {
			t.Errorf("group %s comes after %s", g.Group, name)
		}
		name = g.Group
		by[g.Group] = g
	}
	if len(by) != 3 {
		t.Fatalf("groups of the first tenant: %+v, wanted 3", by)
	}
	got := by[refusedAt("stadt/a").Group(w.tenants[0].ID, noSuchUser(w.boxes[1].Address), w.boxes[1].Address)]
	want := store.HeldGroup{Hold: refusedAt("stadt/a"), Group: got.Group, Tenant: w.tenants[0].ID, Deliveries: 3, Boxes: 2, Last: cut(last)}
	if d := got.Oldest.Delivery; d.Message != first.ID || d.N != 0 || got.Oldest.Message.ID != first.ID || d.State != doppelboden.Held {
		t.Errorf("oldest of the group: %+v, wanted the first delivery of %v", d, first.ID)
	}
	got.Oldest = store.Item{}
	same(t, "group of three deliveries for two mailboxes", got, want)
	if g := by[refusedAt("stadt/b").Group(w.tenants[0].ID, noSuchUser(w.boxes[0].Address), w.boxes[0].Address)]; g.Deliveries != 1 || g.Oldest.Delivery.Message != other.ID {
		t.Errorf("the same words on another route: %+v, wanted a group of its own", g)
	}
	if all := w.groups(0); len(all) != 4 {
		t.Errorf("%d groups of all tenants, wanted 4", len(all))
	}
}

func heldWhy(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.refuse(refusedAt("stadt/a"), w.boxes[0], w.boxes[1])
	at := w.now
	seq := w.get(m.ID).Deliveries[1].Seq
	why := func() map[int64]store.HeldWhy {
		t.Helper()
		got, err := w.s.HeldWhy(ctx, []int64{seq, seq + 1000})
		w.must(err)
		return got
	}
	to := w.boxes[1].Address
	want := map[int64]store.HeldWhy{seq: {Hold: refusedAt("stadt/a"), Group: refusedAt("stadt/a").Group(m.Tenant, noSuchUser(to), to), At: cut(at)}}
	same(t, "why it is held", why(), want)

	w.settle(doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Held, Hold: doppelboden.Hold{Reason: doppelboden.HeldByPerson}, Reply: "hold: so", By: "anna"})
	if got := why()[seq]; got.Reason != doppelboden.HeldByPerson || got.Route != "" || !got.At.Equal(cut(w.now)) {
		t.Errorf("held anew by a person: %+v", got)
	}
	w.restart()
	if got := why()[seq]; got.Reason != doppelboden.HeldByPerson {
		t.Errorf("after a restart: %+v", got)
	}
	w.settle(doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Queued, By: "anna"})
	if got := why(); len(got) != 0 {
		t.Errorf("after its release: %+v, wanted nothing", got)
	}
	w.settle(doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Held, Hold: refusedAt("stadt/a"), Reply: noSuchUser(to), By: "courier"},
		doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Delivered, By: "courier"})
	if got := why(); len(got) != 0 {
		t.Errorf("after its end: %+v, wanted nothing", got)
	}
	w.settle(doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Held, Hold: refusedAt("stadt/a"), Reply: noSuchUser(to), By: "courier"})
	if got := why(); len(got) != 0 {
		t.Errorf("a late failure of what has ended: %+v, wanted nothing", got)
	}
	if got := w.groups(0); len(got) != 1 || got[0].Deliveries != 1 {
		t.Errorf("groups at the end: %+v, wanted the one of the other delivery", got)
	}
	_, err := w.s.HeldWhy(ctx, make([]int64, 1001))
	isCode(t, "HeldWhy of 1,001", err, doppelboden.Invalid)
}

func heldMembers(t *testing.T, open Open) {
	w := newWorld(t, open)
	var all, box0 []int64
	for i := range 7 {
		m := w.refuse(refusedAt("stadt/a"), w.boxes[i%2])
		all = append(all, w.get(m.ID).Deliveries[0].Seq)
		if i%2 == 0 {
			box0 = append(box0, all[i])
		}
	}
	other := w.refuse(refusedAt("stadt/b"), w.boxes[0])
	group := w.groups(0)[0].Group
	if w.groups(0)[0].Deliveries == 1 {
		group = w.groups(0)[1].Group
	}
	held := []doppelboden.State{doppelboden.Held}
	for _, c := range []struct {
		what string
		f    store.Filter
		want []int64
	}{
		{"group", store.Filter{Group: group, States: held}, all},
		{"group behind the third", store.Filter{Group: group, States: held, AfterSeq: all[2]}, all[3:]},
		{"two of a group", store.Filter{Group: group, States: held, Limit: 2}, all[:2]},
		{"group and box", store.Filter{Group: group, States: held, Box: boxOf(w.boxes[0])}, box0},
		{"box", store.Filter{States: held, Box: boxOf(w.boxes[0])}, append(box0, w.get(other.ID).Deliveries[0].Seq)},
		{"group of another tenant", store.Filter{Group: group, States: held, Tenant: w.tenants[1].ID}, nil},
		{"no group", store.Filter{Group: "nothing", States: held}, nil},
	} {
		same(t, c.what, seqs(w.deliveries(c.f)), c.want)
	}
	m := w.get(other.ID)
	second, err := w.s.PutDestination(ctx, doppelboden.Destination{Tenant: m.Tenant, Mailbox: w.boxes[0].ID, Route: "b"}, w.now)
	w.must(err)
	w.must(w.s.Rebox(ctx, w.lease, []doppelboden.Ref{ref(m, 0)}, second))
	same(t, "box that it changed to", seqs(w.deliveries(store.Filter{States: held, Box: second})), []int64{m.Deliveries[0].Seq})
	err = w.s.Deliveries(ctx, store.Filter{Group: group}, func(store.Item) error { return nil })
	isCode(t, "a group of every state", err, doppelboden.Invalid)
}

func refusedBoxes(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.refuse(refusedAt("stadt/a"), w.boxes[0], w.boxes[1])
	w.refuse(refusedAt("stadt/a"), w.boxes[0])
	last := w.now
	m := w.accept(w.boxes[0])
	w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Held, Hold: doppelboden.Hold{Reason: doppelboden.HeldByPerson}, Reply: "hold", By: "anna"})
	got := gather(t, func(y func(store.RefusedBox) error) error { return w.s.RefusedBoxes(ctx, y) })
	if len(got) != 2 {
		t.Fatalf("%+v, wanted the two boxes whose mail was refused", got)
	}
	want := store.RefusedBox{Hold: refusedAt("stadt/a"), Group: got[0].Group, Tenant: w.tenants[0].ID, Box: boxOf(w.boxes[0]),
		Mailbox: w.boxes[0].ID, Recipient: w.boxes[0].Address, Last: cut(last)}
	same(t, "first refused box", got[0], want)
}

func heldAtTheDoor(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.message(w.boxes[0], w.boxes[1], w.boxes[0])
	m.Copies = nil
	m.Deliveries[0].State, m.Deliveries[0].Reply = doppelboden.Held, "refused by a check"
	m.Deliveries[1].State, m.Deliveries[1].Reply, m.Deliveries[1].Attempts = doppelboden.Held, "rcpt a:25: 550 no", 1
	m.Deliveries[2].State, m.Deliveries[2].Mailbox = doppelboden.Held, 0
	w.acceptThis(m)
	w.acceptThis(m) // in doubt, it comes twice
	m = w.get(m.ID)
	got, err := w.s.HeldWhy(ctx, []int64{m.Deliveries[0].Seq, m.Deliveries[1].Seq, m.Deliveries[2].Seq})
	w.must(err)
	for i, want := range []doppelboden.HoldReason{doppelboden.HeldByCheck, doppelboden.HeldMail, doppelboden.HeldForNobody} {
		if r := got[m.Deliveries[i].Seq].Reason; r != want {
			t.Errorf("delivery %d that came into being held: reason %v, wanted %v", i, r, want)
		}
	}
	w.must(w.s.Assign(ctx, w.lease, store.Assignment{Ref: ref(m, 2), Mailbox: w.boxes[1].ID, To: w.boxes[1].Address, State: doppelboden.Queued, By: "anna", At: w.tick()}))
	got, err = w.s.HeldWhy(ctx, []int64{m.Deliveries[2].Seq})
	if w.must(err); len(got) != 0 {
		t.Errorf("what was assigned is still held: %+v", got)
	}
}

func failing(t *testing.T, open Open) {
	w := newWorld(t, open)
	var want []int64
	for i := range 3 {
		w.accept(w.boxes[0]) // never tried
		m := w.accept(w.boxes[2-i])
		w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Queued, Next: w.now.Add(time.Hour), Reply: "rcpt a:24: 451 later", By: "courier", Attempt: true})
		if i > 0 {
			want = append(want, w.get(m.ID).Deliveries[0].Seq)
		}
	}
	all := gather(t, func(y func(store.Failing) error) error { return w.s.Failing(ctx, 0, y) })
	if len(all) != 3 || all[2].Tenant != w.tenants[1].ID || all[2].Recipient != w.boxes[2].Address ||
		all[2].Reply != "rcpt a:24: 451 later" || all[2].Box != boxOf(w.boxes[2]) || all[2].Mailbox != w.boxes[2].ID || all[2].Changed.IsZero() {
		t.Errorf("failing: %+v, wanted three, the second tenant's last", all)
	}
	var got []int64
	for _, f := range gather(t, func(y func(store.Failing) error) error { return w.s.Failing(ctx, w.tenants[0].ID, y) }) {
		got = append(got, f.Seq)
	}
	same(t, "failing of one tenant", got, want)
}

func manyHeld(t *testing.T, open Open) {
	w := newWorld(t, open)
	const groups, each = 300, 3
	var list []doppelboden.Settlement
	for i := range groups * each {
		m := w.accept(w.boxes[0])
		list = append(list, doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Held, At: w.tick(), By: "courier",
			Hold: refusedAt(fmt.Sprintf("stadt/r%d", i%groups)), Reply: "rcpt a:24: 550 no"})
	}
	w.must(w.s.Settle(ctx, w.lease, list))
	all := w.groups(0)
	for _, g := range all {
		if g.Deliveries != each {
			t.Fatalf("group %+v, wanted %d in each", g, each)
		}
	}
	if boxes := gather(t, func(y func(store.RefusedBox) error) error { return w.s.RefusedBoxes(ctx, y) }); len(all) != groups || len(boxes) != groups {
		t.Errorf("%d groups and %d refused boxes, wanted %d of both", len(all), len(boxes), groups)
	}
}

package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testDestinations(t *testing.T, open Open) {
	t.Run("one content has one number, also after a restart", func(t *testing.T) { internDestinations(t, open) })
	t.Run("what is due comes first, and then when to come back", func(t *testing.T) { due(t, open) })
	t.Run("unused domains go, and no number is given twice", func(t *testing.T) { dropDestinations(t, open) })
}

// toDomain is a domain of the Internet as a tenant's destination.
func (w *world) toDomain(tenant int, domain string) doppelboden.Destination {
	return doppelboden.Destination{Tenant: w.tenants[tenant].ID, Domain: domain}
}

// put puts a destination.
func (w *world) put(d doppelboden.Destination) doppelboden.BoxID {
	w.t.Helper()
	id, err := w.s.PutDestination(ctx, d, w.clock())
	w.must(err)
	if id >= 0 {
		w.t.Errorf("destination %+v has the number %d, wanted a negative one", d, id)
	}
	return id
}

func internDestinations(t *testing.T, open Open) {
	w := newWorld(t, open)
	list := []doppelboden.Destination{
		w.toDomain(0, "example.org"), w.toDomain(1, "example.org"), w.toDomain(0, "example.net"),
		{Tenant: w.tenants[0].ID, Mailbox: w.boxes[0].ID, Route: "new"},
		{Tenant: w.tenants[0].ID, Mailbox: w.boxes[1].ID, Route: "new"},
		{Tenant: w.tenants[0].ID, Mailbox: w.boxes[0].ID, Route: "newer"},
	}
	want := map[doppelboden.BoxID]doppelboden.Destination{}
	for i := range list {
		list[i].ID = w.put(list[i])
		want[list[i].ID] = list[i]
	}
	if len(want) != len(list) {
		t.Errorf("%d contents have %d numbers", len(list), len(want))
	}
	check := func(when string) {
		t.Helper()
		got := map[doppelboden.BoxID]doppelboden.Destination{}
		for _, d := range gather(t, func(y func(doppelboden.Destination) error) error { return w.s.Destinations(ctx, y) }) {
			got[d.ID] = d
		}
		same(t, "destinations "+when, got, want)
		for _, d := range list {
			if id := w.put(d); id != d.ID {
				t.Errorf("%s: %+v has the number %d, wanted %d", when, d, id, d.ID)
			}
		}
	}
	check("at once")
	w.restart()
	check("after a restart")
	for _, bad := range []doppelboden.Destination{
		{}, {Tenant: 1}, {Domain: "example.org"}, {Tenant: 1, Mailbox: 1}, {Tenant: 1, Route: "x"},
		{Tenant: 1, Mailbox: 1, Route: "x", Domain: "example.org"}, {Tenant: 1, Route: "x", Domain: "example.org"},
	} {
		_, err := w.s.PutDestination(ctx, bad, w.clock())
		isCode(t, "a destination that is none", err, doppelboden.Invalid)
	}
}

// outward makes a message that goes to boxes.
func (w *world) outward(boxes ...doppelboden.BoxID) *doppelboden.Message {
	m := w.message(w.boxes[0])
	m.Deliveries, m.Copies, m.Recipients = nil, nil, len(boxes)
	for i, b := range boxes {
		m.Deliveries = append(m.Deliveries, doppelboden.Delivery{Message: m.ID, N: i, Tenant: m.Tenant, Box: b,
			Recipient: addr("eva", "example.org"), Changed: m.Received})
	}
	w.acceptThis(m)
	return m
}

func due(t *testing.T, open Open) {
	w := newWorld(t, open)
	one, two, empty := w.put(w.toDomain(0, "one.example")), w.put(w.toDomain(0, "two.example")), w.put(w.toDomain(0, "three.example"))
	now := cut(w.tick())
	var list []*doppelboden.Message
	for range 6 {
		list = append(list, w.outward(one))
	}
	both := w.outward(one, two)
	at := func(m *doppelboden.Message, next time.Time) {
		w.settle(doppelboden.Settlement{Ref: ref(m, 0), Box: one, State: doppelboden.Queued, Next: next, Attempt: true})
	}
	at(list[0], now.Add(time.Hour))
	at(list[1], now.Add(time.Minute))
	at(list[2], now.Add(time.Second))
	at(list[3], now.Add(2*time.Hour))
	w.settle(doppelboden.Settlement{Ref: ref(list[4], 0), State: doppelboden.Held})
	seqOf := func(refs ...*doppelboden.Message) (seqs []int64) {
		for _, m := range refs {
			seqs = append(seqs, m.Deliveries[0].Seq)
		}
		return seqs
	}
	last := both.Deliveries[1].Seq
	for _, c := range []struct {
		what  string
		boxes []doppelboden.BoxID
		until time.Time
		limit int
		want  []int64
	}{
		{"two now and when the next is due", []doppelboden.BoxID{one}, now, 10, seqOf(list[5], both, list[2])},
		{"at a time exactly", []doppelboden.BoxID{one}, now.Add(time.Minute), 10, seqOf(list[5], both, list[2], list[1], list[0])},
		{"all", []doppelboden.BoxID{one}, now.Add(time.Hour * 9), 10, seqOf(list[5], both, list[2], list[1], list[0], list[3])},
		{"a limit", []doppelboden.BoxID{one}, now.Add(time.Hour), 2, seqOf(list[5], both)},
		{"two boxes", []doppelboden.BoxID{two, one, empty}, now, 1, []int64{last, list[5].Deliveries[0].Seq}},
		{"an empty one", []doppelboden.BoxID{empty, -4711}, now, 10, nil},
	} {
		got, err := w.s.Due(ctx, c.boxes, c.until, c.limit)
		w.must(err)
		same(t, c.what, seqs(got), c.want)
		for _, it := range got {
			if it.Message == nil || it.Message.ID != it.Delivery.Message || it.Delivery.Box != one && it.Delivery.Box != two {
				t.Errorf("%s: an item without its message or box: %+v", c.what, it)
			}
		}
	}
	_, err := w.s.Due(ctx, make([]doppelboden.BoxID, 101), now, 1)
	isCode(t, "101 boxes at once", err, doppelboden.Invalid)
}

func dropDestinations(t *testing.T, open Open) {
	w := newWorld(t, open)
	queued, held, ended, unused := w.put(w.toDomain(0, "queued.example")), w.put(w.toDomain(0, "held.example")),
		w.put(w.toDomain(0, "ended.example")), w.put(w.toDomain(0, "unused.example"))
	second := w.put(doppelboden.Destination{Tenant: w.tenants[0].ID, Mailbox: w.boxes[0].ID, Route: "new"})
	w.outward(queued)
	w.settle(doppelboden.Settlement{Ref: ref(w.outward(held), 0), State: doppelboden.Held})
	w.settle(doppelboden.Settlement{Ref: ref(w.outward(ended), 0), State: doppelboden.Delivered})
	cutAt := w.tick()
	again := w.put(w.toDomain(0, "again.example"))
	newest := w.put(w.toDomain(0, "newest.example"))
	drop := func(cut time.Time, want int) {
		t.Helper()
		n, err := w.s.DropDestinations(ctx, cut)
		w.must(err)
		if n != want {
			t.Errorf("%d destinations removed, wanted %d", n, want)
		}
	}
	drop(day.Add(-time.Hour), 0)
	drop(cutAt, 2)
	drop(cutAt, 0)
	left := map[doppelboden.BoxID]bool{}
	for _, d := range gather(t, func(y func(doppelboden.Destination) error) error { return w.s.Destinations(ctx, y) }) {
		left[d.ID] = true
	}
	same(t, "what is left", left, map[doppelboden.BoxID]bool{queued: true, held: true, second: true, again: true, newest: true})
	drop(w.tick(), 1) // not the newest
	for _, domain := range []string{"ended.example", "other.example"} {
		if id := w.put(w.toDomain(0, domain)); id >= newest || id == ended || id == unused {
			t.Errorf("%s has the number %d, which another had before (newest %d)", domain, id, newest)
		}
	}
	if got := len(w.deliveries(store.Filter{Box: queued, States: []doppelboden.State{doppelboden.Queued}})); got != 1 {
		t.Errorf("%d deliveries wait in the box that stayed, wanted 1", got)
	}
}

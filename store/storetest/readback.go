package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testReadback(t *testing.T, open Open) {
	t.Run("a replay opens what was taken before it, once", func(t *testing.T) { replays(t, open) })
	t.Run("what was handed over is found by time and by box", func(t *testing.T) { handed(t, open) })
	t.Run("many are found page by page", func(t *testing.T) { handedPages(t, open) })
	t.Run("a sighting confirms and is kept", func(t *testing.T) { confirms(t, open) })
	t.Run("what passed through was handed over as well", func(t *testing.T) {
		w := newWorld(t, open)
		m := w.message(w.boxes[0], w.boxes[1])
		m.Deliveries[0].State, m.Deliveries[0].Attempts = doppelboden.Delivered, 1
		m.Deliveries[1].State = doppelboden.Delivered // lies with us
		w.acceptThis(m)
		same(t, "what was handed over", w.handed(store.HandedFilter{}), []store.Handed{w.asHanded(m, 0, doppelboden.Delivered, cut(m.Deliveries[0].Changed))})
	})
}

// handed reads what was handed over.
func (w *world) handed(f store.HandedFilter) []store.Handed {
	w.t.Helper()
	return gather(w.t, func(y func(store.Handed) error) error { return w.s.Handed(ctx, f, y) })
}

// asHanded is a delivery as Handed has it, without a sighting.
func (w *world) asHanded(m *doppelboden.Message, n int, state doppelboden.State, at time.Time) store.Handed {
	d := m.Deliveries[n]
	return store.Handed{Ref: ref(m, n), Seq: d.Seq, Tenant: m.Tenant, Mailbox: d.Mailbox, Box: store.BoxOf(&d), Recipient: d.Recipient,
		State: state, At: at, Received: cut(m.Received)}
}

// take has a next server take a delivery, and returns when.
func (w *world) take(m *doppelboden.Message, n int) time.Time {
	w.t.Helper()
	w.settle(doppelboden.Settlement{Ref: ref(m, n), State: doppelboden.Delivered, Reply: "250", By: "courier", Attempt: true})
	return cut(w.clock())
}

func replays(t *testing.T, open Open) {
	w := newWorld(t, open)
	for _, from := range doppelboden.States() {
		m := w.accept(w.boxes[0])
		if from == doppelboden.Confirmed || from == doppelboden.Delivered {
			w.take(m, 0)
		}
		if from != doppelboden.Queued {
			w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: from})
		}
		before := w.delivery(m.ID, 0)
		again := doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Queued, Reply: "again", By: store.ReplayBy + "anna"}

		early := again
		early.At = before.Changed
		w.must(w.s.Settle(ctx, w.lease, []doppelboden.Settlement{early}))
		if before.State.Ended() {
			same(t, before.State.String()+" after a replay that was decided when it ended", w.delivery(m.ID, 0), before)
		}
		again.At = w.tick()
		list := []doppelboden.Settlement{again}
		for range 2 {
			w.must(w.s.Settle(ctx, w.lease, list))
		}
		opens := from == doppelboden.Delivered || from == doppelboden.Confirmed
		after := w.delivery(m.ID, 0)
		if opens && (after.State != doppelboden.Queued || after.Reply != "again" || after.Attempts != before.Attempts) {
			t.Errorf("%v after a replay: state %v, reply %q, %d attempts, want queued, again, %d", from, after.State, after.Reply, after.Attempts, before.Attempts)
		}
		if !opens && before.State.Ended() {
			same(t, from.String()+" after a replay", after, before)
		}
		// A next server takes it; the replay that is run again leaves that alone.
		w.take(m, 0)
		before = w.delivery(m.ID, 0)
		w.must(w.s.Settle(ctx, w.lease, list))
		same(t, from.String()+" after it was handed over again and the replay repeated", w.delivery(m.ID, 0), before)
	}
	var opened int
	for _, e := range ofKind(w.entries(), doppelboden.EntrySettled) {
		if e.State == doppelboden.Queued && e.By == store.ReplayBy+"anna" {
			opened++
		}
	}
	if opened != 3 { // delivered, confirmed, and once what was held
		t.Errorf("%d entries of replays, want 3", opened)
	}
}

func handed(t *testing.T, open Open) {
	w := newWorld(t, open)
	var all []*doppelboden.Message
	for i := range 6 {
		all = append(all, w.accept(w.boxes[i%2], w.boxes[1-i%2]))
	}
	w.accept(w.boxes[0]) // stays queued
	// Taken in another order than they came.
	var times []time.Time
	order := []int{3, 0, 5, 1, 4, 2}
	var want []store.Handed
	for _, i := range order {
		times = append(times, w.take(all[i], 0))
		want = append(want, w.asHanded(all[i], 0, doppelboden.Delivered, times[len(times)-1]))
	}
	same(t, "all", w.handed(store.HandedFilter{}), want)
	same(t, "from the second until before the fifth", w.handed(store.HandedFilter{From: times[1], To: times[4]}), want[1:4])
	same(t, "two", w.handed(store.HandedFilter{Limit: 2}), want[:2])
	same(t, "behind the second", w.handed(store.HandedFilter{From: times[1], AfterSeq: want[1].Seq}), want[2:])
	box := boxOf(w.boxes[0])
	bySeq := []store.Handed{want[1], want[5], want[4]} // 0, 2, 4
	same(t, "of a box, by Seq", w.handed(store.HandedFilter{Box: box}), bySeq)
	same(t, "of a box in a period", w.handed(store.HandedFilter{Box: box, From: times[2], AfterSeq: want[1].Seq, Limit: 1}), bySeq[1:2])

	same(t, "of a tenant", w.handed(store.HandedFilter{Tenant: w.tenants[0].ID}), want)
	same(t, "of another tenant", w.handed(store.HandedFilter{Tenant: w.tenants[1].ID}), []store.Handed{})
	same(t, "of another tenant, in the box", w.handed(store.HandedFilter{Tenant: w.tenants[1].ID, Box: box}), []store.Handed{})

	// In one microsecond the Seq decides.
	at := w.tick()
	var list []doppelboden.Settlement
	for _, i := range []int{2, 1, 0} {
		list = append(list, doppelboden.Settlement{Ref: ref(all[i], 1), State: doppelboden.Delivered, At: at, By: "courier"})
	}
	w.must(w.s.Settle(ctx, w.lease, list))
	same(t, "at once", w.handed(store.HandedFilter{From: cut(at)}), []store.Handed{
		w.asHanded(all[0], 1, doppelboden.Delivered, cut(at)), w.asHanded(all[1], 1, doppelboden.Delivered, cut(at)),
		w.asHanded(all[2], 1, doppelboden.Delivered, cut(at))})
	same(t, "at once, behind the first", w.handed(store.HandedFilter{From: cut(at), AfterSeq: all[0].Deliveries[1].Seq, Limit: 1}),
		[]store.Handed{w.asHanded(all[1], 1, doppelboden.Delivered, cut(at))})

	// What is opened again was handed over no more, until it is.
	w.settle(doppelboden.Settlement{Ref: ref(all[3], 0), State: doppelboden.Queued, By: store.ReplayBy + "anna"})
	same(t, "the first two after one was opened again", w.handed(store.HandedFilter{Limit: 2}), want[1:3])
	last := w.take(all[3], 0)
	same(t, "the last", w.handed(store.HandedFilter{From: last}), []store.Handed{w.asHanded(all[3], 0, doppelboden.Delivered, last)})
}

func handedPages(t *testing.T, open Open) {
	w := newWorld(t, open)
	const many = 1500
	boxes := make([]doppelboden.Mailbox, many)
	for i := range boxes {
		boxes[i] = w.boxes[0]
	}
	m := w.message(boxes...)
	m.Copies = m.Copies[:1]
	w.acceptThis(m)
	var list []doppelboden.Settlement
	at := w.tick()
	for n := range many {
		if n%100 == 0 {
			at = w.tick()
		}
		list = append(list, doppelboden.Settlement{Ref: ref(m, n), State: doppelboden.Delivered, At: at, By: "courier"})
	}
	w.must(w.s.Settle(ctx, w.lease, list))
	for name, f := range map[string]store.HandedFilter{"by time": {}, "in a box": {Box: boxOf(w.boxes[0])}} {
		got := w.handed(f)
		for i := range got {
			if got[i].Ref.N != i {
				t.Errorf("%s: place %d has delivery %d", name, i, got[i].Ref.N)
				break
			}
		}
		if len(got) != many {
			t.Errorf("%s: %d deliveries, want %d", name, len(got), many)
		}
		f.Limit = many - 1
		if got := w.handed(f); len(got) != many-1 {
			t.Errorf("%s: %d deliveries with a limit of %d", name, len(got), many-1)
		}
	}
}

func confirms(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	taken := w.take(m, 0)
	seen := store.Sighting{Validity: 1<<32 - 1, UID: 1<<32 - 1, Size: 1 << 40, Date: cut(day.Add(-time.Hour))}
	list := []store.Confirmation{
		{Ref: ref(m, 0), Sighting: seen, By: "readback", At: w.tick()},
		{Ref: ref(m, 1), Sighting: seen, By: "readback", At: w.clock()}, // is queued
		{Ref: ref(m, 2), Sighting: seen, By: "readback", At: w.clock()}, // is none
		{Ref: doppelboden.Ref{Message: w.ids.New(day)}, By: "readback", At: w.clock()},
	}
	confirmed := cut(list[0].At)
	old := w.lease
	var err error
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	isCode(t, "Confirm of a run that was replaced", w.s.Confirm(ctx, old, list), doppelboden.Fenced)
	for range 2 {
		w.must(w.s.Confirm(ctx, w.lease, list))
	}
	want := w.asHanded(m, 0, doppelboden.Confirmed, taken)
	want.Sighting = seen
	same(t, "what was handed over", w.handed(store.HandedFilter{}), []store.Handed{want})
	d := w.delivery(m.ID, 0)
	if d.State != doppelboden.Confirmed || d.Reply != "250" || d.Attempts != 1 || !d.Changed.Equal(confirmed) {
		t.Errorf("after Confirm: %v, reply %q, %d attempts, changed %v, want confirmed, 250, 1, %v", d.State, d.Reply, d.Attempts, d.Changed, confirmed)
	}
	if d := w.delivery(m.ID, 1); d.State != doppelboden.Queued {
		t.Errorf("what is queued is %v after Confirm", d.State)
	}
	same(t, "entries", len(ofKind(w.entries(), doppelboden.EntrySettled)), 2)

	// It was moved: the new sighting counts, and no second entry is written.
	moved := store.Sighting{Size: 17}
	w.must(w.s.Confirm(ctx, w.lease, []store.Confirmation{{Ref: ref(m, 0), Sighting: moved, By: "readback", At: w.tick()}}))
	want.Sighting = moved
	w.restart()
	same(t, "after a restart", w.handed(store.HandedFilter{}), []store.Handed{want})
	same(t, "entries", len(ofKind(w.entries(), doppelboden.EntrySettled)), 2)
	for _, c := range must(w.s.Counts(ctx)) {
		if c.State == doppelboden.Delivered && c.Deliveries != 0 || c.State == doppelboden.Confirmed && c.Deliveries != 1 {
			t.Errorf("%d deliveries are %v", c.Deliveries, c.State)
		}
	}
	// A replay forgets what was seen.
	w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Queued, By: store.ReplayBy + "anna"})
	again := w.take(m, 0)
	same(t, "after a replay", w.handed(store.HandedFilter{}), []store.Handed{w.asHanded(m, 0, doppelboden.Delivered, again)})
}

// must is for calls that cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

package storetest

import (
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testQueue(t *testing.T, open Open) {
	t.Run("boxes are the mailboxes with queued deliveries", func(t *testing.T) { boxes(t, open) })
	t.Run("heads are the first of each mailbox", func(t *testing.T) { heads(t, open) })
	t.Run("items of one message share it", func(t *testing.T) { sharedMessage(t, open) })
	t.Run("too many mailboxes are refused", func(t *testing.T) {
		w := newWorld(t, open)
		_, err := w.s.Heads(ctx, make([]doppelboden.BoxID, 101), make([]int64, 101), 1)
		isCode(t, "Heads of 101 mailboxes", err, doppelboden.Invalid)
		_, err = w.s.Heads(ctx, make([]doppelboden.BoxID, 100), make([]int64, 100), 1)
		w.must(err)
	})
	t.Run("filters select in the order of seq", func(t *testing.T) { filters(t, open) })
	t.Run("counts are exact and know the oldest", func(t *testing.T) { counts(t, open) })
}

func boxes(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func() []store.Box {
		return sortedBoxes(gather(t, func(y func(store.Box) error) error { return w.s.Boxes(ctx, y) }))
	}
	if got := read(); len(got) != 0 {
		t.Errorf("an empty store has boxes %v", got)
	}
	first := w.accept(w.boxes[0])
	second := w.accept(w.boxes[0], w.boxes[1])
	other := w.accept(w.boxes[2])
	next := day.Add(time.Hour)
	w.settle(doppelboden.Settlement{Ref: ref(first, 0), State: doppelboden.Queued, Next: next})
	want := []store.Box{
		{Tenant: w.tenants[0].ID, Box: boxOf(w.boxes[0]), Queued: 2, Oldest: first.Deliveries[0].Seq, Since: first.Received, Next: cut(next)},
		{Tenant: w.tenants[0].ID, Box: boxOf(w.boxes[1]), Queued: 1, Oldest: second.Deliveries[1].Seq, Since: second.Received},
		{Tenant: w.tenants[1].ID, Box: boxOf(w.boxes[2]), Queued: 1, Oldest: other.Deliveries[0].Seq, Since: other.Received},
	}
	same(t, "boxes", read(), want)
	w.settle(doppelboden.Settlement{Ref: ref(first, 0), State: doppelboden.Held},
		doppelboden.Settlement{Ref: ref(second, 1), State: doppelboden.Delivered})
	want[0] = store.Box{Tenant: w.tenants[0].ID, Box: boxOf(w.boxes[0]), Queued: 1, Oldest: second.Deliveries[0].Seq, Since: second.Received}
	same(t, "boxes after one was held and one delivered", read(), []store.Box{want[0], want[2]})
	w.settle(doppelboden.Settlement{Ref: ref(first, 0), State: doppelboden.Queued})
	if got := read(); got[0].Oldest != first.Deliveries[0].Seq || got[0].Queued != 2 {
		t.Errorf("after the release of the held one: %+v, wanted 2 from Seq %d on", got[0], first.Deliveries[0].Seq)
	}
}

func heads(t *testing.T, open Open) {
	w := newWorld(t, open)
	var of [3][]int64
	for i := range 30 {
		m := w.accept(w.boxes[i%3])
		of[i%3] = append(of[i%3], m.Deliveries[0].Seq)
	}
	held := w.deliveries(store.Filter{Mailbox: w.boxes[1].ID})[0]
	w.settle(doppelboden.Settlement{Ref: doppelboden.Ref{Message: held.Message.ID}, State: doppelboden.Held})
	got, err := w.s.Heads(ctx, []doppelboden.BoxID{boxOf(w.boxes[2]), boxOf(w.boxes[0]), boxOf(w.boxes[1]), 4711}, []int64{of[2][4], 0, 0, 0}, 3)
	w.must(err)
	want := slices.Concat(of[2][5:8], of[0][:3], of[1][1:4])
	same(t, "Seqs of the heads of mailboxes 2 (after its fifth), 0 and 1 (whose first is held)", seqs(got), want)
	got, err = w.s.Heads(ctx, nil, nil, 3)
	w.must(err)
	if len(got) != 0 {
		t.Errorf("heads of no mailbox: %d items", len(got))
	}
}

func sharedMessage(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	items, err := w.s.Heads(ctx, []doppelboden.BoxID{boxOf(w.boxes[0]), boxOf(w.boxes[1])}, []int64{0, 0}, 5)
	w.must(err)
	if len(items) != 2 {
		t.Fatalf("%d items, wanted 2", len(items))
	}
	for i, it := range items {
		same(t, "delivery", it.Delivery, m.Deliveries[i])
		if it.Message.Deliveries != nil || it.Message.Copies != nil {
			t.Errorf("the message of an item has deliveries or copies")
		}
	}
}

func filters(t *testing.T, open Open) {
	w := newWorld(t, open)
	states := doppelboden.States()
	var all []doppelboden.Delivery
	// More than one page of an engine, and every state in every mailbox.
	for i := range 700 {
		m := w.message(w.boxes[i%3])
		w.acceptThis(m)
		if st := states[i/3%len(states)]; st != doppelboden.Queued {
			w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: st})
		}
		all = append(all, w.delivery(m.ID, 0))
	}
	const held, bounced, queued, delivered = doppelboden.Held, doppelboden.Bounced, doppelboden.Queued, doppelboden.Delivered
	for name, f := range map[string]store.Filter{
		"all":                      {},
		"tenant":                   {Tenant: w.tenants[1].ID},
		"unknown tenant":           {Tenant: 4711},
		"mailbox":                  {Mailbox: w.boxes[1].ID},
		"mailbox of another":       {Tenant: w.tenants[1].ID, Mailbox: w.boxes[0].ID},
		"held":                     {States: []doppelboden.State{held}},
		"held and bounced":         {States: []doppelboden.State{bounced, held}, Tenant: w.tenants[0].ID},
		"held of a mailbox":        {States: []doppelboden.State{held}, Mailbox: w.boxes[0].ID, Limit: 5},
		"queued":                   {States: []doppelboden.State{queued}},
		"queued of a mailbox":      {States: []doppelboden.State{queued}, Mailbox: w.boxes[2].ID},
		"queued, other tenant":     {States: []doppelboden.State{queued}, Mailbox: w.boxes[2].ID, Tenant: w.tenants[0].ID},
		"queued and delivered":     {States: []doppelboden.State{queued, delivered}, Mailbox: w.boxes[0].ID},
		"after":                    {AfterSeq: all[350].Seq},
		"queued after":             {AfterSeq: all[350].Seq, States: []doppelboden.State{queued}, Mailbox: w.boxes[0].ID},
		"held after":               {AfterSeq: all[350].Seq, States: []doppelboden.State{held}},
		"limit":                    {Limit: 300},
		"limit of one":             {Limit: 1, AfterSeq: all[3].Seq},
		"message":                  {Message: all[17].Message},
		"message of another":       {Message: all[17].Message, Tenant: 4711},
		"message in another state": {Message: all[17].Message, AfterSeq: all[17].Seq},
		"unknown message":          {Message: w.ids.New(day)},
	} {
		same(t, name, seqs(w.deliveries(f)), selected(all, f))
	}
}

// selected is what a filter selects, by its words.
func selected(all []doppelboden.Delivery, f store.Filter) (list []int64) {
	for _, d := range all {
		if (f.Tenant == 0 || d.Tenant == f.Tenant) && (f.Mailbox == 0 || d.Mailbox == f.Mailbox) &&
			(len(f.States) == 0 || slices.Contains(f.States, d.State)) && (f.Message.IsZero() || d.Message == f.Message) &&
			d.Seq > f.AfterSeq && (f.Limit == 0 || len(list) < f.Limit) {
			list = append(list, d.Seq)
		}
	}
	return list
}

func counts(t *testing.T, open Open) {
	w := newWorld(t, open)
	var list []*doppelboden.Message
	for i := range 6 {
		list = append(list, w.accept(w.boxes[0], w.boxes[1]))
		if i%2 == 0 {
			list = append(list, w.accept(w.boxes[2]))
		}
	}
	w.settle(
		doppelboden.Settlement{Ref: ref(list[0], 0), State: doppelboden.Held},
		doppelboden.Settlement{Ref: ref(list[0], 1), State: doppelboden.Held},
		doppelboden.Settlement{Ref: ref(list[0], 1), State: doppelboden.Delivered},
		doppelboden.Settlement{Ref: ref(list[2], 1), State: doppelboden.Delivered})
	want := []store.Count{
		{Tenant: w.tenants[0].ID, State: doppelboden.Queued, Deliveries: 9, Oldest: list[2].Received},
		{Tenant: w.tenants[0].ID, State: doppelboden.Held, Deliveries: 1, Oldest: list[0].Received},
		{Tenant: w.tenants[0].ID, State: doppelboden.Delivered, Deliveries: 2, Oldest: list[0].Received},
		{Tenant: w.tenants[1].ID, State: doppelboden.Queued, Deliveries: 3, Oldest: list[1].Received},
	}
	check := func(when string) {
		t.Helper()
		got, err := w.s.Counts(ctx)
		w.must(err)
		slices.SortFunc(got, func(a, b store.Count) int { return int(a.Tenant-b.Tenant)*10 + int(a.State-b.State) })
		same(t, "counts "+when, got, want)
	}
	check("after some were settled")
	check("asked again")
	w.restart()
	check("after a restart")
	// An older one comes into a state again.
	w.settle(doppelboden.Settlement{Ref: ref(list[0], 0), State: doppelboden.Queued})
	want[0].Deliveries, want[0].Oldest = 10, list[0].Received
	want = slices.Delete(want, 1, 2)
	check("after the held one was released")
	w.settle(doppelboden.Settlement{Ref: ref(list[0], 0), State: doppelboden.Delivered})
	want[0].Deliveries, want[0].Oldest = 9, list[2].Received
	want[1].Deliveries = 3
	check("after it was delivered")
}

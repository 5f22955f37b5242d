package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testRetention(t *testing.T, open Open) {
	t.Run("what has ended and is old goes, and nothing else", func(t *testing.T) { expire(t, open) })
	t.Run("calls with a limit come to an end", func(t *testing.T) { expireLimit(t, open) })
	t.Run("who was passed over goes once it may", func(t *testing.T) { expireLater(t, open) })
	t.Run("staying names the bodies in a segment", func(t *testing.T) { staying(t, open) })
}

func expire(t *testing.T, open Open) {
	w := newWorld(t, open)
	end := func(m *doppelboden.Message, n int) {
		w.settle(doppelboden.Settlement{Ref: ref(m, n), State: doppelboden.Delivered})
	}
	queued, half, held := w.accept(w.boxes[0]), w.accept(w.boxes[0], w.boxes[1]), w.accept(w.boxes[0])
	end(half, 0)
	w.settle(doppelboden.Settlement{Ref: ref(held, 0), State: doppelboden.Held})
	kept := w.accept(w.boxes[1])
	end(kept, 0)
	gone := []*doppelboden.Message{w.accept(w.boxes[0], w.boxes[0]), w.accept(w.boxes[2])}
	end(gone[0], 0)
	end(gone[0], 1)
	w.settle(doppelboden.Settlement{Ref: ref(gone[1], 0), State: doppelboden.Bounced})
	none := &doppelboden.Message{ID: w.ids.New(w.tick()), Tenant: w.tenants[0].ID, Received: cut(w.clock())}
	w.acceptThis(none)
	cutAt := cut(w.tick())
	young := w.message(w.boxes[0])
	young.Received = cutAt
	w.acceptThis(young)
	end(young, 0)

	n, err := w.s.Expire(ctx, cutAt, []doppelboden.MailboxID{4711, w.boxes[1].ID}, 100)
	w.must(err)
	if n != 3 {
		t.Errorf("%d messages removed, wanted 3", n)
	}
	for _, m := range append(gone, none) {
		_, err := w.s.Message(ctx, m.ID)
		isCode(t, "Message that was removed", err, doppelboden.NotFound)
		_, err = w.s.ByReceipt(ctx, m.Receipt)
		isCode(t, "its receipt", err, doppelboden.NotFound)
	}
	for _, m := range []*doppelboden.Message{queued, half, held, kept, young} {
		if got := w.get(m.ID); len(got.Deliveries) != len(m.Deliveries) || len(got.Copies) != len(m.Copies) {
			t.Errorf("a message that stays has %d deliveries and %d copies, wanted %d and %d",
				len(got.Deliveries), len(got.Copies), len(m.Deliveries), len(m.Copies))
		}
	}
	copies := gather(t, func(y func(doppelboden.Copy) error) error { return w.s.Copies(ctx, w.tenants[1].ID, w.boxes[2].ID, y) })
	if len(copies) != 0 {
		t.Errorf("a removed message left %d copies", len(copies))
	}
	entries := ofKind(w.entries(), doppelboden.EntryExpired)
	if len(entries) != 3 || entries[1].Message != gone[1].ID || entries[1].Tenant != gone[1].Tenant {
		t.Errorf("ledger says %+v, wanted the 3 removed messages", entries)
	}
	counts, err := w.s.Counts(ctx)
	w.must(err)
	for _, c := range counts {
		if c.Tenant == w.tenants[1].ID {
			t.Errorf("count %+v of a tenant that has nothing left", c)
		}
	}
}

func expireLimit(t *testing.T, open Open) {
	w := newWorld(t, open)
	for i := range 120 {
		m := w.message(w.boxes[i%3])
		if i%3 != 0 {
			m.Deliveries[0].State = doppelboden.Delivered
		}
		w.acceptThis(m)
	}
	cutAt := w.tick()
	total := 0
	for range 120 {
		n, err := w.s.Expire(ctx, cutAt, nil, 7)
		w.must(err)
		if n > 7 {
			t.Fatalf("%d messages removed with a limit of 7", n)
		}
		if n == 0 {
			break
		}
		total += n
		w.accept(w.boxes[0])
	}
	if total != 80 {
		t.Errorf("%d messages removed, wanted 80", total)
	}
	if n, err := w.s.Expire(ctx, cutAt, nil, 7); n != 0 || err != nil {
		t.Errorf("after the end %d more were removed (%v)", n, err)
	}
}

func expireLater(t *testing.T, open Open) {
	w := newWorld(t, open)
	waits := w.accept(w.boxes[0])
	for range 5 {
		m := w.message(w.boxes[0])
		m.Deliveries[0].State = doppelboden.Delivered
		w.acceptThis(m)
	}
	cutAt := w.tick()
	if n, err := w.s.Expire(ctx, cutAt, nil, 5); n != 5 || err != nil {
		t.Fatalf("%d removed (%v), wanted 5", n, err)
	}
	w.settle(doppelboden.Settlement{Ref: ref(waits, 0), State: doppelboden.Discarded})
	if n, err := w.s.Expire(ctx, cutAt, nil, 5); n != 0 || err != nil {
		t.Errorf("%d removed (%v), wanted none: the last has ended after the cut", n, err)
	}
	if n, err := w.s.Expire(ctx, w.tick(), nil, 5); n != 1 || err != nil {
		t.Errorf("%d removed (%v), wanted the one that has ended since", n, err)
	}
	if items := w.deliveries(store.Filter{}); len(items) != 0 {
		t.Errorf("%d deliveries left", len(items))
	}
}

func staying(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := map[doppelboden.ID]store.BodyOf{}
	for i := range 30 {
		m := w.message(w.boxes[i%3])
		m.Body.Segment = []string{"2026-03-13", "2026-03-14"}[i%2]
		m.Body.KeyVersion = 1 + i%4/2
		w.acceptThis(m)
		if i%2 == 0 {
			want[m.ID] = store.BodyOf{Tenant: m.Tenant, Message: m.ID, Body: m.Body}
		}
	}
	got, err := w.s.Staying(ctx, "2026-03-13", 4)
	w.must(err)
	if len(got) != 4 {
		t.Errorf("%d bodies with a limit of 4", len(got))
	}
	// One that was moved into the segment stays there as well, whatever its age.
	moved := w.accept(w.boxes[0])
	moved.Body.Segment = "2026-03-13"
	w.must(w.s.Rewrap(ctx, []store.BodyOf{{Tenant: moved.Tenant, Message: moved.ID, Body: moved.Body}}))
	want[moved.ID] = store.BodyOf{Tenant: moved.Tenant, Message: moved.ID, Body: moved.Body}
	got, err = w.s.Staying(ctx, "2026-03-13", 100)
	w.must(err)
	found := map[doppelboden.ID]store.BodyOf{}
	for _, b := range got {
		found[b.Message] = b
	}
	same(t, "bodies in the segment", found, want)
	for i, segment := range []string{"2026-03-1", "2026-03-13x", ""} {
		if got, err := w.s.Staying(ctx, segment, 100); err != nil || len(got) != 0 {
			t.Errorf("segment %d %q: %d bodies (%v), wanted none", i, segment, len(got), err)
		}
	}
	// Once they are gone the segment is empty.
	for id := range want {
		w.settle(doppelboden.Settlement{Ref: doppelboden.Ref{Message: id}, State: doppelboden.Delivered})
	}
	if _, err := w.s.Expire(ctx, w.tick().Add(time.Hour), nil, 1000); err != nil {
		t.Fatal(err)
	}
	if got, err := w.s.Staying(ctx, "2026-03-13", 100); err != nil || len(got) != 0 {
		t.Errorf("%d bodies stay after retention (%v)", len(got), err)
	}
	again := w.message(w.boxes[0])
	again.Body.Segment = "2026-03-13"
	w.acceptThis(again)
	if got, err := w.s.Staying(ctx, "2026-03-13", 100); err != nil || len(got) != 1 {
		t.Errorf("%d bodies in the segment after a new one (%v)", len(got), err)
	}
}

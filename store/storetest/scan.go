package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testScan(t *testing.T, open Open) {
	t.Run("what scanners say later replaces what is kept", func(t *testing.T) { putScans(t, open) })
	t.Run("unscanned is what waits for scanners", func(t *testing.T) { unscanned(t, open) })
	t.Run("what scanners said outlives a restart", func(t *testing.T) { scansStay(t, open) })
}

// acceptUnscanned keeps a message that no scanner has seen.
func (w *world) acceptUnscanned(boxes ...doppelboden.Mailbox) *doppelboden.Message {
	w.t.Helper()
	m := w.message(boxes...)
	m.Scan = doppelboden.Unscanned
	_, err := w.s.Accept(ctx, m)
	w.must(err)
	return m
}

func putScans(t *testing.T, open Open) {
	w := newWorld(t, open)
	m, other := w.acceptUnscanned(w.boxes[0]), w.acceptUnscanned(w.boxes[1])
	at := w.tick()
	gone := doppelboden.ID{1, 2, 3}
	w.must(w.s.PutScans(ctx, []store.Scan{
		{Message: m.ID, State: doppelboden.Spam, At: at, Prefix: []byte("X-Spam-Flag: YES\r\n")},
		{Message: gone, State: doppelboden.Clean, At: at},
	}))
	want := *m
	want.Scan, want.Scanned, want.Prefix = doppelboden.Spam, cut(at), []byte("X-Spam-Flag: YES\r\n")
	got, err := w.s.Message(ctx, m.ID)
	w.must(err)
	if got.Scan != want.Scan || !got.Scanned.Equal(want.Scanned) || string(got.Prefix) != string(want.Prefix) {
		t.Errorf("after PutScans: %v at %v, prefix %q, wanted %v at %v, prefix %q",
			got.Scan, got.Scanned, got.Prefix, want.Scan, want.Scanned, want.Prefix)
	}
	w.must(w.s.PutScans(ctx, []store.Scan{{Message: m.ID, State: doppelboden.Clean, At: at.Add(time.Hour)}}))
	if got, err = w.s.Message(ctx, m.ID); err != nil || got.Scan != doppelboden.Clean || string(got.Prefix) != "X-Spam-Flag: YES\r\n" {
		t.Errorf("after PutScans without a prefix: %v, prefix %q, err %v; wanted clean and the prefix as it was", got.Scan, got.Prefix, err)
	}
	items, err := w.s.Heads(ctx, []doppelboden.BoxID{doppelboden.BoxID(w.boxes[0].ID)}, []int64{0}, 1)
	w.must(err)
	if len(items) != 1 || items[0].Message.Scan != doppelboden.Clean || !items[0].Message.Scanned.Equal(cut(at.Add(time.Hour))) {
		t.Errorf("Heads does not show what scanners said: %+v", items)
	}
	if got, err = w.s.Message(ctx, other.ID); err != nil || got.Scan != doppelboden.Unscanned || !got.Scanned.IsZero() {
		t.Errorf("another message: %v at %v, err %v, wanted it as it was", got.Scan, got.Scanned, err)
	}
	w.must(w.s.PutScans(ctx, nil))
}

func unscanned(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := w.acceptUnscanned(w.boxes[0])
	w.accept(w.boxes[0])
	second := w.acceptUnscanned(w.boxes[0], w.boxes[1])
	third := w.acceptUnscanned(w.boxes[1])
	foreign := w.acceptUnscanned(w.boxes[2])

	read := func(tenant int, after int64, limit int) []store.Unscanned {
		t.Helper()
		list, err := w.s.Unscanned(ctx, w.tenants[tenant].ID, after, limit)
		w.must(err)
		return list
	}
	entry := func(m *doppelboden.Message) store.Unscanned {
		return store.Unscanned{Message: m.ID, Seq: m.Deliveries[0].Seq, Since: cut(m.Received)}
	}
	same(t, "all of the first tenant", read(0, 0, 10), []store.Unscanned{entry(first), entry(second), entry(third)})
	same(t, "one after the first", read(0, first.Deliveries[0].Seq, 1), []store.Unscanned{entry(second)})
	same(t, "of the second tenant", read(1, 0, 10), []store.Unscanned{entry(foreign)})

	at := w.tick()
	w.must(w.s.PutScans(ctx, []store.Scan{
		{Message: first.ID, State: doppelboden.Clean, At: at}, {Message: foreign.ID, State: doppelboden.Unscanned, At: at}}))
	w.settle(doppelboden.Settlement{Ref: ref(second, 0), State: doppelboden.Discarded},
		doppelboden.Settlement{Ref: ref(third, 0), State: doppelboden.Discarded})
	same(t, "after one was scanned and one ended", read(0, 0, 10), []store.Unscanned{entry(second)})
	again := entry(foreign)
	again.Since = cut(at)
	same(t, "one that was to be scanned again waits since then", read(1, 0, 10), []store.Unscanned{again})
	w.settle(doppelboden.Settlement{Ref: ref(second, 1), State: doppelboden.Held})
	same(t, "held mail waits too", read(0, 0, 10), []store.Unscanned{entry(second)})

	counts, err := w.s.UnscannedCounts(ctx)
	w.must(err)
	same(t, "counts", counts, []store.UnscannedCount{
		{Tenant: w.tenants[0].ID, Messages: 1, Oldest: cut(second.Received)},
		{Tenant: w.tenants[1].ID, Messages: 1, Oldest: cut(foreign.Received)}})
}

func scansStay(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.acceptUnscanned(w.boxes[0])
	w.must(w.s.PutScans(ctx, []store.Scan{{Message: m.ID, State: doppelboden.Malware, At: w.tick()}}))
	w.restart()
	if got, err := w.s.Message(ctx, m.ID); err != nil || got.Scan != doppelboden.Malware {
		t.Errorf("after a restart: %v, err %v, wanted malware", got.Scan, err)
	}
}

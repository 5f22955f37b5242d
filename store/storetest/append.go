package storetest

import (
	"math"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func testFilings(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func(box doppelboden.BoxID) store.Filing {
		t.Helper()
		f, err := w.s.FilingOf(ctx, box)
		w.must(err)
		return f
	}
	own := doppelboden.BoxID(w.boxes[0].ID)
	_, err := w.s.FilingOf(ctx, own)
	isCode(t, "FilingOf a box that never had one", err, doppelboden.NotFound)
	first := store.Filing{Tenant: w.boxes[0].Tenant, Box: own, Route: "stadt/" + hostile, Folder: hostile, Validity: math.MaxUint32, Next: math.MaxUint32, Through: math.MaxInt64, At: cut(day)}
	second := store.Filing{Tenant: w.boxes[2].Tenant, Box: -3, Route: "stadt/neu", Validity: 1, Next: 1, Through: 1, At: cut(w.tick())}
	for range 2 {
		w.must(w.s.PutFiling(ctx, w.lease, first))
	}
	w.must(w.s.PutFiling(ctx, w.lease, second))
	same(t, "the filing", read(own), first)
	first.Validity, first.Next, first.Through, first.Route = 7, 8, 9, "stadt/alt"
	w.must(w.s.PutFiling(ctx, w.lease, first))
	w.restart()
	same(t, "the filing after a restart", read(own), first)
	same(t, "the filing of another box", read(-3), second)

	old := w.lease
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	late := first
	late.Next = 4711
	isCode(t, "PutFiling of a run that was replaced", w.s.PutFiling(ctx, old, late), doppelboden.Fenced)
	same(t, "the filing after a fenced one", read(own), first)
}

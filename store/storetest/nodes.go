package storetest

import (
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func testNodes(t *testing.T, open Open) {
	w := newWorld(t, open)
	last := w.lease.Epoch
	if last < 1 {
		t.Errorf("the first epoch is %d", last)
	}
	leases := []store.Lease{w.lease}
	for _, name := range []string{"node", "Node", "other", "node"} {
		l, err := w.s.Join(ctx, name, w.tick())
		w.must(err)
		if l.Epoch <= last || l.Node != name {
			t.Errorf("%s joined with %+v after epoch %d", name, l, last)
		}
		last = l.Epoch
		leases = append(leases, l)
	}
	w.restart()
	for i, fenced := range []bool{true, true, false, false, false} {
		err := w.s.Beat(ctx, leases[i], w.tick())
		if fenced {
			isCode(t, "Beat of an earlier run", err, doppelboden.Fenced)
		} else {
			w.must(err)
		}
	}
	isCode(t, "Beat of a stranger", w.s.Beat(ctx, store.Lease{Node: "stranger", Epoch: 1}, day), doppelboden.Fenced)
	l, err := w.s.Join(ctx, "node", w.tick())
	w.must(err)
	if l.Epoch <= last {
		t.Errorf("after a restart epoch %d came after %d", l.Epoch, last)
	}
}

package main

import (
	"context"
	"math/rand/v2"
	"time"

	"doppelboden/test/powercut/wire"
)

// What one boot may take before it counts as failed. Without KVM everything is ten to
// twenty times slower.
const (
	upLimit   = 90 * time.Second  // from power on to the node's readiness
	workLimit = 180 * time.Second // from there to the cut
)

// The cut comes between these after the first 250 of a boot.
const loadMin, loadMax = 500 * time.Millisecond, 5 * time.Second

// A cut during the hand-over comes at most so long after the node's start.
const earlyMax = 600 * time.Millisecond

// A watch follows one boot until the moment of its cut.
type watch struct {
	run    *run
	row    *Cut
	random *rand.Rand
	early  bool             // cut while the node still hands over what the last boot has left
	limit  *time.Timer      // after this without progress the boot has failed
	cut    <-chan time.Time // the moment; nil until it is drawn
}

// follow returns when the power is to be cut, when the guest is done, or when something
// went wrong, which is then a fault of the run.
func (w *watch) follow(ctx context.Context, m *machine, events <-chan wire.Line) {
	w.limit = time.NewTimer(upLimit)
	defer w.limit.Stop()
	for {
		select {
		case l := <-events:
			if over := w.hear(l); over {
				return
			}
		case <-w.cut:
			return
		case <-m.exited:
			w.ended(m, events)
			return
		case <-w.limit.C:
			w.run.fault("boot %d: no progress in %s", w.row.Number, w.row.During)
			return
		case <-ctx.Done():
			return
		}
	}
}

// hear takes one event and reports whether the boot is over.
func (w *watch) hear(l wire.Line) (over bool) {
	switch l.Kind {
	case wire.Up:
		w.row.Start, w.row.During = l.Text, "hand-over"
		w.limit.Reset(workLimit)
		if w.early {
			w.cutAfter(0, earlyMax)
		}
	case wire.Balance:
		w.run.verify(l.Text)
		return len(w.run.report.Faults) > 0
	case wire.Load:
		w.row.During = "load"
	case wire.Acked:
		if w.cut == nil {
			w.cutAfter(loadMin, loadMax)
		}
	case wire.Failed:
		w.run.fault("boot %d: the node gives up: %s", w.row.Number, l.Text)
		return true
	case wire.End:
		w.row.During = ""
	}
	return false
}

// cutAfter draws the moment of the cut.
func (w *watch) cutAfter(least, most time.Duration) {
	w.cut = time.After(least + time.Duration(w.random.Int64N(int64(most-least))))
}

// ended is called when the machine has switched itself off: well after End, else a fault.
func (w *watch) ended(m *machine, events <-chan wire.Line) {
	m.served.Wait() // now every line was heard
	for len(events) > 0 {
		if over := w.hear(<-events); over {
			return
		}
	}
	if w.row.During != "" {
		w.run.fault("boot %d: the machine ended by itself during %s", w.row.Number, w.row.During)
	}
}

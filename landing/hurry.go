package landing

import (
	"context"
	"time"

	"doppelboden"
)

// hurriedEvery is the least time between two commits of the drainer while somebody waits for
// what landed, such as a mail program for the UID of what it appended. A commit costs half a
// millisecond of work: so this is a tenth of one processor.
const hurriedEvery = 5 * time.Millisecond

// CatchUp waits until everything that was accepted before the call is drained, which is done
// sooner while somebody waits. When the working store does not take it, it returns that error
// at once.
func (l *Landing) CatchUp(ctx context.Context) error {
	d := &l.drainer
	until := d.await(1)
	defer d.await(-1)
	for {
		d.mu.Lock()
		done, trouble, changed := !d.at.before(until), d.trouble.Err, d.changed
		d.mu.Unlock()
		switch {
		case done:
			return nil
		case trouble != nil:
			return trouble
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &doppelboden.Error{Code: doppelboden.Temporary, Public: "what landed is not in the database yet", Cause: ctx.Err()}
		}
	}
}

// await counts callers that wait, and returns the end of what is sure.
func (d *drainer) await(by int) (end place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting += by; d.waiting == 1 && by > 0 {
		select {
		case d.hurry <- struct{}{}:
		default:
		}
	}
	return d.end
}

// rest waits after a batch that began then, so that the next one is large.
func (d *drainer) rest(ctx context.Context, began time.Time) {
	for ctx.Err() == nil {
		wait := d.every() - time.Since(began)
		if wait <= 0 {
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-d.hurry: // from now on somebody waits, and did not before
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// every is the least time between two commits, as things are.
func (d *drainer) every() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting > 0 {
		return min(d.pace, hurriedEvery)
	}
	return d.pace
}

package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxBatch is how many operations may share a commit. More would only make those at
// its front wait; at 256 the fsync is already less than a tenth of the time.
const maxBatch = 256

// An op is one operation that waits for its commit.
type op struct {
	// run writes what the operation wants within the transaction. It may run several
	// times, each time on a fresh transaction, so it sets results anew each time. A
	// refusal says that it has written nothing; any other error undoes the batch.
	run func(t *tx) error

	// notOnItsOwn is set for the entries of Note, which nothing in the database would
	// show to be there already: see reconcile.
	notOnItsOwn bool

	done chan error // gets the outcome; holds one
}

// do puts an operation into a batch and waits for its end. The context bounds the wait
// for a place, not more: an operation that was taken runs to its end.
func (s *Store) do(ctx context.Context, o *op) error {
	s.gate.RLock()
	select {
	case <-s.closing:
		s.gate.RUnlock()
		return closedError()
	default:
	}
	s.callers.Add(1)
	s.gate.RUnlock()
	defer s.callers.Done()
	if err := ctx.Err(); err != nil {
		return outward(err)
	}
	o.done = make(chan error, 1)
	select {
	case s.ops <- o:
		return outward(<-o.done)
	case <-ctx.Done():
		return outward(ctx.Err())
	}
}

// write is do for a function.
func (s *Store) write(ctx context.Context, run func(t *tx) error) error {
	return s.do(ctx, &op{run: run})
}

// collect takes the operations that are waiting now.
func (s *Store) collect(first *op) []*op {
	group := append(make([]*op, 0, 32), first)
	for len(group) < maxBatch {
		select {
		case o, open := <-s.ops:
			if !open {
				return group
			}
			group = append(group, o)
		default:
			return group
		}
	}
	return group
}

// syncGroup runs the Sync functions for a group and returns the group, or fails all of
// it. After a failed fsync the kernel may forget what it could not write and call the
// next fsync good, so a group is never synced a second time here: its callers come
// back, and it is for the Sync functions to return nil only about bytes that lie on the
// disk by then (package segment writes them again elsewhere).
func (s *Store) syncGroup(group []*op) []*op {
	if len(s.opts.Sync) == 0 {
		return group
	}
	start := time.Now()
	err := runAll(s.opts.Sync)
	s.metrics.syncSeconds.Observe(time.Since(start).Seconds())
	if err == nil {
		return group
	}
	s.health.failed(s, "sync", err)
	for _, o := range group {
		o.done <- err
	}
	return nil
}

// runAll runs functions side by side and joins their errors.
func runAll(fns []func() error) error {
	if len(fns) == 1 {
		return fns[0]()
	}
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns[1:] {
		wg.Go(func() { errs[i+1] = fn() })
	}
	errs[0] = fns[0]()
	wg.Wait()
	return errors.Join(errs...)
}

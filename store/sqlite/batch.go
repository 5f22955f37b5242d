package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	// synced is set when everything that the operation refers to was on the disk before it
	// came, so that nothing needs to be synced for it.
	synced bool

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

// errSync marks that what a batch refers to could not be synced.
var errSync = errors.New("sync before the commit")

// A syncing is one run of the Sync functions.
type syncing struct {
	done chan struct{} // closed at its end
	err  error         // valid then
}

// wait returns, as often as it is asked, how the run ended: nil when everything that
// was handed to the Sync functions before the run is on the disk.
//
// After a failed fsync the kernel may forget what it could not write and call the next
// fsync good, so a batch is never synced a second time here: its callers come back, and
// it is for the Sync functions to return nil only about bytes that lie on the disk by
// then (package segment writes them again elsewhere).
func (s *syncing) wait() error {
	<-s.done
	return s.err
}

// startSync runs the Sync functions side by side, if an operation of the batch needs them.
// The caller waits for their end.
func (s *Store) startSync(batch []*op) *syncing {
	run := &syncing{done: make(chan struct{})}
	if !slices.ContainsFunc(batch, func(o *op) bool { return !o.synced }) {
		close(run.done)
		return run
	}
	go func() {
		defer close(run.done)
		start := time.Now()
		if err := runAll(s.opts.Sync); err != nil {
			run.err = &storageError{fmt.Errorf("%w: %w", errSync, err)}
			s.health.failed(s, "sync", err)
		}
		s.metrics.syncSeconds.Observe(time.Since(start).Seconds())
	}()
	return run
}

// runAll runs functions side by side and joins their errors.
func runAll(fns []func() error) error {
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		if i > 0 {
			wg.Go(func() { errs[i] = fn() })
		}
	}
	if len(fns) > 0 {
		errs[0] = fns[0]()
	}
	wg.Wait()
	return errors.Join(errs...)
}

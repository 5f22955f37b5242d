package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// maxBatch is how much may share a commit: operations, or the messages in them. More
// would only make those at its front wait.
const maxBatch = 1024

// background is the context of everything the writer does: a commit has no deadline.
var background = context.Background()

// An op is one operation that waits for its commit.
type op struct {
	// run writes what the operation wants within the transaction. It may run several
	// times, each time on a fresh transaction, so it sets results anew each time. A
	// refusal says that it has written nothing; any other error undoes the batch.
	run func(t *tx) error

	// What run will ask for is read for the whole batch at once. All of it may be empty:
	// then run asks by itself.
	messages []*doppelboden.Message   // which run will write, unless they are there
	settles  []doppelboden.Settlement // whose deliveries run will read
	lease    *store.Lease             // which run will check

	// notOnItsOwn is set for the entries of Note, which nothing in the database would
	// show to be there already: see writer.reconcile.
	notOnItsOwn bool

	done chan error // gets the outcome; holds one
}

// weight is how much of a batch an operation fills.
func (o *op) weight() int { return max(1, len(o.messages)) }

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
	if !s.opened.Load() {
		return errNotOpen
	}
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

// closedError is what calls after Close get.
func closedError() error {
	return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicClosed}
}

// collect takes the operations that are waiting now.
func (s *Store) collect(first *op) []*op {
	group := append(make([]*op, 0, 32), first)
	for weight := first.weight(); weight < maxBatch; {
		select {
		case o, open := <-s.ops:
			if !open {
				return group
			}
			group = append(group, o)
			weight += o.weight()
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

// wait returns, as often as it is asked, how the run ended: nil when everything that was
// handed to the Sync functions before the run is on the disk. A batch is never synced a
// second time here, for after a failed fsync the kernel may call the next one good.
func (s *syncing) wait() error {
	<-s.done
	return s.err
}

// startSync runs the Sync functions side by side. The caller waits for their end.
func (s *Store) startSync() *syncing {
	run := &syncing{done: make(chan struct{})}
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

package search

import (
	"context"
	"fmt"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

const (
	// lookEvery is how often the worker looks for mail without an extract when nobody
	// tells it of any.
	lookEvery = 30 * time.Second
	// lookAt is how many messages one look goes through.
	lookAt = 512
	// putAtOnce is how many extracts are written together: some milliseconds of work, and
	// as much of the writer as one batch of acceptance.
	putAtOnce = 32
	// busyRate is how many mails a second say that acceptance needs the machine: a city of
	// 20,000 mailboxes has 20 in its busiest minute.
	busyRate = 100
	// restIdle and restBusy are how many times as long as it worked the worker rests: half
	// of one processor, or a fortieth.
	restIdle, restBusy = 1, 40
	// restMost bounds one rest.
	restMost = 2 * time.Second
)

// A Worker makes the extracts of mail that was accepted. Nobody waits for it: what has no
// extract when somebody looks is read then.
type Worker struct {
	room  *Room
	timer clock.Timer
	wake  chan struct{} // holds at most one wake-up

	mu      sync.Mutex
	second  time.Time // the second that is being counted
	arrived int       // mails in it so far
	before  int       // mails in the second before
}

// NewWorker returns a worker of a room that does nothing until Run.
func NewWorker(r *Room, t clock.Timer) *Worker {
	return &Worker{room: r, timer: clock.Or(t), wake: make(chan struct{}, 1)}
}

// Arrived tells that the store has so many messages more. It never waits.
func (w *Worker) Arrived(n int) {
	now := w.room.opts.Clock().Truncate(time.Second)
	w.mu.Lock()
	w.roll(now)
	w.arrived += n
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// roll begins to count another second, if it is one.
func (w *Worker) roll(now time.Time) {
	if now.Equal(w.second) {
		return
	}
	w.before = 0
	if now.Sub(w.second) == time.Second {
		w.before = w.arrived
	}
	w.second, w.arrived = now, 0
}

// busy reports whether acceptance needs the machine.
func (w *Worker) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roll(w.room.opts.Clock().Truncate(time.Second))
	return max(w.arrived, w.before) >= busyRate
}

// Run makes extracts until ctx ends, oldest mail first. After its start it looks through
// all mail once.
func (w *Worker) Run(ctx context.Context) {
	var after int64
	for ctx.Err() == nil {
		next, err := w.step(ctx, after)
		if err != nil && ctx.Err() == nil {
			w.room.opts.Log.Warn("extracts cannot be made at the moment", "err", err)
		}
		if err == nil && next > after {
			after = next
			continue
		}
		w.wait(ctx, lookEvery, w.wake)
	}
}

// wait waits for a time, or for a wake-up.
func (w *Worker) wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t, stop := w.timer(d)
	defer stop()
	select {
	case <-ctx.Done():
	case <-t:
	case <-wake:
	}
}

// step looks at the next messages behind after and makes what is missing. It returns
// where to go on; what could not be read is passed over.
func (w *Worker) step(ctx context.Context, after int64) (next int64, err error) {
	start := time.Now()
	list, next, err := w.room.opts.Store.Unextracted(ctx, format, after, lookAt)
	if err != nil {
		return after, err
	}
	w.rest(ctx, time.Since(start))
	for len(list) > 0 && ctx.Err() == nil {
		n := min(len(list), putAtOnce)
		start = time.Now()
		if err := w.put(ctx, list[:n]); err != nil {
			return after, err
		}
		list = list[n:]
		w.rest(ctx, time.Since(start))
	}
	return next, ctx.Err()
}

// rest leaves the machine to others after so much work.
func (w *Worker) rest(ctx context.Context, worked time.Duration) {
	times := restIdle
	if w.busy() {
		times = restBusy
	}
	w.wait(ctx, min(time.Duration(times)*worked, restMost), nil)
}

// put makes and keeps some extracts.
func (w *Worker) put(ctx context.Context, list []doppelboden.ID) error {
	made := make([]store.Extract, 0, len(list))
	d := w.room.reader()
	defer d.close()
	var unreadable []doppelboden.ID
	var why error
	for _, id := range list {
		m, err := w.room.opts.Store.Message(ctx, id)
		if err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound {
			continue // gone by now
		}
		if err != nil {
			return fmt.Errorf("find %s: %w", id, err)
		}
		e, how, err := w.one(ctx, d, m)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			unreadable, why = append(unreadable, id), err
		case how != readLater: // that is read when somebody looks, or after the next start
			made = append(made, e)
		}
		if w.busy() {
			w.wait(ctx, time.Millisecond, nil) // others may run between two mails
		}
	}
	if len(unreadable) > 0 { // one line for a whole segment that is missing
		w.room.metrics.failed.Add(float64(len(unreadable)))
		w.room.opts.Log.Warn("mails cannot be read for lists and searches", "messages", len(unreadable), "first", unreadable[0], "err", why)
	}
	if err := w.room.opts.Store.PutExtracts(ctx, made); err != nil {
		return fmt.Errorf("keep extracts: %w", err)
	}
	w.room.metrics.made.WithLabelValues("worker").Add(float64(len(made)))
	return nil
}

// one makes one extract.
func (w *Worker) one(ctx context.Context, d *reader, m *doppelboden.Message) (store.Extract, manner, error) {
	e, how, err := d.made(ctx, m)
	if err != nil {
		return store.Extract{}, how, err
	}
	sealed, err := w.room.seal(m, e)
	return sealed, how, err
}

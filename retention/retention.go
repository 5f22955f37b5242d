// Package retention removes what has outlived its time: messages whose deliveries have
// all ended, and then the day segments that nobody needs any more.
//
// It promises that nothing is removed which is queued, held, or lies in a mailbox
// whose route is "here": a body of such a message moves into the open segment before
// its day is dropped. It works in small commits, so that acceptance does not wait for
// it, and goes on where it stopped after a crash. While a crisis protects most of the
// mail it drops no segment: it would write nearly all of it once more.
package retention

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/segment"
	"doppelboden/store"
)

// Store is what retention needs of the database.
type Store interface {
	Expire(ctx context.Context, cut time.Time, keep []doppelboden.MailboxID, limit int) (int, error)
	Staying(ctx context.Context, segment string, limit int) ([]store.BodyOf, error)
	Rewrap(ctx context.Context, bodies []store.BodyOf) error
	DropDestinations(ctx context.Context, cut time.Time) (int, error)
}

// Bodies is what it needs of the segments.
type Bodies interface {
	Segments() ([]segment.Info, error)
	Move(t doppelboden.TenantID, b doppelboden.Body) (doppelboden.Body, error)
	Drop(name string) error
}

// A Log is a tally whose old day files can go.
type Log interface{ Prune(before time.Time) error }

// Options say what a Job works with. All fields must be set unless a default is named.
type Options struct {
	Store  Store
	Bodies Bodies
	Logs   []Log
	Log    *slog.Logger
	Clock  func() time.Time
	Timer  clock.Timer                    // waits by it; nil: real time
	Days   func() int                     // how long mail is kept after its deliveries have ended
	Here   func() []doppelboden.MailboxID // mailboxes whose mail is never removed
	Crisis func() bool                    // so many of these are in an event that segments stay
	// Guard is held while bodies move, because a change of keys writes the same rows;
	// see keyring.Rotation.
	Guard sync.Locker
	// Moved is called when bodies have moved, before their old place goes: who keeps
	// in memory where they lay must ask the store again.
	Moved func()
	// First is called before anything is removed; after an error nothing is.
	First    func(ctx context.Context) error
	Registry prometheus.Registerer
}

const (
	// every is the time between two rounds; days are what counts.
	every = time.Hour
	// atOnce is how many messages one call of Expire may remove. It paces itself.
	atOnce = 1000
	// batch is how many bodies one commit moves: some 20 ms, so that a sender who waits for a
	// commit does not notice.
	batch = 200
	// movingRest is how many times as long as a batch took nothing is moved after it, at most
	// movingRestMax: days are what counts, and a sender who waits is there now.
	movingRest    = 9
	movingRestMax = time.Second
	// logDays is how long the tallies are kept beyond the mail, so that a balance of
	// the last year can be drawn. A city with 54,000 mails a day writes 6 MB a day.
	logDays = 400
)

// LogsSince returns the time from which on the tallies are kept, when mail is kept for
// days.
func LogsSince(now time.Time, days int) time.Time { return now.AddDate(0, 0, -days-logDays) }

// A Job removes what has outlived its time.
type Job struct {
	o        Options
	removed  prometheus.Counter
	moved    prometheus.Counter
	segments prometheus.Counter
}

// New returns a job. It registers its metrics, so there is one for each registry.
func New(o Options) *Job {
	j := &Job{o: o,
		removed: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_retention_messages_total",
			Help: "Messages that were removed because they had outlived their time."}),
		moved: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_retention_moved_total",
			Help: "Bodies that were written once more because they stay longer than the rest of their day."}),
		segments: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_retention_segments_total",
			Help: "Segments that were dropped."}),
	}
	o.Registry.MustRegister(j.removed, j.moved, j.segments)
	return j
}

// Run works once an hour until ctx ends.
func (j *Job) Run(ctx context.Context) {
	round := func() {
		if err := j.Round(ctx); err != nil && ctx.Err() == nil {
			j.o.Log.Error("retention stopped half-way and will go on", "err", err)
		}
	}
	round()
	clock.Every(ctx, clock.Or(j.o.Timer), every, round)
}

// Round removes everything that is due now.
func (j *Job) Round(ctx context.Context) error {
	if err := j.o.First(ctx); err != nil {
		return err
	}
	cut := j.o.Clock().AddDate(0, 0, -j.o.Days())
	removed, err := j.expire(ctx, cut)
	if err != nil {
		return fmt.Errorf("remove messages: %w", err)
	}
	var errs []error
	// Days later than the mail: a door may still have in memory what it put yesterday.
	if _, err := j.o.Store.DropDestinations(ctx, cut.AddDate(0, 0, -2)); err != nil {
		errs = append(errs, fmt.Errorf("remove destinations: %w", err))
	}
	dropped, err := j.drop(ctx, cut)
	if err != nil {
		errs = append(errs, fmt.Errorf("drop segments: %w", err))
	}
	if removed > 0 || dropped > 0 {
		j.o.Log.Info("retention", "before", cut, "messages", removed, "segments", dropped)
	}
	for _, l := range j.o.Logs {
		errs = append(errs, l.Prune(LogsSince(j.o.Clock(), j.o.Days())))
	}
	return errors.Join(errs...)
}

// expire removes messages, batch by batch.
func (j *Job) expire(ctx context.Context, cut time.Time) (int, error) {
	removed := 0
	for ctx.Err() == nil {
		n, err := j.o.Store.Expire(ctx, cut, j.o.Here(), atOnce)
		removed += n
		j.removed.Add(float64(n))
		if err != nil || n == 0 {
			return removed, err
		}
	}
	return removed, ctx.Err()
}

// drop drops the segments of days that are over, after moving what must stay. A segment
// with a body that must stay and cannot be moved stays; the others go all the same. In a
// crisis all of them stay.
func (j *Job) drop(ctx context.Context, cut time.Time) (int, error) {
	if j.o.Crisis() {
		return 0, nil
	}
	all, err := j.o.Bodies.Segments()
	if err != nil {
		return 0, err
	}
	dropped := 0
	var errs []error
	for _, s := range all {
		if s.Open || s.Day.AddDate(0, 0, 1).After(cut) {
			continue
		}
		if ctx.Err() != nil {
			return dropped, ctx.Err()
		}
		if err := j.clear(ctx, s.Name); err != nil {
			errs = append(errs, fmt.Errorf("clear %s: %w", s.Name, err))
			continue
		}
		if err := j.o.Bodies.Drop(s.Name); err != nil {
			errs = append(errs, err)
			continue
		}
		dropped++
		j.segments.Inc()
	}
	return dropped, errors.Join(errs...)
}

// clear moves every body that must stay out of a segment.
func (j *Job) clear(ctx context.Context, name string) error {
	for all := 0; ; {
		began := time.Now()
		moved, err := j.move(ctx, name)
		all += moved
		j.moved.Add(float64(moved))
		if moved > 0 && clock.Sleep(ctx, clock.Or(j.o.Timer), min(movingRest*time.Since(began), movingRestMax)) {
			continue // also when some could not be moved: there may be more behind them
		}
		if all > 0 {
			j.o.Moved()
		}
		return cmp.Or(err, ctx.Err())
	}
}

// move moves some bodies and returns how many. The database points to the new place
// before the old one goes; Rewrap syncs the new place first.
func (j *Job) move(ctx context.Context, name string) (int, error) {
	j.o.Guard.Lock()
	defer j.o.Guard.Unlock()
	stay, err := j.o.Store.Staying(ctx, name, batch)
	if err != nil || len(stay) == 0 {
		return 0, err
	}
	var moved []store.BodyOf
	var errs []error
	for _, b := range stay {
		if b.Body, err = j.o.Bodies.Move(b.Tenant, b.Body); err != nil {
			errs = append(errs, fmt.Errorf("body of %s: %w", b.Message, err))
			continue
		}
		moved = append(moved, b)
	}
	if len(moved) > 0 {
		if err := j.o.Store.Rewrap(ctx, moved); err != nil {
			return 0, errors.Join(append(errs, err)...)
		}
	}
	return len(moved), errors.Join(errs...)
}

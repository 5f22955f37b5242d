package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// Store is what the queue needs of the store; its contract is in package store.
type Store interface {
	Settle(ctx context.Context, lease store.Lease, s []doppelboden.Settlement) error
	Boxes(ctx context.Context, yield func(store.Box) error) error
	Heads(ctx context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]store.Item, error)
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
}

// A Router says where each box's mail goes. What it says may change between calls;
// Queue.Reload makes the queue ask again for what already waits.
type Router interface {
	// Place returns the name of the lane that serves the box and the box's priority. ok
	// is false when there is no route for it: its mail waits.
	Place(b doppelboden.BoxID) (lane string, priority int, ok bool)
	// Here reports whether b is a mailbox whose copy is its delivery (route "here"), so
	// that what was queued before its route changed has arrived.
	Here(b doppelboden.BoxID) bool
	// Lanes returns every lane there is.
	Lanes() []LaneConfig
}

// A LaneConfig describes one lane.
type LaneConfig struct {
	Route       courier.Route // where it leads; Route.Name names the lane
	Connections int           // at most this many at once; at least 1
}

// An Agent is one kept connection; see courier.Agent.
type Agent interface {
	Hand(ctx context.Context, j courier.Job) []doppelboden.Outcome
	Close()
}

// Options say what a queue works with. All fields must be set unless a default is named.
type Options struct {
	Store    Store
	Lease    store.Lease
	Router   Router
	NewAgent func(courier.Route) Agent
	Log      *slog.Logger
	Registry prometheus.Registerer

	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Window bounds the deliveries that a lane keeps in memory; default 4,000, which
	// is some hundred times what a lane has in flight and about 8 MB.
	Window int
	// Pace holds the retry times; default DefaultPace.
	Pace Pace
	// Fenced is called once when another node has taken over; may be nil.
	Fenced func()
}

func (o *Options) validate() error {
	if o.Store == nil || o.Router == nil || o.NewAgent == nil || o.Log == nil || o.Registry == nil {
		return errors.New("queue: Store, Router, NewAgent, Log and Registry must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Window <= 0 {
		o.Window = 4000
	}
	if o.Pace == (Pace{}) {
		o.Pace = DefaultPace()
	}
	return nil
}

// A Queue schedules the hand-over of all mail of one node.
type Queue struct {
	opts    Options
	metrics *metrics

	mu     sync.RWMutex
	lanes  map[string]*lane
	ctx    context.Context    // of Start; nil before
	cancel context.CancelFunc // no more transactions begin
	cut    context.CancelFunc // those in flight are given up, too
	lost   bool               // another node has taken over
	// missed holds what Notify was told and what people put back into the queue while the
	// lanes were being built anew; nil at other times. Doors must not wait for a Reload.
	missed map[doppelboden.BoxID]*doppelboden.Message

	// deciding is held while a decision is written, and shared while lanes settle, so that
	// a failure that is already being written never undoes a decision.
	deciding sync.RWMutex

	moved sync.WaitGroup // goroutines that settle what arrived for mailboxes that moved here
}

// New returns a queue that does nothing until Start.
func New(o Options) (*Queue, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Queue{opts: o, metrics: newMetrics(o.Registry), lanes: map[string]*lane{}}, nil
}

// Start reads from the store which mailboxes have mail waiting and starts the lanes.
// They run until ctx ends; Wait waits for them.
func (q *Queue) Start(ctx context.Context) error {
	q.mu.Lock()
	q.missed = map[doppelboden.BoxID]*doppelboden.Message{}
	q.mu.Unlock()
	return q.start(ctx)
}

// start builds the lanes and starts them. Notify collects in q.missed meanwhile.
func (q *Queue) start(ctx context.Context) error {
	lanes := map[string]*lane{}
	for _, c := range q.opts.Router.Lanes() {
		lanes[c.Route.Name] = newLane(q, c)
	}
	unplaced := 0
	var here []doppelboden.BoxID
	err := q.opts.Store.Boxes(ctx, func(b store.Box) error {
		name, priority, ok := q.opts.Router.Place(b.Box)
		l := lanes[name]
		switch {
		case ok && l != nil:
			l.restore(b, priority)
		case q.opts.Router.Here(b.Box):
			here = append(here, b.Box)
		default:
			unplaced++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what waits: %w", err)
	}
	if err := q.arrived(ctx, here); err != nil {
		return fmt.Errorf("settle mail of mailboxes that moved here: %w", err)
	}
	if unplaced > 0 {
		q.opts.Log.Warn("mailboxes without a route have mail waiting", "mailboxes", unplaced)
	}
	hand, cut := context.WithCancel(ctx)
	run, cancel := context.WithCancel(hand)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ctx, q.cancel, q.cut, q.lanes = ctx, cancel, cut, lanes
	if q.lost {
		cut()
	}
	missed := q.missed
	q.missed = nil
	for box, m := range missed {
		// With Seq 0: it may have been in what Boxes told, or not.
		q.add(m, doppelboden.Delivery{Message: m.ID, Box: box})
	}
	for _, l := range lanes {
		l.start(ctx, hand, run)
	}
	return nil
}

// arrived ends what was queued for mailboxes whose route is "here" now: their copy has
// been there since the mail was accepted.
func (q *Queue) arrived(ctx context.Context, boxes []doppelboden.BoxID) error {
	for _, box := range boxes {
		d := Decision{Verb: "here", By: "route here", Filter: store.Filter{
			Box: box, States: []doppelboden.State{doppelboden.Queued}, Limit: decideBatch,
		}}
		for {
			batch, last, err := q.choose(ctx, d, d.Filter, doppelboden.Delivered)
			if err != nil {
				return err
			}
			if last == 0 {
				break
			}
			d.Filter.AfterSeq = last
			if err := q.opts.Store.Settle(ctx, q.opts.Lease, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// Wait returns when no lane works any more. Nobody may call Notify then.
func (q *Queue) Wait() {
	q.mu.RLock()
	lanes := q.lanes
	q.mu.RUnlock()
	for _, l := range lanes {
		l.wait()
	}
	q.moved.Wait()
}

// reloadPatience is how long a Reload lets transactions in flight go on: what is cut off
// while the next server thinks about the final dot arrives twice, but nothing is handed
// over meanwhile.
const reloadPatience = 30 * time.Second

// Reload asks the router again for everything that waits: all lanes are built anew, and
// mail whose mailbox moved goes by its new lane. Transactions in flight end first, or are
// cut off after reloadPatience; what came of them is written in any case. When what
// waits cannot be read, it is tried again until that works or the node stops, for without
// lanes nothing is handed over. Reloads must not overlap.
func (q *Queue) Reload() error {
	q.mu.Lock()
	if q.ctx == nil || q.ctx.Err() != nil || q.missed != nil || q.lost {
		q.mu.Unlock()
		return nil
	}
	q.missed = map[doppelboden.BoxID]*doppelboden.Message{}
	q.cancel()
	lanes, ctx, cut := q.lanes, q.ctx, q.cut
	q.mu.Unlock()
	patience := time.AfterFunc(reloadPatience, cut)
	for _, l := range lanes {
		l.wait()
	}
	patience.Stop()
	cut()
	for attempt := 1; ; attempt++ {
		err := q.start(ctx)
		if err == nil || ctx.Err() != nil || doppelboden.CodeOf(err) == doppelboden.Fenced {
			return err
		}
		q.opts.Log.Error("the lanes cannot be built anew, trying again", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(backoff(100*time.Millisecond, 5*time.Second, attempt)):
		}
	}
}

// Notify tells that m was kept. Deliveries whose Seq is 0 are in doubt (the outcome of
// their commit is unknown): their mailboxes are looked into. It never waits for disk
// or network.
func (q *Queue) Notify(m *doppelboden.Message) {
	q.mu.RLock()
	collecting := q.missed != nil
	if !collecting {
		q.add(m, m.Deliveries...)
	}
	q.mu.RUnlock()
	if collecting {
		q.miss(m)
	}
}

// miss notes the mailboxes of m for the lanes that are being built.
func (q *Queue) miss(m *doppelboden.Message) {
	q.mu.Lock()
	again := q.missed == nil // the lanes stand by now
	for _, d := range m.Deliveries {
		if !again && d.State == doppelboden.Queued {
			q.missed[d.Box] = m
		}
	}
	q.mu.Unlock()
	if again {
		q.Notify(m)
	}
}

// add gives deliveries of m to their lanes; the caller holds q.mu.
func (q *Queue) add(m *doppelboden.Message, deliveries ...doppelboden.Delivery) {
	byLane := make(map[*lane][]placed, 1)
	var here []doppelboden.BoxID
	for _, d := range deliveries {
		name, priority, ok := q.opts.Router.Place(d.Box)
		l := q.lanes[name]
		if !ok && d.State == doppelboden.Queued && q.opts.Router.Here(d.Box) {
			here = append(here, d.Box) // it moved between RCPT and now
		}
		if !ok || l == nil || d.State != doppelboden.Queued {
			continue // without a lane it waits in the store until a Reload finds it one
		}
		byLane[l] = append(byLane[l], placed{store.Item{Delivery: d, Message: m}, priority})
	}
	for l, all := range byLane {
		l.add(all)
	}
	if ctx := q.ctx; len(here) > 0 && ctx != nil && ctx.Err() == nil {
		q.moved.Go(func() { q.arrive(ctx, here) })
	}
}

// arrive is arrived, again and again until it is written or ctx ends.
func (q *Queue) arrive(ctx context.Context, boxes []doppelboden.BoxID) {
	for attempt := 1; ctx.Err() == nil; attempt++ {
		err := q.arrived(ctx, boxes)
		if err == nil || doppelboden.CodeOf(err) == doppelboden.Fenced {
			return
		}
		q.opts.Log.Error("mail of a mailbox that moved here cannot be settled", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(backoff(100*time.Millisecond, 5*time.Second, attempt)):
		}
	}
}

// Refresh has everything that waits in memory read again before it is handed over. It is
// called when bodies have moved, before their old places go.
func (q *Queue) Refresh() {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, l := range q.lanes {
		l.refresh()
	}
}

// Status returns what the lanes are doing, by name.
func (q *Queue) Status() []LaneStatus {
	q.mu.RLock()
	defer q.mu.RUnlock()
	all := make([]LaneStatus, 0, len(q.lanes))
	for _, l := range q.lanes {
		all = append(all, l.status())
	}
	sortStatus(all)
	return all
}

// lostLease stops all lanes for good: another node works now.
func (q *Queue) lostLease() {
	q.mu.Lock()
	again := q.lost
	q.lost = true
	q.cut()
	q.mu.Unlock()
	if again {
		return
	}
	q.opts.Log.Error("another node has taken over; this one stops handing over")
	if q.opts.Fenced != nil {
		q.opts.Fenced()
	}
}

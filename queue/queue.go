package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/courier"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// Store is what the queue needs of the store; its contract is in package store.
type Store interface {
	Settle(ctx context.Context, lease store.Lease, s []doppelboden.Settlement) error
	Boxes(ctx context.Context, yield func(store.Box) error) error
	Heads(ctx context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]store.Item, error)
	Due(ctx context.Context, boxes []doppelboden.BoxID, until time.Time, limit int) ([]store.Item, error)
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
	HeldWhy(ctx context.Context, seqs []int64) (map[int64]store.HeldWhy, error)
	Rebox(ctx context.Context, lease store.Lease, refs []doppelboden.Ref, box doppelboden.BoxID) error
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
	// Twins returns the boxes in which second deliveries of the mailbox b may wait; none
	// for most.
	Twins(b doppelboden.BoxID) []Twin
	// Crossed returns the mailboxes one of whose twins goes by their own lane.
	Crossed() []doppelboden.BoxID
}

// A LaneConfig describes one lane.
type LaneConfig struct {
	Route       courier.Route // where it leads; Route.Name names the lane
	Connections int           // at most this many at once; at least 1
	// FileAfter is the age from which on mail is put straight into the mailbox by
	// Options.Filer, instead of being handed to the next server; 0: never.
	FileAfter time.Duration
	// FileAtOnce bounds how many mailboxes it works on at once; at least 1.
	FileAtOnce int
	// FileTouched says that mail which people have done something with here while it waits is
	// put into its mailbox in the same way, whatever its age.
	FileTouched bool
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
	Filer    Filer   // nil: all mail goes to next servers
	Toucher  Toucher // nil: nobody does anything with mail that waits
	Log      *slog.Logger
	Registry prometheus.Registerer

	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Timer waits by it; default real time.
	Timer clock.Timer
	// Window bounds the deliveries that a lane keeps in memory; default 4,000, which
	// is some hundred times what a lane has in flight and about 8 MB.
	Window int
	// Pace holds the retry times; default DefaultPace.
	Pace Pace
	// Gate is asked before a message is handed over; nil lets everything through.
	Gate Gate
	// Internet says how mail for domains of the Internet leaves; nil: it does not.
	Internet Internet
	// Returner tells senders of mail that could not be delivered; without it such mail is
	// held.
	Returner Returner
	// Appeals is told what the city's own groupware took and refused; nil: what it refused
	// is held until a person decides.
	Appeals Appeals
	// Report is told of each transaction of a lane after it was judged: outcomes[i] is what
	// became of items[i]. It must never block; may be nil.
	Report func(lane string, outcomes []doppelboden.Outcome, items []store.Item)
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
	o.Timer = clock.Or(o.Timer)
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

	mu    sync.RWMutex
	lanes map[string]*lane
	// outlets lead to the Internet; one that was there stays, for its mail may.
	outlets map[string]*outlet
	ctx     context.Context    // of Start; nil before
	hand    context.Context    // of all transactions
	cut     context.CancelFunc // gives up all transactions in flight
	lost    bool               // another node has taken over
	// between holds the boxes that belong to no lane at this moment. What is queued for
	// them meanwhile is read from the store at the end of their passage.
	between map[doppelboden.BoxID]*passage
	// missed holds what Notify was told and what people put back into the queue while Start
	// reads what waits; nil at other times.
	missed map[doppelboden.BoxID]*doppelboden.Message

	// deciding is held while a decision is written, and shared while lanes settle, so that
	// a failure that is already being written never undoes a decision.
	deciding sync.RWMutex

	homeless homelessSet

	moved sync.WaitGroup // goroutines that end what a Reload began
}

// New returns a queue that does nothing until Start.
func New(o Options) (*Queue, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Queue{opts: o, metrics: newMetrics(o.Registry), lanes: map[string]*lane{}, outlets: map[string]*outlet{}, between: map[doppelboden.BoxID]*passage{}}, nil
}

// Lead gives the queue the node's lease, where Options did not have it. It must be called
// before Start and before anybody decides anything.
func (q *Queue) Lead(l store.Lease) { q.opts.Lease = l }

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
	for _, id := range q.opts.Router.Crossed() { // a crash may have come before a Reload's end
		if err := q.uncross(ctx, id); err != nil {
			return fmt.Errorf("tell second deliveries from the first: %w", err)
		}
	}
	lanes := map[string]*lane{}
	for _, c := range q.opts.Router.Lanes() {
		lanes[c.Route.Name] = newLane(q, c)
	}
	q.mu.Lock()
	q.renewOutlets()
	q.mu.Unlock()
	unplaced := 0
	var here []doppelboden.BoxID
	err := q.opts.Store.Boxes(ctx, func(b store.Box) error {
		if o, domain := q.outletOf(b.Box); o != nil {
			o.restore(b, domain)
			return nil
		}
		name, priority, ok := q.opts.Router.Place(b.Box)
		l := lanes[name]
		switch {
		case ok && l != nil:
			l.restore(b, priority)
		case q.opts.Router.Here(b.Box):
			here = append(here, b.Box)
		default:
			unplaced++
			q.homeless.put(b.Box)
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
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ctx, q.hand, q.cut, q.lanes = ctx, hand, cut, lanes
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
		l.start(ctx, hand)
	}
	for _, o := range q.outlets {
		o.start(ctx, hand)
	}
	q.follow(nil) // a Reload may have come while what waits was read
	return nil
}

// arrived ends what was queued for mailboxes whose route is "here" now: their copy has
// been there since the mail was accepted.
func (q *Queue) arrived(ctx context.Context, boxes []doppelboden.BoxID) error {
	for _, box := range boxes {
		d := Decision{Verb: here, By: "route here", Filter: store.Filter{
			Box: box, States: []doppelboden.State{doppelboden.Queued}, Limit: decideBatch,
		}}
		for {
			batch, items, last, err := q.choose(ctx, d, d.Filter, doppelboden.Delivered)
			if err != nil {
				return err
			}
			if last == 0 {
				break
			}
			d.Filter.AfterSeq = last
			if batch, err = q.returned(ctx, items, batch, wantedSuccess(doppelboden.Arrived), ""); err != nil {
				return err
			}
			if err := q.opts.Store.Settle(ctx, q.opts.Lease, batch); err != nil {
				return err
			}
			q.notifyGenerated(batch)
		}
	}
	return nil
}

// Wait returns when no lane works any more. Nobody may call Notify then.
func (q *Queue) Wait() {
	q.mu.RLock()
	lanes, outlets := q.lanes, maps.Clone(q.outlets)
	q.mu.RUnlock()
	for _, l := range lanes {
		l.wait()
	}
	for _, o := range outlets {
		o.wait()
	}
	q.moved.Wait()
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

// miss notes the boxes of m for the lanes that are being built.
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
	var outward map[*outlet][]farItem
	var here, crossed []doppelboden.BoxID
	for _, d := range deliveries {
		if d.State != doppelboden.Queued || q.between[d.Box] != nil {
			continue
		}
		if o, domain := q.outletOf(d.Box); o != nil {
			if outward == nil {
				outward = make(map[*outlet][]farItem, 1)
			}
			outward[o] = append(outward[o], farItem{store.Item{Delivery: d, Message: m}, domain})
			continue
		}
		name, priority, ok := q.opts.Router.Place(d.Box)
		switch l := q.lanes[name]; {
		case ok && l != nil && q.doubled(d, name, deliveries):
			crossed = append(crossed, d.Box) // it moved between RCPT and now
		case ok && l != nil:
			byLane[l] = append(byLane[l], placed{store.Item{Delivery: d, Message: m}, priority})
		case q.opts.Router.Here(d.Box):
			here = append(here, d.Box) // so did this
		case q.ctx != nil:
			q.homeless.put(d.Box) // it waits in the store until a Reload finds it a lane
		}
	}
	for l, all := range byLane {
		l.add(all)
	}
	for o, all := range outward {
		o.add(all)
	}
	if ctx := q.ctx; len(here)+len(crossed) > 0 && ctx != nil && ctx.Err() == nil {
		q.moved.Go(func() {
			q.Reload(func() []doppelboden.BoxID { return crossed })
			q.arrive(ctx, here)
		})
	}
}

// doubled reports whether a second delivery of the same mail goes by the same lane as d.
func (q *Queue) doubled(d doppelboden.Delivery, lane string, all []doppelboden.Delivery) bool {
	return d.Box > 0 && slices.ContainsFunc(all, func(other doppelboden.Delivery) bool {
		if other.Box >= 0 || other.Mailbox != d.Mailbox {
			return false
		}
		name, _, ok := q.opts.Router.Place(other.Box)
		return ok && name == lane
	})
}

// arrive is arrived, again and again until it is written or ctx ends.
func (q *Queue) arrive(ctx context.Context, boxes []doppelboden.BoxID) {
	q.persist(ctx, "mail of a mailbox that moved here cannot be settled", func() error { return q.arrived(ctx, boxes) })
}

// Refresh has everything that waits in memory read again before it is handed over. It is
// called when bodies have moved, before their old places go.
func (q *Queue) Refresh() {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, l := range q.lanes {
		l.refresh()
	}
	for _, o := range q.outlets {
		o.refresh()
	}
}

// Status returns what the lanes are doing, by name.
func (q *Queue) Status() []LaneStatus {
	q.mu.RLock()
	defer q.mu.RUnlock()
	all := make([]LaneStatus, 0, len(q.lanes)+len(q.outlets))
	for _, l := range q.lanes {
		all = append(all, l.status())
	}
	for _, o := range q.outlets {
		all = append(all, o.status())
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

package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// Store is what events need of the database; its contract is in package store.
type Store interface {
	PutEvent(ctx context.Context, lease store.Lease, c store.EventChange) error
	Events(ctx context.Context, t doppelboden.TenantID, yield func(store.Event) error) error
	Event(ctx context.Context, t doppelboden.TenantID, number int64) (store.EventChange, error)
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
	Note(ctx context.Context, entries ...doppelboden.Entry) error
}

// Options say what a tracker works with. All fields must be set unless a default is named.
type Options struct {
	Store     Store
	Directory func() *city.Directory // the snapshot in use
	Log       *slog.Logger
	Registry  prometheus.Registerer

	// Probe asks whether a route, named by its key, would talk to us, and waits for it.
	// ok is false when there is nobody to ask.
	Probe func(ctx context.Context, lane string) (o doppelboden.Outcome, ok bool)
	// Try has a letter made that goes where all mail of its mailbox goes. After an error it may
	// be there or not.
	Try func(ctx context.Context, t Trial) error
	// Touched reports whether something was done in a mailbox here that is to go back. It is
	// asked while the tracker is locked and must wait for nobody who may ask InOutage.
	Touched func(doppelboden.MailboxID) bool
	// InFlight returns for every lane how many transactions are under way.
	InFlight func() map[string]int
	// Waiting yields the boxes that have mail waiting, and how much.
	Waiting func(yield func(box doppelboden.BoxID, queued int64))
	// Changed is called when an alarm may have begun or ended.
	Changed func()

	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Timer waits between two decisions; default clock.Real.
	Timer clock.Timer
	// Pace holds the thresholds; default DefaultPace.
	Pace Pace
}

func (o *Options) validate() error {
	if o.Store == nil || o.Directory == nil || o.Log == nil || o.Registry == nil || o.Probe == nil ||
		o.Try == nil || o.Touched == nil || o.InFlight == nil || o.Waiting == nil || o.Changed == nil {
		return errors.New("event: an option is not set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Timer = clock.Or(o.Timer)
	if o.Pace == (Pace{}) {
		o.Pace = DefaultPace()
	}
	return nil
}

// A Tracker follows how mailboxes and routes are.
type Tracker struct {
	opts    Options
	metrics *metrics

	pend    sync.Mutex
	pending []observation // since the last tick

	saving sync.Mutex // held while changes are written

	mu      sync.Mutex
	lease   store.Lease
	machine *machine
	held    map[doppelboden.TenantID]map[doppelboden.MailboxID]int64 // held mails, as of heldAt
	heldAt  time.Time
	trying  bool      // letters are being made, see try
	tryNext time.Time // before, none are: what is held could not be counted
	counted time.Time // when what waits was last asked for
	texts   string    // all alarms, as they were when Changed was last called
}

// New returns a tracker that knows of no event. It does nothing until Run.
func New(o Options) (*Tracker, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Tracker{opts: o, metrics: newMetrics(o.Registry), machine: newMachine(o.Pace, newView(o.Directory()), o.Clock()),
		held: map[doppelboden.TenantID]map[doppelboden.MailboxID]int64{}}, nil
}

// Lead reads from the store which events last, and goes on with them under a lease. It may
// be repeated, and comes before Run.
func (t *Tracker) Lead(ctx context.Context, lease store.Lease) error {
	m := newMachine(t.opts.Pace, newView(t.opts.Directory()), t.opts.Clock())
	if err := t.restore(ctx, m); err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.machine, t.lease = m, lease
	return nil
}

// mostPending bounds what waits for the next tick, at 150 bytes each. A node hands over a
// few thousand mails a second.
const mostPending = 100_000

// Report learns from a transaction: outcomes[i] is what became of items[i]. It never blocks.
func (t *Tracker) Report(laneKey string, outcomes []doppelboden.Outcome, items []store.Item) {
	t.pend.Lock()
	defer t.pend.Unlock()
	quiet := false
	for i := range outcomes {
		if i == len(items) || len(t.pending) >= mostPending {
			return
		}
		o := observe(laneKey, &outcomes[i], &items[i])
		if o.sort == silent {
			if quiet { // once for a transaction: it says nothing about its mailboxes
				continue
			}
			quiet = true
		}
		if o.sort != nothing {
			t.pending = append(t.pending, o)
		}
	}
}

// tickEvery is the time between two decisions.
const tickEvery = time.Second

// Run decides until ctx ends. What is new is written beside that, so that a database that
// does not answer delays no decision.
func (t *Tracker) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	kick := make(chan struct{}, 1)
	beside.Go(func() {
		for {
			select {
			case <-ctx.Done():
				t.write(context.WithoutCancel(ctx)) // the last of it
				return
			case <-kick:
				t.write(ctx)
			}
		}
	})
	for {
		t.probe(ctx, &beside)
		t.decide()
		t.try(ctx, &beside)
		t.tell()
		select {
		case kick <- struct{}{}:
		default:
		}
		if !clock.Sleep(ctx, t.opts.Timer, tickEvery) {
			return
		}
	}
}

// write makes durable what is new, and counts what is held.
func (t *Tracker) write(ctx context.Context) {
	if err := t.save(ctx); err != nil && ctx.Err() == nil {
		t.opts.Log.Error("events cannot be written; they go on in memory", "err", err)
	}
	t.countHeld(ctx, heldEvery)
}

// decide takes in what was observed, and has the machine decide.
func (t *Tracker) decide() {
	t.pend.Lock()
	pending := t.pending
	t.pending = nil
	t.pend.Unlock()
	inFlight := t.opts.InFlight()
	dir := t.opts.Directory()
	t.mu.Lock()
	defer t.mu.Unlock()
	m, now := t.machine, t.opts.Clock()
	if m.view.dir != dir {
		m.follow(newView(dir))
	}
	for i := range pending {
		m.observe(&pending[i])
	}
	for key, l := range m.lanes {
		switch {
		case inFlight[key] == 0:
			l.busy = time.Time{}
		case l.busy.IsZero():
			l.busy = now
		}
	}
	t.countWaiting(now, waitingEvery)
	m.tick(now)
	t.metrics.set(m)
}

// waitingEvery is the time between two countings of what waits for members.
const waitingEvery = 5 * time.Second

// countWaiting asks the queue what waits for members of open events, unless it was asked less
// than some time ago. The caller holds t.mu.
func (t *Tracker) countWaiting(now time.Time, every time.Duration) {
	if now.Sub(t.counted) < every {
		return
	}
	t.counted = now
	m := t.machine
	clear(m.waiting)
	some := false
	for _, e := range m.episodes {
		some = some || e.active() && len(e.members) > 0
	}
	if !some {
		return
	}
	t.opts.Waiting(func(box doppelboden.BoxID, queued int64) {
		if id := doppelboden.MailboxID(box); box > 0 && m.of(id) != nil {
			m.waiting[id] = queued
		}
	})
}

// heldEvery is the time between two countings of what is held for tenants in an event: in
// an outage that answers 5xx it may be a great deal.
const heldEvery = 2 * time.Minute

// countHeld counts what is held for mailboxes of tenants that have an open event, unless it was
// counted within this time, and reports whether what is known is as new as that.
func (t *Tracker) countHeld(ctx context.Context, every time.Duration) bool {
	t.mu.Lock()
	now := t.opts.Clock()
	tenants := map[doppelboden.TenantID]bool{}
	for _, e := range t.machine.episodes {
		if e.active() {
			tenants[e.Tenant] = true
		}
	}
	due := len(tenants) > 0 && now.Sub(t.heldAt) >= every
	if due {
		t.heldAt = now
	}
	t.mu.Unlock()
	if !due {
		return true
	}
	for id := range tenants {
		held, err := t.heldFor(ctx, id)
		if err != nil {
			if ctx.Err() == nil {
				t.opts.Log.Warn("what is held cannot be counted", "err", err)
			}
			return false
		}
		t.mu.Lock()
		t.held[id] = held
		t.mu.Unlock()
	}
	return true
}

// heldFor counts what is held for the mailboxes of a tenant.
func (t *Tracker) heldFor(ctx context.Context, tenant doppelboden.TenantID) (map[doppelboden.MailboxID]int64, error) {
	held := map[doppelboden.MailboxID]int64{}
	err := t.opts.Store.Deliveries(ctx, store.Filter{Tenant: tenant, States: []doppelboden.State{doppelboden.Held}}, func(it store.Item) error {
		held[it.Delivery.Mailbox]++
		return nil
	})
	return held, err
}

// InOutage reports whether a mailbox is in an open event, and in which since when. In attack
// mode all mailboxes of the tenant are, while nothing is handed over.
func (t *Tracker) InOutage(id doppelboden.MailboxID) (number int64, since time.Time, in bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.machine.of(id); e != nil {
		return e.Number, e.Since, true
	}
	dir := t.opts.Directory()
	if m, ok := dir.Mailbox(id); ok && dir.Shut(m.Tenant, store.ShutHandover) {
		if e := t.attack(m.Tenant); e != nil {
			return e.Number, e.Since, true
		}
	}
	return 0, time.Time{}, false
}

// TakesAgain reports whether the groupware takes mail again for a mailbox whose event is not
// over yet, because it has not proved enough.
func (t *Tracker) TakesAgain(id doppelboden.MailboxID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, r := t.machine.of(id), t.machine.records[id]
	if e == nil || e.turned.IsZero() || r.failing() {
		return false
	}
	// Of a whole route that answers everybody's mail is taken, until shown otherwise.
	return e.Whole || r != nil && !r.took.Before(e.turned)
}

// Concerned returns the mailboxes that are in open events: of an attack all of the tenant.
func (t *Tracker) Concerned() []doppelboden.MailboxID { return t.members(true) }

// Outages returns those of Concerned that are not merely in an event of single mailboxes,
// which says nothing about others and may last for months: a mailbox that is full, or that
// the groupware does not know any more.
func (t *Tracker) Outages() []doppelboden.MailboxID { return t.members(false) }

// members returns the mailboxes that are in open events, with those of single ones or without.
func (t *Tracker) members(single bool) []doppelboden.MailboxID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []doppelboden.MailboxID
	for _, e := range t.machine.episodes {
		if !e.open() || e.Minor && !single {
			continue
		}
		for id := range e.members {
			ids = append(ids, id)
		}
		if e.Kind == store.Attack {
			for m := range t.opts.Directory().All() {
				if m.Tenant == e.Tenant {
					ids = append(ids, m.ID)
				}
			}
		}
	}
	return ids
}

// OfSingle reports whether an event, also one that is over, is or was of single mailboxes.
func (t *Tracker) OfSingle(tenant doppelboden.TenantID, number int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.machine.singles[eventKey{tenant, number}]
}

// Covers reports whether an open event speaks for a route, named by its key.
func (t *Tracker) Covers(laneKey string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.machine.lanes[laneKey]
	return l != nil && t.machine.onLane(l, false) != nil
}

package appeal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/queue"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// Store is what it needs of the store; its contract is in package store.
type Store interface {
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
	RefusedBoxes(ctx context.Context, yield func(store.RefusedBox) error) error
}

// Queue carries out what is decided; queue.Queue is one, and says what its methods promise.
type Queue interface {
	TryAgain(ctx context.Context, items []store.Item) ([]store.Item, error)
	Return(ctx context.Context, items []store.Item, why string) (int, error)
	// Up reports whether mail of a lane could be handed over now.
	Up(lane string) bool
}

// Options say what appeals work with. All fields must be set unless a default is named.
type Options struct {
	Store    Store
	Queue    func() Queue // nil while there is none yet
	Log      *slog.Logger
	Registry prometheus.Registerer

	// Lane returns the lane by which a box goes now; "" for none.
	Lane func(doppelboden.BoxID) string
	// Unlisted returns when the lists of a tenant's mailboxes were last read as a whole, and
	// true, when none of them has the address and nobody else is to get its mail.
	Unlisted func(t doppelboden.TenantID, m doppelboden.MailboxID, to doppelboden.Address) (read time.Time, ok bool)
	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Timer waits by it; default real time.
	Timer clock.Timer
	// Pace holds the times between trials; default DefaultPace.
	Pace Pace
}

func (o *Options) validate() error {
	if o.Store == nil || o.Queue == nil || o.Log == nil || o.Registry == nil || o.Lane == nil || o.Unlisted == nil {
		return errors.New("appeal: Store, Queue, Log, Registry, Lane and Unlisted must be set")
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

// Appeals decides when refused mail is tried again, and when it is returned.
type Appeals struct {
	opts    Options
	metrics *metrics
	kick    chan struct{} // wakes Run; holds at most one wake-up

	mu     sync.Mutex
	loaded time.Time // when the store was last asked for all that is refused
	fenced bool      // another node has taken over
	groups map[string]*group
	boxes  map[doppelboden.BoxID]*box
	lanes  map[string]*lane
	trials map[doppelboden.Ref]*trial
	// well holds boxes that took mail since they were refused, or go by another route now:
	// what is held in them is tried for that.
	well  map[doppelboden.BoxID]bool
	asked time.Time // when all boxes were last looked through
	news  bool      // mail was taken since
}

// New returns appeals that know nothing until Run.
func New(o Options) (*Appeals, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Appeals{
		opts: o, metrics: newMetrics(o.Registry), kick: make(chan struct{}, 1),
		groups: map[string]*group{}, boxes: map[doppelboden.BoxID]*box{}, lanes: map[string]*lane{},
		trials: map[doppelboden.Ref]*trial{}, well: map[doppelboden.BoxID]bool{},
	}, nil
}

const (
	// lookOften is how long to wait at most while something is refused: directories are read
	// and routes come back without anybody telling us.
	lookOften = time.Minute
	// lookSoon is how long to wait at least.
	lookSoon = time.Second
	// loadEvery is the time after which the store is asked again for all that is refused:
	// what comes into being as refused, or on another node, nobody tells us.
	loadEvery = time.Hour
)

// Run has mail tried again and returned until ctx ends.
func (a *Appeals) Run(ctx context.Context) {
	a.mu.Lock()
	a.loaded, a.fenced = time.Time{}, false
	a.mu.Unlock()
	for {
		fired, stop := a.opts.Timer(a.look(ctx))
		select {
		case <-ctx.Done():
			stop()
			return
		case <-fired:
		case <-a.kick:
			stop()
		}
	}
}

// wake has Run look at once.
func (a *Appeals) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// look does what is due and returns how long to wait.
func (a *Appeals) look(ctx context.Context) time.Duration {
	q := a.opts.Queue()
	if q == nil || !a.load(ctx) {
		return lookSoon
	}
	for _, t := range a.plan(q) {
		if ctx.Err() != nil {
			break
		}
		if err := a.carryOut(ctx, q, t); err != nil && ctx.Err() == nil {
			a.opts.Log.Error("refused mail cannot be tried again or returned now", "group", t.group, "err", err)
		}
	}
	return a.until()
}

// until returns how long nothing is due.
func (a *Appeals) until() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.boxes) == 0 && len(a.trials) == 0 {
		return loadEvery
	}
	now := a.opts.Clock()
	wait := lookOften
	earlier := func(at time.Time) { wait = min(wait, max(lookSoon, at.Sub(now))) }
	for _, g := range a.groups {
		if g.out <= 0 && g.next.After(now) {
			earlier(g.next)
		}
	}
	for id := range a.well {
		if b := a.boxes[id]; b != nil && b.next.After(now) {
			earlier(b.next)
		}
	}
	if a.news {
		earlier(a.asked.Add(lookThrough))
	}
	for _, t := range a.trials {
		if !t.late {
			earlier(t.at.Add(a.opts.Pace.Patience))
		}
	}
	return wait
}

// load learns what was refused before this run or elsewhere, and reports whether that is
// known.
func (a *Appeals) load(ctx context.Context) bool {
	a.mu.Lock()
	now := a.opts.Clock()
	fenced, known := a.fenced, !a.loaded.IsZero() && now.Sub(a.loaded) < loadEvery
	a.mu.Unlock()
	if known || fenced {
		return !fenced
	}
	var all []store.RefusedBox
	err := a.opts.Store.RefusedBoxes(ctx, func(r store.RefusedBox) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			a.opts.Log.Error("what was refused cannot be read", "err", err)
		}
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	soon := now.Add(a.opts.Pace.Restart)
	for _, r := range all {
		g := a.group(r.Group, r.Tenant, r.Hold, soon)
		b := a.box(r.Box, r.Tenant)
		a.join(g, b)
		b.refusedAt(r.Last)
		if r.Reason == doppelboden.HeldAddress {
			b.mailbox, b.recipient = r.Mailbox, r.Recipient
		}
	}
	a.loaded = now
	return true
}

var _ queue.Appeals = (*Appeals)(nil)

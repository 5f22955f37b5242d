package mailbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// Store is what this package needs of the database.
type Store interface {
	Handed(ctx context.Context, f store.HandedFilter, yield func(store.Handed) error) error
	Confirm(ctx context.Context, lease store.Lease, list []store.Confirmation) error
}

// Options say what a Reader and a Replayer work with. All fields must be set unless a
// default is named.
type Options struct {
	Store Store
	Lease func() store.Lease
	// Place returns where the mailbox of a box lies now; ok is false when the box is none of
	// a groupware's mailbox. A place without a Backend cannot be looked into.
	Place func(doppelboden.BoxID) (p Place, ok bool)
	// Routes returns the routes that are to be read back, by key.
	Routes func() map[string]Route
	// Busy reports whether a route has mail to take that waited for long.
	Busy func(route string) bool
	// Reopen has deliveries handed over again; see queue.Queue.
	Reopen func(ctx context.Context, batch []doppelboden.Settlement) error
	// Kept returns the time before which retention may have removed what had ended; default:
	// nothing is removed.
	Kept     func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
	Clock    func() time.Time // default time.Now
	Timer    clock.Timer      // default real time
	Pace     Pace             // default DefaultPace
}

// A Route is a route that is read back.
type Route struct {
	Tenant doppelboden.TenantID
	Full   bool // everything is looked for, not only a share
}

func (o *Options) validate() error {
	if o.Store == nil || o.Lease == nil || o.Place == nil || o.Routes == nil || o.Busy == nil || o.Reopen == nil || o.Log == nil || o.Registry == nil {
		return errors.New("mailbox: Store, Lease, Place, Routes, Busy, Reopen, Log and Registry must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Timer = clock.Or(o.Timer)
	if o.Kept == nil {
		o.Kept = func() time.Time { return time.Time{} }
	}
	if o.Pace == (Pace{}) {
		o.Pace = DefaultPace()
	}
	return nil
}

// A Pace says when and how much a Reader looks.
type Pace struct {
	Every time.Duration // between two looks for what was handed over
	Fair  time.Duration // how long a groupware has to show what it took
	// Again is when what was not there is looked for once more, before it counts.
	Again time.Duration
	Share int // of a hundred mailboxes that get mail in an hour, how many are looked into
	// Late is how much older than its message a hand-over must be to be one after an outage;
	// of these everything is looked for, and for Watch afterwards of the whole route.
	Late, Watch time.Duration
	// Rest is how many times as long as a look took nobody looks after it.
	Rest int
	// Slow is how long a look may take; after a longer one the rest is four times as long.
	Slow time.Duration
	// Trickle is the rest while the route is busy.
	Trickle time.Duration
	// Back is how far a look goes back: at the start, and for what was seen before in a
	// mailbox that is looked into.
	Back time.Duration
	// Lag is how far behind a share may fall before what is older is passed over.
	Lag time.Duration
}

// DefaultPace is how a city's groupware is looked at: at most a quarter of one connection.
func DefaultPace() Pace {
	return Pace{Every: 5 * time.Second, Fair: 30 * time.Second, Again: 3 * time.Minute, Share: 5, Late: 10 * time.Minute,
		Watch: 15 * time.Minute, Rest: 3, Slow: 2 * time.Second, Trickle: 20 * time.Second, Back: 48 * time.Hour, Lag: 30 * time.Minute}
}

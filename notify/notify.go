package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// Store remembers who was told what; see store.Accounts.
type Store interface {
	PutMemos(ctx context.Context, list []store.Memo) error
	Memos(ctx context.Context, tenant doppelboden.TenantID, what string, yield func(store.Memo) error) error
}

// A Way is how the people of a tenant get SMS.
type Way struct {
	Gateway Gateway
	PerDay  int // at most so many in 24 hours
}

// Options say what a Room works with. All fields must be set.
type Options struct {
	Store    Store
	Way      func(doppelboden.TenantID) (Way, bool) // false: the tenant has no gateway
	Clock    func() time.Time
	Timer    clock.Timer
	Log      *slog.Logger
	Registry prometheus.Registerer
}

func (o *Options) validate() error {
	if o.Store == nil || o.Way == nil || o.Clock == nil || o.Timer == nil || o.Log == nil || o.Registry == nil {
		return errors.New("notify: all of Store, Way, Clock, Timer, Log and Registry must be set")
	}
	return nil
}

// A Room tells people by SMS.
type Room struct {
	opts Options
	sent *prometheus.CounterVec
	kick chan struct{}

	mu    sync.Mutex
	spent map[doppelboden.TenantID]map[doppelboden.MailboxID]time.Time // when SMS were sent, by their slot; see spend
	calls map[callKey]*call
}

// A callKey names what people are told about.
type callKey struct {
	tenant doppelboden.TenantID
	about  string
}

// A Call is something that people of a tenant must be told.
type Call struct {
	Tenant doppelboden.TenantID
	About  string // names it, such as "event/3"; who was told about it is not told again
	People []Person
	Text   func(Person) (string, error) // asked right before each SMS is sent
}

// A Person gets SMS.
type Person struct {
	Mailbox doppelboden.MailboxID
	Phone   doppelboden.Phone
}

// A call is a Call under way.
type call struct {
	Call
	learned bool                                // whether told is what the store knows
	told    map[doppelboden.MailboxID]time.Time // who was told, and when
	failed  map[doppelboden.MailboxID]error     // what the gateway said of the others last
	refused map[doppelboden.MailboxID]refusal   // whom the gateway would not reach
	pause   time.Duration                       // before the next try
	next    time.Time                           // when that is
}

// A refusal is what a gateway said of a number.
type refusal struct {
	phone doppelboden.Phone
	at    time.Time
}

// New returns a Room without calls.
func New(o Options) (*Room, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "doppelboden_sms_total", Help: "SMS by outcome: sent, failed, refused, limit."}, []string{"outcome"})
	if err := o.Registry.Register(sent); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return &Room{opts: o, sent: sent, kick: make(chan struct{}, 1),
		spent: map[doppelboden.TenantID]map[doppelboden.MailboxID]time.Time{}, calls: map[callKey]*call{}}, nil
}

// Send gives one text to a tenant's gateway, once. The code is Policy when the gateway
// refuses it, or says what nobody understands, NotFound when the tenant has none, Busy when
// it has sent as many as it may in 24 hours, else Temporary.
func (r *Room) Send(ctx context.Context, t doppelboden.TenantID, to doppelboden.Phone, text string) error {
	way, ok := r.opts.Way(t)
	if !ok {
		return &doppelboden.Error{Code: doppelboden.NotFound, Public: "no SMS gateway is configured: write [tenant.sms]"}
	}
	slot, ok := r.spend(ctx, t, way.PerDay)
	if !ok {
		r.sent.WithLabelValues("limit").Inc()
		return &doppelboden.Error{Code: doppelboden.Busy, Public: "as many SMS as per_day allows were sent in the last 24 hours"}
	}
	err := way.Gateway.Send(ctx, to, text)
	if errors.As(err, new(unsent)) {
		r.giveBack(ctx, t, slot)
	}
	switch {
	case err == nil:
		r.sent.WithLabelValues("sent").Inc()
	case doppelboden.CodeOf(err).Permanent():
		r.sent.WithLabelValues("refused").Inc()
	default:
		r.sent.WithLabelValues("failed").Inc()
	}
	return err
}

// Tell has people told, at once and then again and again until everybody was, or Done is
// called. Another Call about the same replaces the text and adds people.
func (r *Room) Tell(c Call) {
	r.mu.Lock()
	key := callKey{c.Tenant, c.About}
	had := r.calls[key]
	if had == nil {
		had = &call{told: map[doppelboden.MailboxID]time.Time{}, failed: map[doppelboden.MailboxID]error{}, refused: map[doppelboden.MailboxID]refusal{}}
		r.calls[key] = had
	}
	if !slices.Equal(had.People, c.People) {
		had.next, had.pause = time.Time{}, 0
	}
	had.Call = c
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Done ends a call: nobody has to be told any more.
func (r *Room) Done(t doppelboden.TenantID, about string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, callKey{t, about})
}

// A Told says how far a call is.
type Told struct {
	Tenant doppelboden.TenantID
	About  string
	People int                                 // who must be told
	Told   map[doppelboden.MailboxID]time.Time // who was, and when
	Failed map[doppelboden.MailboxID]error     // why others were not yet
}

// Status returns all calls, by tenant and what they are about.
func (r *Room) Status() []Told {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Told
	for key, c := range r.calls {
		all = append(all, Told{key.tenant, key.about, len(c.People), maps.Clone(c.told), maps.Clone(c.failed)})
	}
	slices.SortFunc(all, func(a, b Told) int {
		if a.Tenant != b.Tenant {
			return int(a.Tenant - b.Tenant)
		}
		return len(a.About) - len(b.About)
	})
	return all
}

const (
	firstPause = 15 * time.Second // a gateway that was restarted is back by then
	mostPause  = 10 * time.Minute // also in a long night nobody needs it sooner
	// againAfter is how long a number that was refused is left alone: an account without
	// credit is told like a number that does not exist, and somebody may fill it up.
	againAfter = 30 * time.Minute
	idle       = time.Hour // how long Run sleeps without a call
)

// Run tells people until ctx ends.
func (r *Room) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := idle
		for _, c := range r.due() {
			r.round(ctx, c)
		}
		if next, any := r.next(); any {
			wait = max(0, next.Sub(r.opts.Clock()))
		}
		fired, stop := r.opts.Timer(wait)
		select {
		case <-ctx.Done():
		case <-fired:
		case <-r.kick:
		}
		stop()
	}
}

// due returns the calls whose time has come.
func (r *Room) due() []*call {
	now := r.opts.Clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*call
	for _, c := range r.calls {
		if at, any := c.due(); any && !at.After(now) {
			list = append(list, c)
		}
	}
	return list
}

// next returns when the next call is due.
func (r *Room) next() (at time.Time, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if due, waits := c.due(); waits && (!any || due.Before(at)) {
			at, any = due, true
		}
	}
	return at, any
}

// due returns when somebody is to be tried again; any is false when everybody was told.
func (c *call) due() (at time.Time, any bool) {
	if !c.learned {
		return c.next, true
	}
	for _, p := range c.People {
		if from, waits := c.from(p); waits && (!any || from.Before(at)) {
			at, any = from, true
		}
	}
	if at.Before(c.next) {
		at = c.next
	}
	return at, any
}

// from returns when a person may be tried again; waits is false for who was told. A number
// that was refused gets some rest, and another one of hers none.
func (c *call) from(p Person) (at time.Time, waits bool) {
	if _, told := c.told[p.Mailbox]; told {
		return at, false
	}
	if r, refused := c.refused[p.Mailbox]; refused && r.phone == p.Phone {
		at = r.at.Add(againAfter)
	}
	return at, true
}

// round tries everybody who has not been told and whose number has no rest.
func (r *Room) round(ctx context.Context, c *call) {
	r.mu.Lock()
	asked, learned := c.Call, c.learned
	r.mu.Unlock()
	err := error(nil)
	if !learned {
		err = r.learn(ctx, c, asked)
	}
	for _, p := range asked.People {
		r.mu.Lock()
		from, waits := c.from(p)
		r.mu.Unlock()
		if err != nil || ctx.Err() != nil {
			break
		}
		if waits && !from.After(r.opts.Clock()) {
			r.one(ctx, c, asked, p)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.pause = min(max(2*c.pause, firstPause), mostPause)
	c.next = r.opts.Clock().Add(c.pause)
}

// learn reads who was told by an earlier run.
func (r *Room) learn(ctx context.Context, c *call, asked Call) error {
	told := map[doppelboden.MailboxID]time.Time{}
	err := r.opts.Store.Memos(ctx, asked.Tenant, memo(asked.About), func(m store.Memo) error {
		told[m.Mailbox] = m.At
		return nil
	})
	if err != nil {
		r.opts.Log.Error("nobody knows who was told by SMS", "about", asked.About, "err", err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(c.told, told)
	c.learned = true
	return nil
}

// one tells one person.
func (r *Room) one(ctx context.Context, c *call, asked Call, p Person) {
	text, err := asked.Text(p)
	if err == nil {
		err = r.Send(ctx, asked.Tenant, p.Phone, text)
	}
	now := r.opts.Clock()
	r.mu.Lock()
	if err == nil {
		c.told[p.Mailbox] = now
		delete(c.failed, p.Mailbox)
	} else {
		c.failed[p.Mailbox] = err
		delete(c.refused, p.Mailbox)
		if doppelboden.CodeOf(err) == doppelboden.Policy {
			c.refused[p.Mailbox] = refusal{p.Phone, now}
		}
	}
	r.mu.Unlock()
	if err != nil {
		r.opts.Log.Error("a person could not be told by SMS", "mailbox", int64(p.Mailbox), "about", asked.About, "err", err)
		return
	}
	r.opts.Log.Info("a person was told by SMS", "mailbox", int64(p.Mailbox), "about", asked.About)
	// Without the memo she is told again after a restart: better than never.
	err = r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: asked.Tenant, Mailbox: p.Mailbox, What: memo(asked.About), At: now}})
	if err != nil {
		r.opts.Log.Error("that a person was told by SMS cannot be noted", "mailbox", int64(p.Mailbox), "about", asked.About, "err", err)
	}
}

// memo is what a Memo about a call is called.
func memo(about string) string { return "sms/" + about }

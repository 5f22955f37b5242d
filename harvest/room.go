package harvest

import (
	"context"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
)

// A Room keeps mailboxes filled.
type Room struct {
	opts    Options
	metrics *metrics

	mu      sync.Mutex
	tenants map[doppelboden.TenantID]*tenant
	routes  map[string]*reading
	stopped map[doppelboden.TenantID]bool
	urgent  map[doppelboden.MailboxID]bool   // to be read before all others
	blind   time.Time                        // until then no report waits to be recognised
	reports map[doppelboden.TenantID]trouble // what came by journal and could not be understood or kept
}

// A trouble is a journal report that could not be understood, or not kept.
type trouble struct {
	said doppelboden.Telling
	at   time.Time
}

// A tenant is what is known of one while the node runs.
type tenant struct {
	id doppelboden.TenantID

	deciding lock // one mail at a time is recognised, so that two ways do not make two of it
	marker   marker

	mu      sync.Mutex
	first   first
	journal time.Time                     // when mail last came by a journal report, as far as this run of the node knows
	hairpin time.Time                     // and from one mailbox to another through us
	last    map[string]roundTally         // of the last round of each route that is over
	guarded map[doppelboden.MailboxID]int // so much vanished there at once that nothing is hidden
	lacking map[doppelboden.MailboxID]int // so much a restore of the groupware has lost there
	// sought says of mailboxes that what vanished up to then came late enough to be found elsewhere.
	sought map[doppelboden.MailboxID]time.Time
}

// New returns a room that reads nothing until Run.
func New(o Options) (*Room, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Room{opts: o, metrics: newMetrics(o.Registry), tenants: map[doppelboden.TenantID]*tenant{}, routes: map[string]*reading{},
		stopped: map[doppelboden.TenantID]bool{}, urgent: map[doppelboden.MailboxID]bool{}, reports: map[doppelboden.TenantID]trouble{}}, nil
}

// tenant returns what is known of a tenant.
func (r *Room) tenant(id doppelboden.TenantID) *tenant {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tenants[id]
	if t == nil {
		t = &tenant{id: id, marker: marker{fresh: map[doppelboden.ID]sums{}}}
		r.tenants[id] = t
	}
	return t
}

// Stop ends the reading of a tenant's mailboxes, as attack mode wants it; nothing of it is
// under way any more when it returns but the command that a server is answering. Resume
// begins it again.
func (r *Room) Stop(t doppelboden.TenantID) { r.halt(t, true) }

// Resume lets a tenant's mailboxes be read again.
func (r *Room) Resume(t doppelboden.TenantID) { r.halt(t, false) }

func (r *Room) halt(t doppelboden.TenantID, stop bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped[t] = stop
	if !stop {
		return
	}
	for _, one := range r.routes {
		if one.tenant == t {
			one.interrupt()
		}
	}
}

// held says why a route's mailboxes are left alone; "": they are not.
func (r *Room) held(route Route) string {
	r.mu.Lock()
	stopped := r.stopped[route.Tenant]
	r.mu.Unlock()
	if stopped {
		return "stopped"
	}
	return r.opts.Held(route.Key)
}

// Run fills mailboxes until ctx ends: every route for itself, so that a slow one holds up no
// other. Routes come and go with the configuration.
func (r *Room) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { r.watch(ctx) })
	stops := map[string]context.CancelFunc{}
	for {
		now := r.opts.Routes()
		for key, stop := range stops {
			if now[key].Backend == nil {
				stop()
				delete(stops, key)
				r.forget(key)
			}
		}
		for key, route := range now {
			if stops[key] != nil || route.Backend == nil {
				continue
			}
			run, stop := context.WithCancel(ctx)
			stops[key] = stop
			one := r.begin(route)
			running.Go(func() { one.run(run) })
		}
		if !clock.Sleep(ctx, r.opts.Timer, r.opts.Pace.Mark) {
			break
		}
	}
	for _, stop := range stops {
		stop()
	}
}

// HeldAttack is the reason in Options.Held that ends a look that is under way.
const HeldAttack = "attack"

// watch looks at new messages of the tenants that are filled, whether they are doubles, and
// ends looks that must not go on.
func (r *Room) watch(ctx context.Context) {
	clock.Every(ctx, r.opts.Timer, r.opts.Pace.Mark, func() {
		seen := map[doppelboden.TenantID]bool{}
		for key, route := range r.opts.Routes() {
			if r.opts.Held(key) == HeldAttack {
				r.interrupt(key)
			}
			if seen[route.Tenant] || route.Backend == nil && !route.Journal {
				continue
			}
			seen[route.Tenant] = true
			if err := r.catchUp(ctx, r.tenant(route.Tenant)); err != nil && ctx.Err() == nil {
				r.opts.Log.Warn("new messages cannot be looked at for doubles", "tenant", route.Tenant, "err", err)
			}
		}
	})
}

// interrupt ends the look into a route's mailboxes that is under way.
func (r *Room) interrupt(route string) {
	r.mu.Lock()
	one := r.routes[route]
	r.mu.Unlock()
	if one != nil {
		one.interrupt()
	}
}

// begin makes a route known.
func (r *Room) begin(route Route) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := &reading{r: r, key: route.Key, tenant: route.Tenant}
	r.routes[route.Key] = one
	return one
}

// forget forgets a route whose mailboxes are not read any more.
func (r *Room) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, key)
}

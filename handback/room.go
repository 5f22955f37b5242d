package handback

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/courier"
	"doppelboden/store"
)

// A Room hands back what people did.
type Room struct {
	opts    Options
	metrics *metrics
	texts   sync.Pool // of *courier.Text
	ids     doppelboden.IDs

	mu     sync.Mutex
	boxes  map[doppelboden.MailboxID]*box // that have deeds, or whose owner is still to be told
	routes map[string]*route
	rate   rate

	openings map[doppelboden.MailboxID]opening

	// owing are the mailboxes that have deeds. It is read without mu; what it points to never
	// changes.
	owing atomic.Pointer[map[doppelboden.MailboxID]bool]
}

// A box is a mailbox with deeds. It is guarded by Room.mu.
type box struct {
	id     doppelboden.MailboxID
	tenant doppelboden.TenantID
	deeds  int64
	oldest time.Time
	tell   bool // its owner is still to be told
	busy   bool // somebody works on it

	next     time.Time // not before this
	failures int       // visits in a row that failed
	why      string    // why the last visit failed, or what stays; "": it did not
	since    time.Time // of why
	staying  int       // deeds that cannot go back for now
	waiting  int       // deeds that go with their mails
	healthy  time.Time // since when it is well; zero: it is not
	stuck    time.Time // since when nothing but what the groupware refuses is left; zero: it is not so
	went     time.Time // when a visit last handed something back
}

// A route is what is known of one groupware. It is guarded by Room.mu.
type route struct {
	busy     int   // workers
	jobs     []job // mailboxes whose turn it is, in their order
	next     time.Time
	failures int
	why      string
	since    time.Time
}

// New returns a room that does nothing until Run.
func New(o Options) (*Room, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Room{opts: o, metrics: newMetrics(o.Registry), texts: sync.Pool{New: func() any { return new(courier.Text) }},
		boxes: map[doppelboden.MailboxID]*box{}, routes: map[string]*route{}, openings: map[doppelboden.MailboxID]opening{}}, nil
}

// Load reads what is to go back and who is still to be told. It comes before the queue starts,
// which asks what was touched, and before Run.
func (r *Room) Load(ctx context.Context) error {
	if err := r.remember(ctx); err != nil {
		return fmt.Errorf("read who is still to be told: %w", err)
	}
	list, err := r.opts.Store.DeedCounts(ctx)
	if err != nil {
		return fmt.Errorf("count what is to go back: %w", err)
	}
	r.counted(list)
	return nil
}

// Run hands back until ctx ends.
func (r *Room) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	for {
		began := time.Now()
		if err := r.recount(ctx); err != nil && ctx.Err() == nil {
			r.opts.Log.Warn("what is to go back cannot be read", "err", err)
		}
		if err := r.noteOpenings(ctx); err != nil && ctx.Err() == nil {
			r.opts.Log.Warn("nobody will know that a mailbox was opened", "err", err)
		}
		r.assign(ctx, &working)
		// Counting half a million deeds takes a tenth of a second.
		if !clock.Sleep(ctx, r.opts.Timer, max(r.opts.Pace.Every, 50*time.Since(began))) {
			return
		}
	}
}

// remember reads whose owners an earlier run was to tell.
func (r *Room) remember(ctx context.Context) error {
	return r.opts.Store.Handbacks(ctx, 0, func(h store.Handback) error {
		if !untold(&h) {
			return nil
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		b := r.box(h.Tenant, h.Mailbox)
		b.tell = true
		return nil
	})
}

// box returns what is known of a mailbox. The caller holds mu.
func (r *Room) box(t doppelboden.TenantID, m doppelboden.MailboxID) *box {
	b := r.boxes[m]
	if b == nil {
		b = &box{id: m, tenant: t}
		r.boxes[m] = b
	}
	return b
}

// recount reads which mailboxes have deeds.
func (r *Room) recount(ctx context.Context) error {
	list, err := r.opts.Store.DeedCounts(ctx)
	if err != nil {
		return err
	}
	for _, m := range r.counted(list) {
		r.opts.Touch(m)
	}
	return nil
}

// counted takes in which mailboxes have deeds and returns those that have others than before.
func (r *Room) counted(list []store.DeedCount) (changed []doppelboden.MailboxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := make(map[doppelboden.MailboxID]int64, len(r.boxes))
	for id, b := range r.boxes {
		was[id] = b.deeds
		b.deeds, b.oldest = 0, time.Time{}
	}
	total, owing := int64(0), make(map[doppelboden.MailboxID]bool, len(list))
	for _, c := range list {
		b := r.box(c.Tenant, c.Mailbox)
		b.deeds, b.oldest = c.Deeds, c.Oldest
		total += c.Deeds
		if c.Deeds > 0 {
			owing[c.Mailbox] = true
		}
		if was[c.Mailbox] < c.Deeds {
			changed = append(changed, c.Mailbox)
		}
	}
	for id, b := range r.boxes {
		if b.deeds == 0 && !b.tell && !b.busy {
			delete(r.boxes, id)
		}
	}
	r.owing.Store(&owing)
	r.metrics.waiting.Set(float64(total))
	return changed
}

// A job is a mailbox whose turn it is.
type job struct {
	box      *box
	place    Place
	priority int
	oldest   time.Time
}

// assign says which mailboxes' turn it is, and has as many workers for them as their routes
// bear. Each worker goes on with the next mailbox of its route.
func (r *Room) assign(ctx context.Context, working *sync.WaitGroup) {
	now := r.opts.Clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, way := range r.routes {
		way.jobs = nil
	}
	for _, b := range r.boxes {
		if place, ok := r.due(b, now); ok {
			way := r.route(place.Route)
			way.jobs = append(way.jobs, job{b, place, place.Priority, b.oldest})
		}
	}
	for _, way := range r.routes {
		slices.SortFunc(way.jobs, func(a, b job) int {
			return cmp.Or(cmp.Compare(b.priority, a.priority), a.oldest.Compare(b.oldest), cmp.Compare(a.box.id, b.box.id))
		})
		for more := len(way.jobs); more > 0 && way.busy < r.atOnce(way.jobs[0].place); more-- {
			way.busy++
			working.Go(func() { r.work(ctx, way) })
		}
	}
}

// atOnce is how many mailboxes of a route are worked on: fewer while old mail waits for it.
func (r *Room) atOnce(p Place) int {
	if r.opts.Busy(p.Route) {
		return max(1, (p.AtOnce+1)/2)
	}
	return max(1, p.AtOnce)
}

// route returns what is known of a route. The caller holds mu.
func (r *Room) route(key string) *route {
	if r.routes[key] == nil {
		r.routes[key] = &route{}
	}
	return r.routes[key]
}

// due reports whether a mailbox may be worked on now. The caller holds mu.
func (r *Room) due(b *box, now time.Time) (Place, bool) {
	place, ok := r.opts.Place(b.id)
	if !ok || r.opts.Stopped(b.tenant) || !r.opts.Well(b.id) {
		b.healthy = time.Time{}
		return place, false
	}
	if b.healthy.IsZero() { // it has just come back: what failed before says nothing
		b.healthy, b.next, b.failures, b.why = now, time.Time{}, 0, ""
	}
	calm := b.deeds > 0 && now.Sub(b.oldest) >= r.opts.Pace.Calm
	return place, !b.busy && !now.Before(b.next) && !now.Before(r.route(place.Route).next) && (calm || b.deeds == 0 && b.tell)
}

// next takes the next mailbox of a route, or ends the worker.
func (r *Room) next(ctx context.Context, way *route) (job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Clock()
	for len(way.jobs) > 0 && ctx.Err() == nil && way.busy <= r.atOnce(way.jobs[0].place) {
		j := way.jobs[0]
		way.jobs = way.jobs[1:]
		if place, ok := r.due(j.box, now); ok {
			j.place, j.box.busy = place, true
			return j, true
		}
	}
	way.busy--
	return job{}, false
}

// work works on one mailbox of a route after the other.
func (r *Room) work(ctx context.Context, way *route) {
	for {
		j, ok := r.next(ctx, way)
		if !ok {
			return
		}
		began := time.Now()
		res, err := r.serve(ctx, j.box.id, j.place)
		took := time.Since(began)
		r.ended(ctx, j, way, res, err)
		rest := time.Duration(float64(took) * r.opts.Pace.Rest)
		if r.opts.Busy(j.place.Route) { // mail goes first
			rest *= 10
		}
		if rest > 0 {
			clock.Sleep(ctx, r.opts.Timer, rest)
		}
	}
}

// ended notes how a visit ended.
func (r *Room) ended(ctx context.Context, j job, way *route, res result, err error) {
	now := r.opts.Clock()
	r.mu.Lock()
	b := j.box
	b.busy = false
	if ctx.Err() != nil {
		r.mu.Unlock()
		return
	}
	b.tell = res.tell || err != nil // nobody knows whether something is to be told, or was begun
	b.staying, b.waiting = res.staying, res.waiting
	why := res.why
	p := r.opts.Pace
	switch {
	case err != nil:
		why = hear(err)
		b.failures++
		b.next = now.Add(backoff(p, b.failures))
		if aboutRoute(err) {
			way.failures++
			way.next = now.Add(backoff(p, way.failures))
			if way.why == "" {
				way.since = now
			}
			way.why = why
		}
	default:
		way.failures, way.why, way.next = 0, "", time.Time{}
		b.failures = 0
		b.next = now.Add(res.wait)
	}
	if why != "" && b.why == "" {
		b.since = now
	}
	b.why = why
	r.mu.Unlock()
	if err != nil {
		r.opts.Log.Warn("what was done in a mailbox does not go back", "mailbox", int64(b.id), "route", j.place.Route, "err", err)
	}
}

// backoff is how long a mailbox or a route rests after so many failures.
func backoff(p Pace, failures int) time.Duration {
	return min(p.Most, p.First<<min(max(failures-1, 0), 16))
}

// aboutRoute reports whether an error of a visit says something of the groupware as a whole,
// and not of one mailbox.
func aboutRoute(err error) bool {
	return doppelboden.CodeOf(err) != doppelboden.NotFound
}

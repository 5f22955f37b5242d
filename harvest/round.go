package harvest

import (
	"context"
	"errors"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
)

// A reading is one route whose mailboxes are read.
type reading struct {
	r      *Room
	key    string
	tenant doppelboden.TenantID

	mu      sync.Mutex
	looking map[doppelboden.MailboxID]context.CancelFunc // ends the looks that are under way
	status  RouteStatus
	work    time.Duration // of all looks of the last round, with the rests after them
	failing int           // mailboxes in a row that could not be read
}

// A RouteStatus says how the reading of a route's mailboxes goes.
type RouteStatus struct {
	Route     string    `json:"route"`
	Mailboxes int       `json:"mailboxes"` // of this round
	Done      int       `json:"done"`      // of these, so many were looked at
	Began     time.Time `json:"began,omitzero"`
	Round     time.Time `json:"round,omitzero"` // when the last round was over
	Took      float64   `json:"took_seconds"`   // the last round, in seconds
	Filling   int       `json:"filling"`        // mailboxes whose first reading is not over, at the last look
	Held      string    `json:"held,omitzero"`  // why they are left alone
	Trouble   string    `json:"trouble,omitzero"`
}

// mostFailing is how many mailboxes in a row are passed over before it is the groupware that
// cannot be read.
const mostFailing = 3

// run reads until ctx ends.
func (g *reading) run(ctx context.Context) {
	for {
		start := g.r.opts.Clock()
		g.round(ctx)
		wait := g.r.opts.Pace.Every - g.r.opts.Clock().Sub(start)
		if wait <= 0 || g.unfilled() {
			wait = time.Second
		}
		if !g.wait(ctx, wait) {
			return
		}
	}
}

// unfilled reports whether the last round has left mailboxes that are not filled.
func (g *reading) unfilled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status.Filling > 0 && g.status.Held == "" && g.status.Trouble == ""
}

// grownEvery is how many steps of waiting lie between two looks for new mailboxes: a list of
// 20,000 takes some milliseconds.
const grownEvery = 6

// grown reports whether there are more mailboxes than in the last round.
func (g *reading) grown() bool {
	n := len(g.r.opts.Mailboxes(g.key))
	g.mu.Lock()
	defer g.mu.Unlock()
	return n > g.status.Mailboxes
}

// wait waits for the next round, or until somebody wants a mailbox to be read at once. It
// returns false when ctx ended.
func (g *reading) wait(ctx context.Context, d time.Duration) bool {
	for n := 1; d > 0; n++ {
		step := min(d, g.r.opts.Pace.Mark)
		if !clock.Sleep(ctx, g.r.opts.Timer, step) {
			return false
		}
		d -= step
		if g.r.wanted(g.key) {
			g.urgent(ctx)
		}
		if n%grownEvery == 0 && g.grown() {
			break
		}
	}
	return ctx.Err() == nil
}

// round looks at every mailbox of the route once.
func (g *reading) round(ctx context.Context) {
	p := &pass{g: g, boxes: g.r.opts.Mailboxes(g.key)}
	readers := g.readers(len(p.boxes))
	g.mu.Lock()
	g.status.Route, g.status.Mailboxes, g.status.Done, g.status.Began = g.key, len(p.boxes), 0, g.r.opts.Clock()
	g.mu.Unlock()
	began := time.Now()
	if !p.run(ctx, readers) {
		return
	}
	g.mu.Lock()
	g.status.Took = time.Since(began).Seconds()
	g.status.Done, g.status.Round, g.status.Filling, g.work = len(p.boxes), g.r.opts.Clock(), p.filling, p.work
	g.mu.Unlock()
	g.r.tenant(g.tenant).rounded(g.key, p.tally)
}

// hold notes why the route is left alone.
func (g *reading) hold(route Route) string {
	why := "it has no IMAP access any more"
	if route.Backend != nil {
		why = g.r.held(route)
	}
	g.mu.Lock()
	g.status.Held = why
	g.mu.Unlock()
	return why
}

// enter notes that a mailbox is looked at, and reports whether nobody else does.
func (g *reading) enter(m doppelboden.MailboxID, cancel context.CancelFunc) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.looking[m] != nil {
		return false
	}
	if g.looking == nil {
		g.looking = map[doppelboden.MailboxID]context.CancelFunc{}
	}
	g.looking[m] = cancel
	return true
}

// leave notes that a mailbox is not looked at any more.
func (g *reading) leave(m doppelboden.MailboxID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.looking, m)
}

// look looks at one mailbox and rests. Where somebody else does so just now, it does nothing.
func (g *reading) look(ctx context.Context, route Route, box doppelboden.Mailbox) (seen boxTally, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !g.enter(box.ID, cancel) {
		return seen, nil
	}
	defer g.leave(box.ID)
	if why := g.r.held(route); why != "" { // it may have come just now
		return seen, nil
	}
	start := time.Now()
	v := &visit{r: g.r, t: g.r.tenant(route.Tenant), route: route, box: box, budget: g.r.opts.Pace.Slice}
	err = v.run(ctx)
	took := time.Since(start)
	g.r.metrics.seconds.Observe(took.Seconds())
	switch {
	case err == nil:
		g.r.metrics.visits.WithLabelValues(g.key, "ok").Inc()
		g.mu.Lock()
		g.failing, g.status.Trouble = 0, ""
		g.mu.Unlock()
	case ctx.Err() == nil:
		g.r.metrics.visits.WithLabelValues(g.key, "failed").Inc()
		if !errors.Is(err, errGone) {
			g.r.opts.Log.Warn("a mailbox of the groupware cannot be read", "route", g.key, "mailbox", int64(box.ID), "err", err)
		} else {
			err = nil
		}
		v.fail(context.WithoutCancel(ctx))
	default:
		err = nil // it was ended, which says nothing of the groupware
	}
	rest := took * time.Duration(g.r.opts.Pace.Rest)
	if took > g.r.opts.Pace.Slow && v.read == 0 { // it was slow without having much to say
		rest *= 4
	}
	clock.Sleep(ctx, g.r.opts.Timer, rest)
	return v.seen, err
}

// interrupt ends the looks that are under way.
func (g *reading) interrupt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, cancel := range g.looking {
		cancel()
	}
}

// urgent looks at the mailboxes that somebody wants to be read at once.
func (g *reading) urgent(ctx context.Context) {
	for {
		box, ok := g.r.takeUrgent(g)
		if !ok || ctx.Err() != nil {
			return
		}
		route := g.r.opts.Routes()[g.key]
		if g.hold(route) != "" {
			return
		}
		if seen, err := g.look(ctx, route, box); err == nil && seen.filling {
			g.r.Sync(box.ID) // until it is filled
		}
	}
}

// Sync has a mailbox read before all others.
func (r *Room) Sync(m doppelboden.MailboxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.urgent[m] = true
}

// wanted reports whether a mailbox of a route is to be read at once.
func (r *Room) wanted(route string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.urgent {
		if key, _, ok := r.opts.Place(m); ok && key == route {
			return true
		}
	}
	return false
}

// takeUrgent takes one of those at which nobody looks just now.
func (r *Room) takeUrgent(g *reading) (doppelboden.Mailbox, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.urgent {
		if key, box, ok := r.opts.Place(m); ok && key == g.key && !g.looksAt(m) {
			delete(r.urgent, m)
			return box, true
		}
	}
	return doppelboden.Mailbox{}, false
}

// looksAt reports whether a mailbox is looked at just now.
func (g *reading) looksAt(m doppelboden.MailboxID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.looking[m] != nil
}

// Status returns how the reading of all routes goes, by name.
func (r *Room) Status() []RouteStatus {
	r.mu.Lock()
	all := make([]*reading, 0, len(r.routes))
	for _, g := range r.routes {
		all = append(all, g)
	}
	r.mu.Unlock()
	list := make([]RouteStatus, len(all))
	for i, g := range all {
		g.mu.Lock()
		list[i] = g.status
		g.mu.Unlock()
		list[i].Route = g.key
	}
	sortRoutes(list)
	return list
}

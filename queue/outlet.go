package queue

import (
	"container/heap"
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"
)

// Internet says which ways to the Internet there are; the answers may change between
// calls, and Reload makes the queue ask again.
type Internet interface {
	// Outlets returns every outlet there is.
	Outlets() []OutletConfig
	// Outlet returns the name of the outlet that serves the box, and the domain that it
	// stands for. ok is false for boxes that are no domains, and for those of tenants
	// without an outlet.
	Outlet(b doppelboden.BoxID) (name, domain string, ok bool)
}

// An OutletConfig describes one outlet.
type OutletConfig struct {
	Route     courier.Route // Name names the outlet; with Hosts these are smart hosts, else each domain's exchangers are asked
	AtOnce    int           // transactions at once; 0: none are begun
	PerDomain int           // of these, for one domain
	// Limit returns how long mail of a class is tried.
	Limit func(class string) time.Duration
}

// An outlet is the way of one tenant's mail to the Internet. It differs from a lane in
// that no order is promised: several mails for one domain are on their way at once, and
// each that is put off has a time of its own, which the store knows. Domains take turns,
// whatever waits for each, and how one of them is says nothing about the others, except
// behind smart hosts, which all of them share.
//
// Limits that a provider sets for many domains and an egress address belong where mayStart
// asks the throttle of one domain.
type outlet struct {
	q       *Queue
	name    string
	kick    chan struct{} // wakes run; holds at most one wake-up
	work    sync.WaitGroup
	metrics laneMetrics
	counts  outletMetrics

	life context.Context // of the queue: after its end settlements have 10 s more

	mu       sync.Mutex
	conf     OutletConfig
	version  int // of conf.Route; connections of an older one are not used again
	domains  map[doppelboden.BoxID]*domain
	ready    []*domain // in the order of their turns
	waiting  domainHeap
	buffered int   // items in all domains
	queued   int64 // deliveries that wait, in memory or in the store
	moves    int   // calls of refresh, which make loads under way void
	inFlight int   // transactions
	settling int   // transactions that ended and are being written
	agents   []farAgent
	health   health                     // of the smart hosts
	silent   map[doppelboden.BoxID]bool // domains that did not answer since anybody did, at most mostSilent
	aging    bool                       // a goroutine looks for mail that is too old
	aged     time.Time
}

// A domain is one for which mail waits. All of it is guarded by outlet.mu.
type domain struct {
	id   doppelboden.BoxID
	name string

	items  []store.Item // due now, not in flight
	more   bool         // the store may hold deliveries that are neither in items nor in flight
	next   time.Time    // while more: of these, none is due before
	queued int64        // deliveries that wait, as far as the outlet was told
	since  time.Time    // no mail that waits was received before

	loading bool
	aging   bool // what is too old is being looked for
	// gone holds what left items or flight while the store was being asked, for the
	// answer may still hold it.
	gone      map[doppelboden.Ref]bool
	flying    map[doppelboden.Ref]bool // in flight, or being written
	overruled map[doppelboden.Ref]bool // of those in flight: a person decided, so a failure is not written

	inFlight int
	throttle throttle
	own      health
	blocked  time.Time // since when it refuses us for who we are; zero: it does not
	why      string    // its words

	place place
	index int       // in outlet.waiting
	due   time.Time // while it is there
}

// A farAgent is a kept connection without a transaction.
type farAgent struct {
	agent   Agent
	box     doppelboden.BoxID // 0 behind smart hosts
	version int
	since   time.Time
}

// keepFar is how long a connection to a stranger is kept without mail for him. Most have
// no second mail, and hold a connection dear.
const keepFar = 5 * time.Second

func newOutlet(q *Queue, name string) *outlet {
	o := &outlet{
		q: q, name: name, kick: make(chan struct{}, 1), domains: map[doppelboden.BoxID]*domain{}, silent: map[doppelboden.BoxID]bool{},
		metrics: q.metrics.lane(name), counts: q.metrics.outlet(name), aged: q.opts.Clock(),
	}
	o.health.since = q.opts.Clock()
	o.metrics.up.Set(1)
	return o
}

// configure makes c what the outlet works by from now on.
func (o *outlet) configure(c OutletConfig) {
	o.mu.Lock()
	if !reflect.DeepEqual(o.conf.Route, c.Route) {
		o.version++
		// Other hosts may be well, and were never asked.
		o.health = health{since: o.q.opts.Clock()}
		o.metrics.up.Set(1)
		for _, d := range o.domains {
			d.own.probe = time.Time{}
		}
	}
	o.conf = c
	for _, d := range o.domains {
		d.throttle.most = c.PerDomain
		d.throttle.now = max(1, min(d.throttle.now, c.PerDomain))
		o.arrange(d)
	}
	o.mu.Unlock()
	o.wake()
}

// relayed reports whether smart hosts stand between us and the domains.
func (o *outlet) relayed() bool { return len(o.conf.Route.Hosts) > 0 }

// healthOf returns what is known of whom mail for d is given to.
func (o *outlet) healthOf(d *domain) *health {
	if o.relayed() {
		return &o.health
	}
	return &d.own
}

// domain returns the domain of a box, which it makes known if need be.
func (o *outlet) domain(id doppelboden.BoxID, name string, since time.Time) *domain {
	d := o.domains[id]
	if d == nil {
		d = &domain{id: id, name: name, since: since, flying: map[doppelboden.Ref]bool{}, throttle: newThrottle(max(1, o.conf.PerDomain))}
		d.own.since = o.q.opts.Clock()
		o.domains[id] = d
	}
	if since.Before(d.since) {
		d.since = since
	}
	return d
}

// expect notes that the store may hold something for d that is due at a time.
func (d *domain) expect(at time.Time) {
	if !d.more || at.Before(d.next) {
		d.more, d.next = true, at
	}
}

// restore makes a domain known that had mail waiting at the start.
func (o *outlet) restore(s store.Box, name string) {
	o.mu.Lock()
	d := o.domain(s.Box, name, s.Since)
	d.queued += s.Queued
	o.queued += s.Queued
	d.expect(time.Time{})
	o.arrange(d)
	o.mu.Unlock()
	o.wake()
}

// A farItem is a new delivery with its domain.
type farItem struct {
	item   store.Item
	domain string
}

// add takes the new deliveries of one message, all at once, so that those for one domain
// can go in one transaction.
func (o *outlet) add(all []farItem) {
	o.mu.Lock()
	touched := make(map[*domain]bool, 1)
	for _, p := range all {
		it := p.item
		d := o.domain(it.Delivery.Box, p.domain, it.Message.Received)
		touched[d] = true
		if it.Delivery.Seq == 0 { // in doubt
			d.expect(time.Time{})
			continue
		}
		d.queued++
		o.queued++
		if o.buffered >= o.q.opts.Window || o.healthOf(d).down {
			d.expect(time.Time{})
		} else {
			o.keep(d, it)
		}
	}
	for d := range touched {
		o.arrange(d)
	}
	o.mu.Unlock()
	o.wake()
}

// keep puts an item into memory, unless it is there or on its way.
func (o *outlet) keep(d *domain, it store.Item) {
	ref := refOf(it)
	if d.flying[ref] || d.gone[ref] || slices.ContainsFunc(d.items, func(e store.Item) bool { return refOf(e) == ref }) {
		return
	}
	d.items = append(d.items, it)
	o.buffered++
}

// drop takes a delivery out of items.
func (o *outlet) drop(d *domain, ref doppelboden.Ref) {
	if i := slices.IndexFunc(d.items, func(it store.Item) bool { return refOf(it) == ref }); i >= 0 {
		d.items = slices.Delete(d.items, i, i+1)
		o.buffered--
	}
	d.left(ref)
}

// left notes that a delivery is no longer where it was while the store is being asked.
func (d *domain) left(ref doppelboden.Ref) {
	if d.loading {
		if d.gone == nil {
			d.gone = map[doppelboden.Ref]bool{}
		}
		d.gone[ref] = true
	}
}

// forget takes all items of d out of memory; the store is asked for them again.
func (o *outlet) forget(d *domain) {
	if len(d.items) > 0 {
		o.buffered -= len(d.items)
		d.items = nil
		d.expect(time.Time{})
	}
}

// lift takes d out of the list it stands in.
func (o *outlet) lift(d *domain) {
	switch d.place {
	case ready:
		i := slices.Index(o.ready, d)
		o.ready = slices.Delete(o.ready, i, i+1)
	case waiting:
		heap.Remove(&o.waiting, d.index)
	}
	d.place = nowhere
}

// arrange puts d where it belongs now, or forgets it when nothing is left to do. One that
// has a turn to come keeps its place.
func (o *outlet) arrange(d *domain) {
	if len(d.items) == 0 && !d.more && len(d.flying) == 0 && !d.loading && !d.aging {
		o.lift(d)
		delete(o.domains, d.id)
		o.queued = max(0, o.queued-d.queued)
		return
	}
	due, can := o.turn(d)
	now := o.q.opts.Clock()
	switch {
	case !can:
		o.lift(d)
	case due.After(now):
		o.lift(d)
		d.place, d.due = waiting, due
		heap.Push(&o.waiting, d)
	case d.place != ready:
		o.lift(d)
		d.place = ready
		o.ready = append(o.ready, d)
	}
}

// turn returns when d can have its next turn, or that something must happen before.
func (o *outlet) turn(d *domain) (due time.Time, can bool) {
	switch {
	case d.loading || d.aging, len(d.items) == 0 && !d.more, d.inFlight >= d.throttle.now:
		return due, false
	case len(d.items) == 0:
		due = d.next
	}
	if h := &d.own; !o.relayed() && h.down {
		if d.inFlight > 0 || len(d.flying) > 0 {
			return due, false // one probe at a time
		}
		if h.probe.After(due) {
			due = h.probe
		}
	}
	return due, true
}

// refresh forgets all items, so that the store is asked for them again.
func (o *outlet) refresh() {
	o.mu.Lock()
	o.moves++
	for _, d := range o.domains {
		o.forget(d)
		o.arrange(d)
	}
	o.mu.Unlock()
	o.wake()
}

// wake makes run look again.
func (o *outlet) wake() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// start runs the outlet until hand ends; wait returns when nothing of it is left. What
// came of its transactions is written while life lasts.
func (o *outlet) start(life, hand context.Context) {
	o.life = life
	o.work.Go(func() { o.run(hand) })
}

func (o *outlet) wait() { o.work.Wait() }

// run starts transactions until ctx ends.
func (o *outlet) run(ctx context.Context) {
	fired, stop := o.q.opts.Timer(0)
	for {
		select {
		case <-ctx.Done():
			stop()
			o.closeIdle(time.Time{})
			return
		case <-o.kick:
		case <-fired:
		}
		next := earlier(o.startJobs(ctx), o.age(ctx))
		stop()
		fired = nil
		if !next.IsZero() {
			fired, stop = o.q.opts.Timer(max(0, next.Sub(o.q.opts.Clock())))
		}
	}
}

// startJobs starts what may be started and returns when to look again; zero for not
// before something happens.
func (o *outlet) startJobs(ctx context.Context) time.Time {
	for {
		j := o.pick(ctx)
		if j == nil {
			break
		}
		agent := o.agent(j)
		o.work.Go(func() { o.transact(ctx, j, agent) })
	}
	now := o.q.opts.Clock()
	idle := o.closeIdle(now.Add(-keepFar))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.metrics.waiting.Set(float64(o.queued))
	next := o.promote(now)
	if o.health.down && o.inFlight == 0 && o.settling == 0 && o.conf.AtOnce > 0 && len(o.ready) > 0 {
		next = earlier(next, o.health.probe)
	}
	return earlier(next, idle)
}

// promote gives a turn to domains whose time has come, and returns when the next one's
// will have; zero when none waits.
func (o *outlet) promote(now time.Time) time.Time {
	for o.waiting.Len() > 0 {
		d := o.waiting[0]
		if d.due.After(now) {
			return d.due
		}
		o.arrange(d)
	}
	return time.Time{}
}

// agent returns a kept connection for the job, or a new one.
func (o *outlet) agent(j *farJob) Agent {
	o.mu.Lock()
	defer o.mu.Unlock()
	route, key := o.conf.Route, doppelboden.BoxID(0)
	if !o.relayed() {
		route.Domain, key = j.domain.name, j.domain.id
	}
	j.version = o.version
	for i := len(o.agents) - 1; i >= 0; i-- {
		if a := o.agents[i]; a.box == key && a.version == o.version {
			o.agents = slices.Delete(o.agents, i, i+1)
			return a.agent
		}
	}
	if len(o.agents) > 0 && o.inFlight+len(o.agents) > o.conf.AtOnce {
		oldest := o.agents[0].agent
		o.agents = slices.Delete(o.agents, 0, 1)
		o.work.Go(oldest.Close)
	}
	return o.q.opts.NewAgent(route)
}

// closeIdle closes the connections that have been idle since before cut, or all when cut
// is zero, and returns when the next one will have been idle for too long.
func (o *outlet) closeIdle(cut time.Time) (next time.Time) {
	o.mu.Lock()
	var stale []Agent
	kept := o.agents[:0]
	for _, a := range o.agents {
		if cut.IsZero() || !a.since.After(cut) || a.version != o.version {
			stale = append(stale, a.agent)
			continue
		}
		kept = append(kept, a)
		next = earlier(next, a.since.Add(keepFar))
	}
	clear(o.agents[len(kept):])
	o.agents = kept
	o.mu.Unlock()
	for _, a := range stale { // it says QUIT, and a stranger may take a second to answer
		o.work.Go(a.Close)
	}
	return next
}

// A domainHeap is a heap of domains (container/heap) by the time of their next turn.
type domainHeap []*domain

func (h domainHeap) Len() int           { return len(h) }
func (h domainHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h domainHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap alone.
func (h *domainHeap) Push(x any) {
	d := x.(*domain)
	d.index = len(*h)
	*h = append(*h, d)
}

// Pop is for container/heap alone.
func (h *domainHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}

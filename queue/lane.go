package queue

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A lane is the queue to one next place. One goroutine (run) starts transactions as
// the throttle allows; each transaction has a goroutine of its own that goes on with
// the next job as long as there is one.
type lane struct {
	q      *Queue
	conf   LaneConfig
	side                 // to the next server
	filing side          // straight into mailboxes; of use only with LaneConfig.FileAfter
	kick   chan struct{} // wakes run; holds at most one wake-up
	work   sync.WaitGroup

	metrics laneMetrics

	life context.Context    // of the queue: after its end settlements have 10 s more
	hand context.Context    // of transactions
	cut  context.CancelFunc // gives up transactions in flight
	end  context.CancelFunc // no more transactions begin

	mu       sync.Mutex
	boxes    map[doppelboden.BoxID]*box
	waiting  boxHeap
	heads    map[doppelboden.ID]map[*box]bool // ready boxes by first message, for mails to several
	buffered int                              // items in all boxes
	queued   int64                            // deliveries that wait, in memory or in the store
	loaded   int64                            // the greatest Seq that a load returned
	moves    int                              // calls of refresh, which make loads under way void
	agents   []idleAgent
	flow     flow
	turn     bool // whether it is filing that is next, where both sides could go on
}

// health is what a lane knows of its next server.
type health struct {
	down     bool
	since    time.Time // of down, or of the last change
	probe    time.Time // while down: not before this
	failures int       // probes in a row that failed
	bad      int       // transactions in a row that broke off
	took     time.Time // when a mail was last taken
	reply    string    // what was said or seen last when something failed
}

// An idleAgent is a kept connection without a transaction.
type idleAgent struct {
	agent Agent
	since time.Time
}

// keepIdle is how long a connection without a transaction is kept. RFC 5321, section
// 4.5.3.2.7 lets a server end it after five minutes; we go long before that.
const keepIdle = 30 * time.Second

func newLane(q *Queue, c LaneConfig) *lane {
	c.Connections, c.FileAtOnce = max(1, c.Connections), max(1, c.FileAtOnce)
	l := &lane{
		q: q, conf: c,
		kick:    make(chan struct{}, 1),
		boxes:   map[doppelboden.BoxID]*box{},
		side:    newSide(c.Connections, q.opts.Clock()),
		filing:  newSide(c.FileAtOnce, q.opts.Clock()),
		heads:   map[doppelboden.ID]map[*box]bool{},
		metrics: q.metrics.lane(c.Route.Name),
	}
	l.waiting.less = func(a, b *box) bool { return a.due().Before(b.due()) }
	l.tellUp()
	return l
}

// restore makes the box of a mailbox known that had mail waiting at the start.
func (l *lane) restore(s store.Box, priority int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &box{id: s.Box, priority: priority, queued: s.Queued, more: true, oldest: s.Oldest, since: s.Since, wait: s.Next}
	l.boxes[s.Box] = b
	l.queued += s.Queued
	l.arrange(b)
}

// A placed is a new delivery with the priority of its mailbox.
type placed struct {
	item     store.Item
	priority int
}

// add takes the new deliveries of one message, all at once, so that they can go in one
// transaction.
func (l *lane) add(all []placed) {
	l.mu.Lock()
	for _, p := range all {
		l.addOne(p.item, p.priority)
	}
	l.mu.Unlock()
	l.wake()
}

// addOne keeps a delivery in memory when there is room and no doubt that it is not
// there already; else the store is asked for it later.
func (l *lane) addOne(it store.Item, priority int) {
	d := it.Delivery
	b := l.boxes[d.Box]
	if b == nil {
		b = &box{id: d.Box, oldest: d.Seq, since: it.Message.Received}
		l.boxes[d.Box] = b
	}
	l.lift(b)
	b.priority = priority
	if d.Seq != 0 {
		l.queued++ // what is in doubt is not counted
		b.queued++
		l.flow.came(l.q.opts.Clock(), priority)
	}
	if it.Message.Received.After(b.newest) {
		b.newest = it.Message.Received
	}
	if d.Seq == 0 || b.more || b.loading || d.Seq <= l.loaded || l.buffered >= l.q.opts.Window {
		b.more = true
	} else {
		b.insert(it)
		l.buffered++
	}
	l.arrange(b)
}

// lift takes b out of the list it stands in; a busy box stays busy.
func (l *lane) lift(b *box) {
	switch b.place {
	case ready:
		b.side.ready.remove(b)
		l.unhead(b)
	case waiting:
		heap.Remove(&l.waiting, b.index)
	default:
		return
	}
	b.place = nowhere
}

// arrange puts b where it belongs now, or forgets it when nothing is left to do.
func (l *lane) arrange(b *box) {
	if b.place == busy {
		return
	}
	if b.leaving {
		l.remove(b)
		l.q.moved.Go(func() { l.q.rehome(b) })
		return
	}
	l.lift(b)
	if b.empty() {
		l.remove(b)
		return
	}
	if len(b.items) > 0 {
		b.oldest, b.since = b.items[0].Delivery.Seq, b.items[0].Message.Received
	}
	now := l.q.opts.Clock()
	if b.due().After(now) {
		b.place = waiting
		heap.Push(&l.waiting, b)
		return
	}
	if b.resume(now) { // it goes before what is in memory
		l.buffered -= len(b.items)
		b.items = nil
	}
	b.place, b.side = ready, l.sideOf(b, now)
	b.side.ready.push(b, l.isFresh(b, now))
	l.head(b)
}

// refresh forgets all items, so that the store is asked for them again.
func (l *lane) refresh() {
	l.mu.Lock()
	l.moves++
	for _, b := range l.boxes {
		if len(b.items) == 0 {
			continue
		}
		l.lift(b)
		l.buffered -= len(b.items)
		b.items, b.more, b.after = nil, true, 0
		l.arrange(b)
	}
	l.mu.Unlock()
	l.wake()
}

// head notes the first message of a ready box when it goes to several mailboxes.
func (l *lane) head(b *box) {
	if len(b.items) == 0 || b.side == &l.filing || b.items[0].Message.Recipients < 2 {
		return
	}
	id := b.items[0].Delivery.Message
	if l.heads[id] == nil {
		l.heads[id] = map[*box]bool{}
	}
	l.heads[id][b] = true
}

// unhead takes back what head noted.
func (l *lane) unhead(b *box) {
	if len(b.items) == 0 {
		return
	}
	id := b.items[0].Delivery.Message
	delete(l.heads[id], b)
	if len(l.heads[id]) == 0 {
		delete(l.heads, id)
	}
}

// promote moves boxes whose waiting time is over to the ready list, and returns when
// the next one's will be; zero when none waits.
func (l *lane) promote(now time.Time) time.Time {
	for l.waiting.Len() > 0 {
		b := l.waiting.boxes[0]
		if due := b.due(); due.After(now) {
			return due
		}
		l.arrange(b)
	}
	return time.Time{}
}

// wake makes run look again.
func (l *lane) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// start runs the lane until end is called, and its transactions until hand ends or cut is
// called; wait returns when nothing of it is left. What came of them is written while life
// lasts.
func (l *lane) start(life, hand context.Context) {
	l.life = life
	l.hand, l.cut = context.WithCancel(hand)
	var run context.Context
	run, l.end = context.WithCancel(l.hand)
	l.work.Go(func() { l.run(run) })
}

func (l *lane) wait() { l.work.Wait() }

// run starts transactions until ctx ends.
func (l *lane) run(ctx context.Context) {
	fired, stop := l.q.opts.Timer(0)
	for {
		select {
		case <-ctx.Done():
			stop()
			l.closeIdle(time.Time{})
			return
		case <-l.kick:
		case <-fired:
		}
		next := l.startJobs(ctx)
		stop()
		fired = nil
		if !next.IsZero() {
			fired, stop = l.q.opts.Timer(max(0, next.Sub(l.q.opts.Clock())))
		}
	}
}

// startJobs starts what may be started and returns when to look again; zero for not
// before something happens.
func (l *lane) startJobs(ctx context.Context) time.Time {
	for {
		j := l.pick(ctx)
		if j == nil {
			break
		}
		l.work.Go(func() { l.transact(ctx, j) })
	}
	now := l.q.opts.Clock()
	idle := l.closeIdle(now.Add(-keepIdle))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics.waiting.Set(float64(l.queued))
	next := l.promote(now)
	for _, s := range l.sides() {
		next = earlier(next, s.probe())
	}
	return earlier(next, idle)
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// agent returns the connection that was used last, or a new one.
func (l *lane) agent() Agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.agents); n > 0 {
		a := l.agents[n-1].agent
		l.agents = l.agents[:n-1]
		return a
	}
	return l.q.opts.NewAgent(l.conf.Route)
}

// closeIdle closes the connections that have been idle since before cut, or all when
// cut is zero, and returns when the next one will have been idle for too long.
func (l *lane) closeIdle(cut time.Time) time.Time {
	l.mu.Lock()
	var stale []Agent
	kept := l.agents[:0]
	var next time.Time
	for _, a := range l.agents {
		if cut.IsZero() || !a.since.After(cut) {
			stale = append(stale, a.agent)
			continue
		}
		kept = append(kept, a)
		next = earlier(next, a.since.Add(keepIdle))
	}
	clear(l.agents[len(kept):])
	l.agents = kept
	l.mu.Unlock()
	for _, a := range stale {
		a.Close() // says QUIT, so not under the lock
	}
	return next
}

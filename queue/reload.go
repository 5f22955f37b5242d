package queue

import (
	"context"
	"reflect"
	"time"

	"doppelboden"
)

// reloadPatience is how long a lane that is no longer wanted lets its transactions in
// flight go on: what is cut off while the next server thinks about the final dot arrives
// twice, but its mailboxes wait meanwhile.
const reloadPatience = 30 * time.Second

// A passage is the time in which a box belongs to no lane.
type passage struct {
	lane  *lane // in which it is still busy, or nil
	cross bool  // second deliveries of its mail may go where it goes: see uncross
	turn  int   // grows when cross is set again
}

// Reload lets swap change what the router answers, and has the lanes follow. swap names
// the boxes of mailboxes that now go by a route by which second deliveries of theirs may
// go as well; nobody places mail meanwhile, so it must not do more than swap.
//
// Lanes that are as before are left alone, and so are their boxes. A box that goes by
// another lane leaves its old one when what it has in flight has ended there; what waits
// in it is then handed over by the new one. A lane that is gone or is to be reached
// otherwise ends its transactions, or is cut off after reloadPatience.
func (q *Queue) Reload(swap func() (crossed []doppelboden.BoxID)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	crossed := swap()
	if q.ctx == nil || q.ctx.Err() != nil || q.missed != nil || q.lost {
		return // there are no lanes; start asks the router itself
	}
	q.follow(crossed)
}

// follow makes lanes and boxes as the router has them now. The caller holds q.mu.
func (q *Queue) follow(crossed []doppelboden.BoxID) {
	old := q.lanes
	fresh := q.renewLanes(old)
	cross := make(map[doppelboden.BoxID]bool, len(crossed))
	for _, id := range crossed {
		cross[id] = true
	}
	var leaving []*box
	for _, l := range old {
		leaving = append(leaving, l.part(q.between, func(id doppelboden.BoxID) (int, bool) {
			name, priority, ok := q.opts.Router.Place(id)
			return priority, ok && q.lanes[name] == l && !cross[id]
		})...)
	}
	for _, b := range leaving {
		if cross[b.id] {
			q.between[b.id] = &passage{}
			q.moved.Go(func() { q.rehome(b) })
		} else {
			q.settleIn(b)
		}
	}
	for id := range cross {
		p := q.between[id]
		if p == nil { // nothing waits for it in memory, but something may be held
			p = &passage{}
			q.between[id] = p
			q.moved.Go(func() { q.rehome(&box{id: id}) })
		}
		p.cross, p.turn = true, p.turn+1
	}
	outlets := q.renewOutlets()
	q.houseHomeless()
	for _, o := range outlets {
		o.start(q.ctx, q.hand)
	}
	for name, l := range old {
		if q.lanes[name] != l {
			q.retire(l)
		}
	}
	for _, l := range fresh {
		l.start(q.ctx, q.hand)
	}
}

// renewLanes makes q.lanes what the router wants, keeps those that are as before, and
// returns the new ones.
func (q *Queue) renewLanes(old map[string]*lane) (fresh []*lane) {
	q.lanes = make(map[string]*lane, len(old))
	for _, c := range q.opts.Router.Lanes() {
		c.Connections, c.FileAtOnce = max(1, c.Connections), max(1, c.FileAtOnce)
		l := old[c.Route.Name]
		if l == nil || !reflect.DeepEqual(l.conf, c) {
			l = newLane(q, c)
			fresh = append(fresh, l)
		}
		q.lanes[c.Route.Name] = l
	}
	return fresh
}

// retire ends a lane that holds no boxes any more but busy ones.
func (q *Queue) retire(l *lane) {
	l.end()
	l.metrics.waiting.Set(0)
	q.moved.Go(func() {
		patience := time.AfterFunc(reloadPatience, l.cut)
		defer patience.Stop()
		l.wait()
		l.cut()
	})
}

// part takes out the boxes that do not stay and returns them. Those that are busy leave
// at the end of what they do; they are noted in between.
func (l *lane) part(between map[doppelboden.BoxID]*passage, stays func(doppelboden.BoxID) (priority int, ok bool)) (gone []*box) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, b := range l.boxes {
		priority, ok := stays(id)
		switch {
		case ok && b.leaving && !between[id].cross:
			// It was about to go, and may stay after all. What came for it meanwhile is only
			// in the store.
			b.leaving = false
			b.reread()
			delete(between, id)
		case ok && b.priority != priority && !b.leaving:
			l.lift(b)
			b.priority = priority
			l.arrange(b)
		case ok:
		case b.place == busy:
			b.leaving = true // at the end of what it does: see arrange
			if between[id] == nil {
				between[id] = &passage{lane: l}
			}
		default:
			l.remove(b)
			gone = append(gone, b)
		}
	}
	return gone
}

// remove takes a box that is not busy out of the lane.
func (l *lane) remove(b *box) {
	l.lift(b)
	delete(l.boxes, b.id)
	l.buffered -= len(b.items)
	l.queued = max(0, l.queued-b.queued)
}

// adopt takes a box that was in another lane, or in none. What waits in it is read again.
func (l *lane) adopt(was *box, priority int) {
	l.mu.Lock()
	b := l.boxes[was.id]
	if b == nil {
		b = &box{id: was.id, oldest: was.oldest, since: was.since}
		l.boxes[was.id] = b
	}
	l.lift(b)
	b.priority = priority
	b.reread()
	b.queued += was.queued
	l.queued += was.queued
	l.arrange(b)
	l.mu.Unlock()
	l.wake()
}

// rehome ends the passage of a box that no lane holds.
func (q *Queue) rehome(b *box) {
	for {
		q.mu.Lock()
		p, ctx := q.between[b.id], q.ctx
		p.lane = nil
		turn, cross := p.turn, p.cross
		q.mu.Unlock()
		if cross {
			q.persist(ctx, "second deliveries cannot be told from the first", func() error { return q.uncross(ctx, b.id) })
		}
		q.mu.Lock()
		if p.turn == turn {
			delete(q.between, b.id)
			q.settleIn(b)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock() // its route changed once more
	}
}

// settleIn puts a box that no lane holds where the router wants it. The caller holds q.mu.
func (q *Queue) settleIn(b *box) {
	if o, domain := q.outletOf(b.id); o != nil {
		o.look(b.id, domain, b.since)
		return
	}
	name, priority, ok := q.opts.Router.Place(b.id)
	switch l := q.lanes[name]; {
	case ok && l != nil:
		l.adopt(b, priority)
	case q.opts.Router.Here(b.id):
		if q.ctx.Err() == nil {
			q.moved.Go(func() { q.arrive(q.ctx, []doppelboden.BoxID{b.id}) })
		}
	default:
		q.homeless.put(b.id)
	}
}

// houseHomeless looks whether boxes without a lane have one now. The caller holds q.mu.
func (q *Queue) houseHomeless() {
	for _, id := range q.homeless.take() {
		if q.between[id] == nil {
			q.settleIn(&box{id: id})
		}
	}
}

// persist does something again and again until it works, ctx ends, or another node has
// taken over.
func (q *Queue) persist(ctx context.Context, failure string, do func() error) {
	for attempt := 1; ctx.Err() == nil; attempt++ {
		err := do()
		if err == nil || doppelboden.CodeOf(err) == doppelboden.Fenced {
			return
		}
		q.opts.Log.Error(failure, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(backoff(100*time.Millisecond, 5*time.Second, attempt)):
		}
	}
}

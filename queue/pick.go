package queue

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"
)

const (
	// loadBoxes is how many mailboxes one question to the store asks about.
	loadBoxes = 32
	// mostRecipients in one transaction: every server must take 100 (RFC 5321, section
	// 4.5.3.1.8).
	mostRecipients = 100
)

// A job is one transaction: a message, and the boxes whose turn it is; or a run: the
// first messages of one box, to be put into the mailbox one after the other.
type job struct {
	boxes []*box // boxes[i] has items[i] at its head; of a run, the one box
	items []store.Item
	run   bool
}

// box returns whose the i-th item is.
func (j *job) box(i int) *box {
	if j.run {
		return j.boxes[0]
	}
	return j.boxes[i]
}

// pick takes the next job, or returns nil when none may start now. The boxes of a job
// are busy until finish. It asks the store when the next boxes are not in memory.
func (l *lane) pick(ctx context.Context) *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil {
		now := l.q.opts.Clock()
		l.promote(now)
		s := l.next(now)
		if s == nil {
			return nil
		}
		b := l.take(s)
		switch {
		case l.sideOf(b, now) != s: // it has become old meanwhile
			b.place = nowhere
			l.arrange(b)
		case len(b.items) == 0:
			l.load(ctx, s, b)
		case s == &l.filing:
			return l.runOf(b, now)
		default:
			return l.jobOf(b)
		}
	}
	return nil
}

// take makes the box of a side whose turn it is busy; nil when there is none.
func (l *lane) take(s *side) *box {
	b := s.ready.pop()
	if b != nil {
		l.unhead(b)
		b.place = busy
	}
	return b
}

// jobOf makes a job of b's first mail, together with other boxes whose turn the same
// mail is: one transaction for all of them.
func (l *lane) jobOf(b *box) *job {
	j := &job{boxes: []*box{b}, items: []store.Item{b.items[0]}}
	for other := range l.heads[b.items[0].Delivery.Message] {
		if len(j.boxes) == mostRecipients {
			break
		}
		j.boxes = append(j.boxes, other)
		j.items = append(j.items, other.items[0])
	}
	for _, other := range j.boxes[1:] {
		l.lift(other)
		other.place = busy
	}
	for i, box := range j.boxes {
		box.flying, box.gated = append(box.flying[:0], refOf(j.items[i])), false
	}
	l.begun(j)
	return j
}

// courierJob is the job as the courier sees it.
func (j *job) courierJob() courier.Job {
	c := courier.Job{Message: j.items[0].Message, Deliveries: make([]doppelboden.Delivery, len(j.items))}
	for i, it := range j.items {
		c.Deliveries[i] = it.Delivery
	}
	return c
}

// load asks the store for the first deliveries of first and of other ready boxes of a
// side that have none in memory. It gives up l.mu meanwhile. first is busy; it and the
// others are arranged anew afterwards.
func (l *lane) load(ctx context.Context, s *side, first *box) {
	most := loadBoxes
	if s == &l.filing {
		most = loadFiled
	}
	boxes := []*box{first}
	for len(boxes) < most {
		b := l.take(s)
		if b == nil {
			break
		}
		if len(b.items) > 0 {
			b.place = nowhere
			l.arrange(b)
			break
		}
		boxes = append(boxes, b)
	}
	ids, after := make([]doppelboden.BoxID, len(boxes)), make([]int64, len(boxes))
	for i, b := range boxes {
		ids[i], after[i] = b.id, b.after
		b.loading, b.more = true, false
	}
	// With a full window one each, so that memory stays where it is: what is loaded
	// stands at the front and leaves at once.
	limit := max(1, (l.q.opts.Window-l.buffered)/len(boxes)/2)
	moves := l.moves

	l.mu.Unlock()
	items, err := l.q.opts.Store.Heads(ctx, ids, after, limit)
	touched := l.touchedOf(ctx, items)
	l.mu.Lock()

	if err != nil && ctx.Err() == nil {
		l.q.opts.Log.Warn("what waits cannot be read", "lane", l.conf.Route.Name, "err", err)
	}
	if moves != l.moves {
		items = nil // they may say where bodies were before they moved
		for _, b := range boxes {
			b.more = true
		}
	}
	got := map[doppelboden.BoxID]int{}
	for _, it := range items {
		got[it.Delivery.Box]++
		l.loaded = max(l.loaded, it.Delivery.Seq)
		l.keep(it, touched[refOf(it)])
	}
	for _, b := range boxes {
		b.loading, b.overruled = false, nil
		l.loadedBox(b, got[b.id], limit, err != nil)
		if b.anew { // what was loaded may be older than what somebody decided
			b.more, b.after, b.anew = true, 0, false
		}
		b.place = nowhere
		l.arrange(b)
	}
}

// keep puts a loaded item into its box unless it is being stepped over.
func (l *lane) keep(it store.Item, touched bool) {
	b := l.boxes[it.Delivery.Box]
	if b == nil || !b.loading {
		return
	}
	b.after = it.Delivery.Seq
	if _, over := b.stepped[refOf(it)]; over || b.overruled[refOf(it)] {
		return
	}
	b.insert(it)
	if touched {
		if b.touched == nil {
			b.touched = map[doppelboden.Ref]bool{}
		}
		b.touched[refOf(it)] = true
	}
	l.buffered++
}

// loadedBox notes what a load says about what is left in the store.
func (l *lane) loadedBox(b *box, got, limit int, failed bool) {
	if failed {
		b.more, b.wait = true, l.q.opts.Clock().Add(time.Second)
		return
	}
	if got == limit {
		b.more = true
	}
	// Only a load that found nothing but stepped-over mail goes on behind it.
	if len(b.items) > 0 || got < limit {
		b.after = 0
	}
}

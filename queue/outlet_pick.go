package queue

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"
)

const (
	// mostOnOne is how many mails go over one connection while other domains wait.
	mostOnOne = 20
	// mostLoaded is how much of one domain is loaded at once, so that a large backlog of
	// one does not take the memory of all others.
	mostLoaded = 200
)

// A farJob is one transaction: a message and those of its deliveries that go to one domain.
type farJob struct {
	domain  *domain
	items   []store.Item // of one message
	version int          // see outlet.version
}

// pick takes the job whose turn it is, or returns nil when none may start now. It asks the
// store when the next items are not in memory.
func (o *outlet) pick(ctx context.Context) *farJob {
	o.mu.Lock()
	defer o.mu.Unlock()
	for ctx.Err() == nil {
		now := o.q.opts.Clock()
		o.promote(now)
		if !o.mayStart(now) || len(o.ready) == 0 {
			return nil
		}
		d := o.ready[0]
		if len(d.items) > 0 {
			return o.jobOf(d)
		}
		o.load(ctx)
	}
	return nil
}

// pickSame takes one more job for a domain whose connection is open, unless others have
// waited for long enough.
func (o *outlet) pickSame(ctx context.Context, d *domain, done int, version int) *farJob {
	o.mu.Lock()
	defer o.mu.Unlock()
	others := len(o.ready) > 1 || len(o.ready) == 1 && d.place != ready
	if ctx.Err() != nil || d.place != ready || len(d.items) == 0 || done >= mostOnOne && others ||
		version != o.version || !o.mayStart(o.q.opts.Clock()) {
		return nil
	}
	j := o.jobOf(d)
	j.version = version
	return j
}

// mayStart reports whether one more transaction may begin.
func (o *outlet) mayStart(now time.Time) bool {
	if o.relayed() && o.health.down {
		return o.conf.AtOnce > 0 && o.inFlight == 0 && o.settling == 0 && !now.Before(o.health.probe)
	}
	// What was answered but is not yet written would be handed over twice after a crash,
	// so there is a bound to it.
	return o.inFlight < o.conf.AtOnce && o.settling < 4*o.conf.AtOnce
}

// jobOf makes a job of d's first mail, and gives the next turn to others.
func (o *outlet) jobOf(d *domain) *farJob {
	o.lift(d)
	j := &farJob{domain: d}
	rest := d.items[:0]
	for _, it := range d.items {
		if it.Delivery.Message == d.items[0].Delivery.Message && len(j.items) < mostRecipients {
			j.items = append(j.items, it)
			d.flying[refOf(it)] = true
		} else {
			rest = append(rest, it)
		}
	}
	clear(d.items[len(rest):])
	d.items = rest
	o.buffered -= len(j.items)
	d.inFlight++
	o.inFlight++
	o.metrics.inFlight.Set(float64(o.inFlight))
	o.arrange(d)
	return j
}

// courierJob is the job as the courier sees it.
func (j *farJob) courierJob() courier.Job {
	c := courier.Job{Message: j.items[0].Message, Deliveries: make([]doppelboden.Delivery, len(j.items))}
	for i, it := range j.items {
		c.Deliveries[i] = it.Delivery
	}
	return c
}

// load asks the store what is due for the domains at the front that have nothing in
// memory. It gives up o.mu meanwhile.
func (o *outlet) load(ctx context.Context) {
	var domains []*domain
	flying := 0
	for len(domains) < loadBoxes && len(o.ready) > 0 && len(o.ready[0].items) == 0 {
		d := o.ready[0]
		o.lift(d)
		d.loading, d.more, d.gone = true, false, nil
		domains = append(domains, d)
		flying = max(flying, len(d.flying))
	}
	ids := make([]doppelboden.BoxID, len(domains))
	for i, d := range domains {
		ids[i] = d.id
	}
	now := o.q.opts.Clock()
	room := (o.q.opts.Window - o.buffered) / len(domains) / 2
	// What is in flight is still queued in the store, and so comes in the way.
	limit := min(max(1, room), mostLoaded) + flying
	moves := o.moves

	o.mu.Unlock()
	items, err := o.q.opts.Store.Due(ctx, ids, now, limit)
	o.mu.Lock()

	if err != nil && ctx.Err() == nil {
		o.q.opts.Log.Warn("what waits cannot be read", "lane", o.name, "err", err)
	}
	got := make(map[doppelboden.BoxID][]store.Item, len(domains))
	for _, it := range items {
		got[it.Delivery.Box] = append(got[it.Delivery.Box], it)
	}
	for _, d := range domains {
		switch {
		case err != nil:
			d.expect(now.Add(time.Second))
		case moves != o.moves: // the items may say where bodies were before they moved
			d.expect(time.Time{})
		default:
			o.loaded(d, got[d.id], now, limit)
		}
		d.loading, d.gone = false, nil
		o.arrange(d)
	}
}

// loaded takes what the store says about a domain.
func (o *outlet) loaded(d *domain, items []store.Item, now time.Time, limit int) {
	for _, it := range items {
		if it.Delivery.Next.After(now) {
			d.expect(it.Delivery.Next)
			return
		}
		o.keep(d, it)
	}
	if len(items) == limit {
		d.expect(time.Time{})
	}
}

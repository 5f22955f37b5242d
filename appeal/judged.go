package appeal

import (
	"time"

	"doppelboden"
	"doppelboden/queue"
	"doppelboden/store"
)

// refOf names an item's delivery.
func refOf(it store.Item) doppelboden.Ref {
	return doppelboden.Ref{Message: it.Delivery.Message, N: it.Delivery.N}
}

// Judged implements queue.Appeals.
func (a *Appeals) Judged(name string, list []queue.Judged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opts.Clock()
	for i := range list {
		one := &list[i]
		t := a.trials[refOf(one.Item)]
		delete(a.trials, refOf(one.Item))
		a.concluded(t, one.Took)
		if one.Took {
			a.took(name, one, t, now)
		} else if one.Written {
			a.refused(name, one, t, now)
		}
	}
}

// concluded counts the outcome of a trial.
func (a *Appeals) concluded(t *trial, took bool) {
	if t == nil {
		return
	}
	g := a.groups[t.group]
	switch {
	case g == nil:
		return
	case t.late || t.at.Before(g.asked): // of a round that is over
		if took && g.wave == 0 && g.out <= 0 {
			g.failed, g.next = 0, a.opts.Clock()
		}
		return
	}
	g.out--
	g.took = g.took || took
	if g.out <= g.sent/2 {
		a.wake()
	}
}

// took notes a success: it is why others are tried.
func (a *Appeals) took(name string, one *queue.Judged, t *trial, now time.Time) {
	if t != nil {
		a.metrics.trials.WithLabelValues("taken").Inc()
	}
	id := one.Item.Delivery.Box
	if b := a.boxes[id]; b != nil {
		b.looking, b.guilty = time.Time{}, false
		b.tookAt(one.At)
		a.well[id] = true
		if t != nil {
			b.failed, b.next = 0, time.Time{}
			if g := b.groups[t.group]; g != nil && g.hold.Reason == doppelboden.HeldMail {
				g.members[id] = 0 // there may be more of it
			}
		}
		if !b.next.After(now) {
			a.wake()
		}
	}
	if len(a.boxes) > 0 && !a.news {
		a.news = true
		a.wake()
	}
	if a.lane(name).success(id, one.At, now, !one.Filed) {
		a.again(name, now)
	}
}

// again has every group of a route that is well again tried at once.
func (a *Appeals) again(name string, now time.Time) {
	for _, g := range a.groups {
		if g.hold.Route == name && g.wave == 0 && g.out <= 0 {
			g.failed, g.next = -1, now // if that was too soon, the next time is soon too
		}
	}
	a.wake()
}

// refused notes a refusal that is written. It is the last look at a box when everything
// since the refusal before says that nobody is there.
func (a *Appeals) refused(lane string, one *queue.Judged, t *trial, now time.Time) {
	d := &one.Item.Delivery
	a.lane(lane).refusal(d.Box)
	id := one.Hold.Group(d.Tenant, one.Reply, d.Recipient)
	if a.groups[id] == nil {
		a.wake()
	}
	g := a.group(id, d.Tenant, one.Hold, now.Add(a.opts.Pace.after(0)))
	b := a.box(d.Box, d.Tenant)
	a.join(g, b)
	before, again := b.refused, b.seen && !b.recipient.IsNull()
	b.refusedAt(one.At)
	delete(a.well, b.id)
	b.mailbox, b.looking, b.seen = d.Mailbox, time.Time{}, true
	if t != nil {
		a.metrics.trials.WithLabelValues("refused").Inc()
		g.members[b.id] = g.round // it had its turn
		if t.group == "" {
			b.failed++
			b.next = now.Add(a.opts.Pace.after(b.failed))
		}
	}
	if one.Hold.Reason != doppelboden.HeldAddress {
		b.recipient, b.guilty = doppelboden.Address{}, false
		return
	}
	b.recipient = d.Recipient
	if again && a.nobodyThere(b, lane, before, one.At) {
		b.guilty = true
		a.wake()
	}
}

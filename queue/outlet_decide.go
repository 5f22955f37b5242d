package queue

import (
	"time"

	"doppelboden"
)

// overrule forgets a delivery that leaves the queue. The failure of one that is in flight
// is not written any more.
func (o *outlet) overrule(s doppelboden.Settlement) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.domains[s.Box]
	if d == nil {
		return
	}
	if d.flying[s.Ref] {
		if d.overruled == nil {
			d.overruled = map[doppelboden.Ref]bool{}
		}
		d.overruled[s.Ref] = true
		return
	}
	o.drop(d, s.Ref)
	o.arrange(d)
}

// decided has the domain of a written decision tried again, at once.
func (o *outlet) decided(s doppelboden.Settlement, domain string) {
	if s.State != doppelboden.Queued {
		return
	}
	o.mu.Lock()
	o.health.probe = time.Time{}
	if d := o.domains[s.Box]; d != nil {
		d.own.probe = time.Time{}
	}
	o.mu.Unlock()
	o.look(s.Box, domain, s.At)
}

// look has the store asked for what is queued for a domain.
func (o *outlet) look(id doppelboden.BoxID, domain string, since time.Time) {
	o.mu.Lock()
	d := o.domain(id, domain, since)
	d.expect(time.Time{})
	o.arrange(d)
	o.mu.Unlock()
	o.wake()
}

// outletOf returns the outlet of a box and its domain, or nil for a box that is none or
// has none. The caller holds q.mu.
func (q *Queue) outletOf(id doppelboden.BoxID) (*outlet, string) {
	if q.opts.Internet == nil || id >= 0 {
		return nil, ""
	}
	name, domain, ok := q.opts.Internet.Outlet(id)
	if !ok {
		return nil, ""
	}
	return q.outlets[name], domain
}

// eachOutlet does something for each settlement of a decision about mail to the Internet.
func (q *Queue) eachOutlet(batch []doppelboden.Settlement, do func(o *outlet, s doppelboden.Settlement, domain string)) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, s := range batch {
		if o, domain := q.outletOf(s.Box); o != nil {
			do(o, s, domain)
		}
	}
}

// renewOutlets makes the outlets what they are configured to be. One that is no longer
// configured begins nothing any more; its mail waits. It returns the new ones, which must
// be started. The caller holds q.mu.
func (q *Queue) renewOutlets() (fresh []*outlet) {
	if q.opts.Internet == nil {
		return nil
	}
	wanted := map[string]bool{}
	for _, c := range q.opts.Internet.Outlets() {
		wanted[c.Route.Name] = true
		o := q.outlets[c.Route.Name]
		if o == nil {
			o = newOutlet(q, c.Route.Name)
			q.outlets[o.name] = o
			fresh = append(fresh, o)
		}
		o.configure(c)
	}
	for name, o := range q.outlets {
		if !wanted[name] {
			o.close()
		}
	}
	return fresh
}

// close lets no transaction begin any more, until configure is called again.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conf.AtOnce = 0
}

// admitted ends the wait of a delivery for the gate, which the store knows of.
func (o *outlet) admitted(ref doppelboden.Ref, id doppelboden.BoxID, domain string) {
	o.work.Go(func() {
		now := o.q.opts.Clock()
		if o.write([]doppelboden.Settlement{{Ref: ref, Box: id, State: doppelboden.Queued, By: "scanner", At: now}}) {
			o.look(id, domain, now)
		}
	})
}

// recount takes over how much waits, by box.
func (o *outlet) recount(waiting map[doppelboden.BoxID]int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued = 0
	for id, d := range o.domains {
		d.queued = waiting[id]
		o.queued += d.queued
	}
}

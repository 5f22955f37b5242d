package app

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/intake"
	"doppelboden/queue"
)

// A notices is the queue's way to the one who makes notices. The queue is made before it,
// because the notices go into the queue.
type notices struct{ n *Node }

// Return implements queue.Returner.
func (t notices) Return(ctx context.Context, ends []doppelboden.Ending) ([]doppelboden.Settlement, error) {
	return t.n.returner.Return(ctx, ends)
}

// openReturner makes the one who tells senders what became of their mail. It must be there
// before the queue starts.
func (n *Node) openReturner() error {
	var err error
	n.returner, err = intake.NewReturner(intake.ReturnerOptions{
		Hostname: n.opts.Node.Hostname, Directory: n.house.snapshot, Bodies: segments{n.bodies}, Store: n.store,
		Notify: n.made, Log: n.log, Registry: n.registry, Clock: n.clock,
		Ours: n.house.ours, Postmaster: n.house.postmaster, Internet: n.internet.box, Until: n.house.until,
	})
	return err
}

// openDelays makes the one who has own senders told that their mail waits.
func (n *Node) openDelays() (err error) {
	n.delays, err = queue.NewDelays(queue.DelayOptions{
		Store: n.store, After: n.house.delay, Tell: n.returner.Delayed, Log: n.log, Clock: n.clock, Timer: n.opts.Timer,
	})
	return err
}

// ours reports whether a domain is one of the city's.
func (h *house) ours(domain string) bool {
	_, ok := h.Directory().TenantOf(domain)
	return ok
}

// postmaster returns who answers for a tenant's mail.
func (h *house) postmaster(t doppelboden.TenantID) intake.Postmaster {
	d := h.Directory()
	conf, ok := d.City().Tenant(d.TenantName(t))
	if !ok {
		return intake.Postmaster{}
	}
	p := intake.Postmaster{Address: conf.Postmaster}
	if to, err := d.Lookup(conf.Postmaster); err == nil && to.Tenant == t {
		p.Mailbox = to.Mailbox
	}
	return p
}

// internetOf returns a tenant's way to the Internet, or nil.
func (h *house) internetOf(t doppelboden.TenantID) *city.Internet {
	d := h.Directory()
	if conf, ok := d.City().Tenant(d.TenantName(t)); ok {
		return conf.Internet
	}
	return nil
}

// until returns when trying ends for a message to the Internet; zero when that is not
// known.
func (h *house) until(m *doppelboden.Message) time.Time {
	if conf := h.internetOf(m.Tenant); conf != nil {
		return m.Received.Add(conf.Limit(m.Class))
	}
	return time.Time{}
}

// delay returns how long a tenant's mail to the Internet waits before its sender hears of
// it; 0 for never.
func (h *house) delay(t doppelboden.TenantID) time.Duration {
	if conf := h.internetOf(t); conf != nil {
		return conf.Delay
	}
	return 0
}

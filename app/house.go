package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/courier"
	"doppelboden/intake"
	"doppelboden/queue"
	"doppelboden/scan"
	"doppelboden/tally"

	"golang.org/x/sys/unix"
)

// A house is the running node as far as the city touches it: who exists and where
// mail goes. It fulfils control.House, intake's directory and queue.Router.
type house struct {
	node      *Node
	directory atomic.Pointer[city.Directory]
	queue     *queue.Queue
	people    people
}

// Directory implements control.House.
func (h *house) Directory() *city.Directory { return h.directory.Load() }

// Prepare implements control.House: tenants need a key before their first mail.
func (h *house) Prepare(ctx context.Context, tenants []doppelboden.Tenant) error {
	return h.node.ring.Ensure(ctx, idsOf(tenants))
}

// Install implements control.House. Lanes and boxes that are as before go on meanwhile.
// The files that a configuration names are read when somebody applies it, be it the one in
// use, and not with each mailbox and decision: a broken one must not stand in their way.
func (h *house) Install(_ context.Context, d *city.Directory) error {
	if now := h.Directory(); d == now || d.City() != now.City() {
		if err := h.follow(d); err != nil {
			return err
		}
	}
	h.use(d)
	return nil
}

// follow takes over what a configuration says, and what its files say.
func (h *house) follow(d *city.Directory) error {
	if err := h.node.scanning.follow(d); err != nil {
		return err
	}
	if err := h.node.own.follow(d); err != nil {
		return err
	}
	return h.node.groupwares.follow(d)
}

// use makes doors and lanes ask d.
func (h *house) use(d *city.Directory) {
	crossed := boxesOf(d.Crossed(h.directory.Load()))
	h.queue.Reload(func() []doppelboden.BoxID {
		h.directory.Store(d)
		return crossed
	})
}

// boxesOf returns the boxes in which mail of mailboxes waits for their own routes.
func boxesOf(mailboxes []doppelboden.MailboxID) []doppelboden.BoxID {
	boxes := make([]doppelboden.BoxID, len(mailboxes))
	for i, m := range mailboxes {
		boxes[i] = doppelboden.BoxID(m)
	}
	return boxes
}

// Version implements control.House.
func (h *house) Version() int64 { return h.node.runs.Load() }

// Pin implements control.House.
func (h *house) Pin(ctx context.Context, version int64) error {
	if err := h.node.store.Pin(ctx, h.node.lease, version); err != nil {
		return err
	}
	h.node.runs.Store(version)
	return nil
}

// Listeners implements control.House.
func (h *house) Listeners() map[string]string { return maps.Clone(h.node.listeners) }

// Space implements control.House.
func (h *house) Space() (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(h.node.opts.Node.Data, &s); err != nil {
		return 0, 0, fmt.Errorf("ask the file system: %w", err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// A snapshot is a directory as intake asks it.
type snapshot struct {
	h *house
	d *city.Directory
}

// snapshot returns the directory to ask now.
func (h *house) snapshot() intake.Directory { return snapshot{h, h.Directory()} }

// Find implements intake.Directory.
func (s snapshot) Find(e *intake.Envelope, a doppelboden.Address) (intake.Found, error) {
	if err := s.d.Takes(a); err != nil {
		return intake.Found{}, err
	}
	r, err := s.d.Resolve(a, s.h.freshnessOf(s.d), s.h.node.clock())
	if err != nil {
		return intake.Found{}, err
	}
	return s.h.found(e, r)
}

// target is a mailbox's own way as intake makes a delivery of it.
func (h *house) target(t *city.Found) intake.Target {
	target := intake.Target{Mailbox: t.Mailbox, Recipient: t.Address, Here: t.Route.Here}
	if t.Route.PassThrough {
		target.Through = t.Route.Key()
	}
	return target
}

// Place implements queue.Router.
func (h *house) Place(b doppelboden.BoxID) (lane string, priority int, ok bool) {
	d := h.directory.Load()
	r, m, ok := d.RouteOfBox(b)
	if !ok || r.Here {
		return "", 0, false
	}
	box, _ := d.Mailbox(m)
	return r.Key(), d.PriorityOf(box.ID), !d.Stopped(box.Tenant)
}

// Here implements queue.Router.
func (h *house) Here(b doppelboden.BoxID) bool {
	r, ok := h.directory.Load().RouteOf(doppelboden.MailboxID(b))
	return ok && r.Here
}

// Twins implements queue.Router.
func (h *house) Twins(b doppelboden.BoxID) []queue.Twin {
	d := h.directory.Load()
	m := doppelboden.MailboxID(b)
	var twins []queue.Twin
	for _, id := range d.Seconds(m) {
		r, _, ok := d.RouteOfBox(id)
		if !ok {
			continue
		}
		wanted := slices.ContainsFunc(d.Also(m), func(s city.Second) bool { return s.Box == id })
		twins = append(twins, queue.Twin{Box: id, Lane: r.Key(), Wanted: wanted})
	}
	return twins
}

// Crossed implements queue.Router.
func (h *house) Crossed() []doppelboden.BoxID { return boxesOf(h.directory.Load().Crossed(nil)) }

// Lanes implements queue.Router.
func (h *house) Lanes() []queue.LaneConfig {
	var lanes []queue.LaneConfig
	for _, t := range h.directory.Load().City().Tenants {
		for _, r := range t.Routes {
			if r.Here {
				continue
			}
			after, atOnce := filingOf(r)
			lanes = append(lanes, queue.LaneConfig{Route: h.route(r), Connections: r.Connections, FileAfter: after, FileAtOnce: atOnce, FileTouched: r.IMAP != nil})
		}
	}
	return lanes
}

// route is a route of the configuration as the courier knows it.
func (h *house) route(r *city.Route) courier.Route {
	c := courier.Route{Name: r.Key(), HeloName: h.node.opts.Node.Hostname, XClient: r.PassThrough}
	for i, host := range r.Hosts {
		c.Hosts = append(c.Hosts, courier.Host{LMTP: host.LMTP, Addr: host.Addr, Preference: i})
	}
	switch r.TLS {
	case city.TLSOff:
		c.TLS.Mode = courier.NoTLS
	case city.TLSRequired:
		c.TLS.Mode = courier.RequireTLS
	case city.TLSVerified:
		c.TLS = courier.RouteTLS{Mode: courier.RequireTLS, Verify: true}
	}
	return c
}

// hereMailboxes returns the mailboxes whose mail lies only here.
func (h *house) hereMailboxes() []doppelboden.MailboxID {
	var ids []doppelboden.MailboxID
	for m := range h.directory.Load().All() {
		if h.Here(doppelboden.BoxID(m.ID)) {
			ids = append(ids, m.ID)
		}
	}
	return slices.Sorted(slices.Values(ids))
}

// attempts gives couriers a tally that has every attempt in the kernel's hands before
// the final dot, so that after a kill -9 the balance knows what was in flight.
type attempts struct {
	*tally.Replies
	log *slog.Logger
}

// Attempt implements courier.Tally.
func (a attempts) Attempt(refs []doppelboden.Ref, route string, at time.Time) {
	a.Replies.Attempt(refs, route, at)
	if err := a.Flush(); err != nil {
		// What could not be written waits in memory, and Sync reports it with the commit
		// that follows.
		a.log.Error("the couriers' tally cannot be written", "err", err)
	}
}

// openQueue makes the queue. It does nothing yet.
func (n *Node) openQueue() error {
	n.keeper = queue.NewKeeper(n.store, n.clock, n.opts.Timer, n.log)
	agents := courier.Options{
		Bodies: n.bodies, Tally: attempts{n.replies, n.log}, Clock: n.clock, Log: n.log,
		AuthservID: n.opts.Node.Hostname, MayDot: n.keeper.MayDot,
		Marks: scan.IsMark,
	}
	n.agents = agents
	if err := n.groupwares.follow(n.house.Directory()); err != nil {
		// A file that is missing must not keep the node from taking mail.
		n.log.Error("the mailboxes of a groupware cannot be reached", "err", err)
	}
	n.onStop("the ways into mailboxes", func(context.Context) error { return n.groupwares.close() })
	if err := n.openHandback(); err != nil {
		return err
	}
	filer, err := n.filer()
	if err != nil {
		return err
	}
	if err := n.openEvents(); err != nil {
		return err
	}
	far := n.internet.agents(agents)
	if err := n.openAppeals(); err != nil {
		return err
	}
	n.house.queue, err = queue.New(queue.Options{
		Store: waking{n.store, n}, Lease: n.lease, Router: n.house, Clock: n.clock, Timer: n.opts.Timer, Log: n.log, Registry: n.registry,
		NewAgent: func(r courier.Route) queue.Agent {
			if r.Internet {
				return courier.NewAgent(far, r)
			}
			return courier.NewAgent(agents, r)
		},
		Filer:    filer,
		Toucher:  n.handback,
		Internet: n.internet,
		Gate:     gate{n.scanning.again},
		Returner: notices{n},
		Appeals:  n.appeals,
		Report:   n.observed,
		Fenced:   func() { n.failed <- errFenced },
	})
	if err != nil {
		return err
	}
	if err := n.openReturner(); err != nil {
		return err
	}
	if err := n.openReadback(); err != nil {
		return err
	}
	return n.openDelays()
}

// runQueue starts the heartbeat and the lanes.
func (n *Node) runQueue(ctx context.Context) error {
	n.keeper.Take(n.lease, n.joined)
	n.house.queue.Lead(n.lease)
	n.working.background(ctx, "the heartbeat", func(ctx context.Context) {
		if err := n.keeper.Run(ctx); err != nil {
			n.failed <- err
		}
	})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.working.onStop("the queue", func(context.Context) error {
		cancel()
		n.house.queue.Wait()
		return nil
	})
	return n.house.queue.Start(run)
}

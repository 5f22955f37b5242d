package app

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// openReadback makes what reads back from groupware, and what hands over again.
func (n *Node) openReadback() (err error) {
	o := mailbox.Options{
		Store: n.store, Lease: func() store.Lease { return n.lease }, Log: n.log, Registry: n.registry, Clock: n.clock, Timer: n.opts.Timer,
		Place: n.placeOf, Routes: n.readRoutes,
		Busy: func(route string) bool { return n.house.queue.Busy(route) },
		Kept: func() time.Time { return n.clock().AddDate(0, 0, -n.house.Directory().City().RetentionDays) },
		Reopen: func(ctx context.Context, batch []doppelboden.Settlement) error {
			return n.house.queue.Reopen(ctx, batch)
		},
	}
	if n.reader, err = mailbox.NewReader(o); err != nil {
		return err
	}
	n.replayer, err = mailbox.NewReplayer(o, func(ctx context.Context, routes []string) {
		for _, r := range routes {
			n.reader.Forgive(r)
		}
		if err := n.house.queue.Recount(ctx); err != nil {
			n.log.Warn("what waits cannot be counted", "err", err)
		}
	})
	return err
}

// placeOf returns where the mailbox of a box lies now.
func (n *Node) placeOf(b doppelboden.BoxID) (mailbox.Place, bool) {
	d := n.house.Directory()
	r, m, ok := d.RouteOfBox(b)
	box, known := d.Mailbox(m)
	if !ok || !known || r.Here {
		return mailbox.Place{}, false
	}
	at := mailbox.Place{Route: r.Key(), Owner: box.Address}
	if w, ok := n.groupwares.of(at.Route); ok {
		at.Backend = w.backend
	}
	return at, true
}

// readRoutes returns the routes that are read back.
func (n *Node) readRoutes() map[string]mailbox.Route {
	d := n.house.Directory()
	routes := map[string]mailbox.Route{}
	for _, t := range d.City().Tenants {
		id, ok := d.TenantNamed(t.Name)
		if !ok {
			continue
		}
		for _, r := range t.Routes {
			if r.IMAP != nil && r.IMAP.Readback != city.ReadbackOff {
				routes[r.Key()] = mailbox.Route{Tenant: id, Full: r.IMAP.Readback == city.ReadbackFull}
			}
		}
	}
	return routes
}

// A replays begins replays. It fulfils control.Replays.
type replays struct{ n *Node }

// Replay implements control.Replays.
func (r replays) Replay(ctx context.Context, want mailbox.Replay, progress func(looked int64)) (mailbox.Report, error) {
	n := r.n
	if n.replayer == nil {
		return mailbox.Report{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "this node has no queue"}
	}
	if err := n.replayer.Start(context.WithoutCancel(ctx), want); err != nil {
		return mailbox.Report{}, err
	}
	for {
		step, cancel := context.WithTimeout(ctx, tellEvery)
		n.replayer.Wait(step)
		cancel()
		all := n.replayer.Reports()
		last := all[len(all)-1]
		if !last.Ended.IsZero() || ctx.Err() != nil {
			return last, nil
		}
		progress(last.Looked)
	}
}

// Reports implements control.Replays.
func (r replays) Reports() []mailbox.Report {
	if r.n.replayer == nil {
		return nil
	}
	return r.n.replayer.Reports()
}

// Stop implements control.Replays.
func (r replays) Stop() {
	if r.n.replayer != nil {
		r.n.replayer.Stop()
	}
}

// Reading implements control.Replays.
func (r replays) Reading() []mailbox.RouteStatus {
	if r.n.reader == nil {
		return nil
	}
	return r.n.reader.Status()
}

// runReplays lets replays run until ctx ends, and ends them then.
func (n *Node) runReplays(ctx context.Context) {
	<-ctx.Done()
	n.replayer.Stop()
}

// readback tells of groupware that does not have what it took.
func (w *watcher) readback(wrong alarms) {
	if w.n.reader == nil {
		return
	}
	for subject, said := range w.n.reader.Alarms() {
		wrong[alarmKey{mailbox.AlarmKind, subject}] = said
	}
}

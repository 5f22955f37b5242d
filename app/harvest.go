package app

import (
	"cmp"
	"context"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/harvest"
	"doppelboden/intake"
	"doppelboden/smtpd"
	"doppelboden/store"
)

// openHarvest makes what keeps mailboxes filled. It reads nothing yet; journal reports can be
// taken.
func (n *Node) openHarvest() (err error) {
	n.harvest, err = harvest.New(harvest.Options{
		Store: n.store, Intake: n.intake, Bodies: n.bodies, Keys: n.ring, Lease: func() store.Lease { return n.lease }, CatchUp: n.landing.CatchUp,
		Routes: n.harvestRoutes, Mailboxes: n.harvestMailboxes, Place: n.harvestPlace, Owners: n.house.owners, Journal: n.journal, Held: n.harvestHeld,
		Changed:  func(m doppelboden.MailboxID) { n.folders.Changed(m) },
		Kept:     func() time.Time { return n.clock().AddDate(0, 0, -n.house.Directory().City().RetentionDays) },
		Log:      n.log,
		Registry: n.registry, Clock: n.clock, Timer: n.opts.Timer,
	})
	return err
}

// harvestRoutes returns how the mailboxes of every route are filled.
func (n *Node) harvestRoutes() map[string]harvest.Route {
	d := n.house.Directory()
	routes := map[string]harvest.Route{}
	for i := range d.City().Tenants {
		t := &d.City().Tenants[i]
		id, ok := d.TenantNamed(t.Name)
		if !ok {
			continue
		}
		relay := t.Internet != nil && slices.ContainsFunc(t.Senders, func(s *city.Sender) bool { return s.Anybody })
		for _, r := range t.Routes {
			one := harvest.Route{Key: r.Key(), Tenant: id, Here: r.Here, Hairpin: r.Hairpin, Relay: relay, Journal: t.Journal != nil}
			if r.IMAP != nil && r.IMAP.SyncDays > 0 {
				if w, ok := n.groupwares.of(r.Key()); ok {
					// The other half is for the way back and for looking.
					one.Backend, one.Days, one.AtOnce = w.backend, r.IMAP.SyncDays, max(1, r.IMAP.Connections/2)
				}
			}
			routes[one.Key] = one
		}
	}
	return routes
}

// harvestMailboxes returns the mailboxes of a route that are read, the crisis team's first.
// Those that are in an outage are left alone: what a half restored groupware shows is not
// what it had.
func (n *Node) harvestMailboxes(route string) []doppelboden.Mailbox {
	d := n.house.Directory()
	var list []doppelboden.Mailbox
	for m := range d.All() {
		r, ok := d.RouteOf(m.ID)
		if !ok || r.Key() != route || m.Kind == doppelboden.List || !m.Gone.IsZero() {
			continue
		}
		if _, _, in := n.events.InOutage(m.ID); !in {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b doppelboden.Mailbox) int {
		return cmp.Or(cmp.Compare(d.PriorityOf(b.ID), d.PriorityOf(a.ID)), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// harvestPlace returns the route of a mailbox.
func (n *Node) harvestPlace(m doppelboden.MailboxID) (string, doppelboden.Mailbox, bool) {
	d := n.house.Directory()
	r, ok := d.RouteOf(m)
	box, known := d.Mailbox(m)
	if !ok || !known || box.Kind == doppelboden.List {
		return "", doppelboden.Mailbox{}, false
	}
	return r.Key(), box, true
}

// harvestHeld says why a route's mailboxes are not read now.
func (n *Node) harvestHeld(route string) string {
	d := n.house.Directory()
	for _, t := range d.City().Tenants {
		for _, r := range t.Routes {
			if r.Key() != route {
				continue
			}
			if id, ok := d.TenantNamed(t.Name); !ok || d.Shut(id, store.ShutMirror) || d.Stopped(id) {
				return harvest.HeldAttack
			}
		}
	}
	switch {
	case n.events.Covers(route):
		return "outage"
	case n.house.queue.Busy(route):
		return "busy"
	}
	return ""
}

// owners returns the mailboxes behind an address of a tenant.
func (h *house) owners(t doppelboden.TenantID, a doppelboden.Address) (boxes []doppelboden.MailboxID, ours bool) {
	d := h.Directory()
	id, ok := d.TenantOf(a.Domain)
	if !ok || id != t {
		return nil, false
	}
	to, err := d.Lookup(a)
	if err != nil {
		return nil, true
	}
	if !to.List {
		return []doppelboden.MailboxID{to.Mailbox}, true
	}
	r, err := d.Resolve(a, h.freshnessOf(d), h.node.clock())
	if err != nil {
		return nil, true
	}
	for _, target := range r.Targets {
		if target.Mailbox != 0 {
			boxes = append(boxes, target.Mailbox)
		}
	}
	return boxes, true
}

// journal returns who may report to an address.
func (n *Node) journal(a doppelboden.Address) (harvest.Journal, bool) {
	d := n.house.Directory()
	t := d.City().Journal(a)
	if t == nil {
		return harvest.Journal{}, false
	}
	id, ok := d.TenantNamed(t.Name)
	return harvest.Journal{Tenant: id, Senders: t.Journal.Senders, Postmaster: n.house.postmaster(id).Mailbox, Shut: d.Shut(id, store.ShutMirror)}, ok
}

// A journaling is a mail at a door, which may turn out to be a journal report.
type journaling struct {
	transaction
	n        *Node
	envelope intake.Envelope
	rcpts    int // ordinary ones
	report   *harvest.Taking
}

// errAlone is the answer to a recipient beside a journal address.
var errAlone = &doppelboden.Error{Code: doppelboden.TooManyRecipients, Public: "a journal report goes to one address alone, please send the rest in another transaction"}

// Rcpt implements smtpd.Transaction.
func (j *journaling) Rcpt(ctx context.Context, r smtpd.Recipient) error {
	is := j.n.harvest.IsJournal(r.Address)
	switch {
	case is && (j.rcpts > 0 || j.report != nil), !is && j.report != nil:
		return errAlone
	case !is:
		err := j.transaction.Rcpt(ctx, r)
		if err == nil {
			j.rcpts++
		}
		return err
	}
	var tenant doppelboden.TenantID
	var sender string
	if own := j.envelope.Own; own != nil {
		tenant, sender = own.Tenant, own.Name
	}
	var err error
	j.report, err = j.n.harvest.Take(r.Address, tenant, sender, j.envelope)
	return err
}

// Write implements smtpd.Transaction.
func (j *journaling) Write(p []byte) (int, error) {
	if j.report != nil {
		return j.report.Write(p)
	}
	return j.transaction.Write(p)
}

// Commit implements smtpd.Transaction.
func (j *journaling) Commit(ctx context.Context) (smtpd.Kept, error) {
	if j.report == nil {
		return j.transaction.Commit(ctx)
	}
	k, err := j.report.Commit(ctx)
	return smtpd.Kept{ID: k.ID, Receipt: k.Receipt}, err
}

// Acked implements smtpd.Transaction.
func (j *journaling) Acked(written bool) {
	if j.report != nil {
		j.report.Acked(written)
		return
	}
	j.transaction.Acked(written)
}

// Abort implements smtpd.Transaction.
func (j *journaling) Abort() {
	if j.report != nil {
		j.report.Abort()
	}
	j.transaction.Abort()
}

// harvest tells of mailboxes that are not filled as they should be.
func (w *watcher) harvest(wrong alarms) {
	for _, a := range w.n.harvest.Alarms() {
		subject := a.Route
		if subject == "" {
			subject = w.n.house.Directory().TenantName(a.Tenant)
		}
		wrong[alarmKey{a.Kind, subject}] = a.Said
	}
}

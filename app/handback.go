package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/filing"
	"doppelboden/handback"
	"doppelboden/intake"
	"doppelboden/queue"
	"doppelboden/store"
)

// openHandback makes the one who hands back what people did. The queue, events and notices,
// which it asks, come later.
func (n *Node) openHandback() (err error) {
	past := &pastEvents{n: n}
	n.handback, err = handback.New(handback.Options{
		Store: n.store, Lease: func() store.Lease { return n.lease }, Mail: n.agents, Hostname: n.opts.Node.Hostname,
		Log: n.log, Registry: n.registry, Clock: n.clock, Timer: n.opts.Timer,
		Place: n.handbackPlace, Well: n.groupwareWorks, Event: past.of, Language: n.languageOf, Letters: letters{n},
		Busy:    func(route string) bool { return n.house.queue.Busy(route) },
		Clear:   func(m doppelboden.MailboxID) bool { return n.house.queue.Empty(doppelboden.BoxID(m)) },
		Touch:   func(m doppelboden.MailboxID) { n.house.queue.Touch(m) },
		Older:   n.cameBack,
		Stopped: func(t doppelboden.TenantID) bool { return n.house.Directory().Stopped(t) },
	})
	return err
}

// The way back of what people did serves the queue and who puts mail into mailboxes.
var (
	_ queue.Toucher = (*handback.Room)(nil)
	_ filing.People = (*handback.Room)(nil)
)

// handbackPlace returns where a mailbox lies in its groupware.
func (n *Node) handbackPlace(m doppelboden.MailboxID) (handback.Place, bool) {
	d := n.house.Directory()
	r, ok := d.RouteOf(m)
	box, known := d.Mailbox(m)
	if !ok || !known || r.Here {
		return handback.Place{}, false
	}
	p := handback.Place{Tenant: box.Tenant, Route: r.Key(), Owner: box.Address, Department: box.Department, Priority: d.PriorityOf(m), AtOnce: 1}
	if w, ok := n.groupwares.of(p.Route); ok {
		p.Backend, p.AtOnce = w.backend, max(1, w.conf.Connections-1) // one stays for who looks
	}
	return p, true
}

// groupwareWorks reports whether the groupware works for a mailbox.
func (n *Node) groupwareWorks(m doppelboden.MailboxID) bool {
	if _, _, in := n.events.InOutage(m); in {
		return false
	}
	r, ok := n.house.Directory().RouteOf(m)
	return ok && !r.Here && n.house.queue.Up(r.Key())
}

// languageOf returns in which language the city writes to the owner of a mailbox.
func (n *Node) languageOf(m doppelboden.MailboxID) string {
	d := n.house.Directory()
	box, _ := d.Mailbox(m)
	if t, ok := d.City().Tenant(d.TenantName(box.Tenant)); ok {
		return t.Accounts.Language
	}
	return ""
}

// letters writes to owners of mailboxes. The returner is made after who uses it.
type letters struct{ n *Node }

// From implements handback.Letters.
func (l letters) From(t doppelboden.TenantID) doppelboden.Address { return l.n.returner.From(t) }

// Letter implements handback.Letters.
func (l letters) Letter(ctx context.Context, one intake.Letter) error {
	return l.n.returner.Letter(ctx, one)
}

// pastFor is how long a list of events is good: mailboxes come back by the thousand.
const pastFor = 10 * time.Second

// pastEvents tells in which event something was done.
type pastEvents struct {
	n *Node

	mu   sync.Mutex
	at   time.Time
	list []store.Event
}

// of returns the event that a mailbox was in at a time, and when it began: an open one, one
// that is over, or, of a mailbox whose owner has said that it does not work, a negative number
// that stands for that time; 0 for none.
func (p *pastEvents) of(ctx context.Context, m doppelboden.MailboxID, at time.Time) (int64, time.Time, error) {
	if number, since, in := p.n.events.InOutage(m); in {
		return number, since, nil
	}
	list, err := p.all(ctx)
	if err != nil {
		return 0, time.Time{}, err
	}
	d := p.n.house.Directory()
	box, _ := d.Mailbox(m)
	r, ok := d.RouteOf(m)
	for _, e := range slices.Backward(list) {
		if ok && e.Tenant == box.Tenant && !at.Before(e.Since) && (e.Until.IsZero() || at.Before(e.Until)) && concerned(&e, r.Name, box) {
			return e.Number, e.Since, nil
		}
	}
	if mode := p.n.modes.Of(m); mode.Emergency && mode.Event == 0 {
		return -mode.At.Unix(), mode.At, nil
	}
	return 0, time.Time{}, nil
}

// openers are the people that doors ask. Who opens a mailbox in an event is told of its end.
type openers struct {
	*account.Room
	n *Node
}

// Opened implements webmail.People and imapd.People.
func (o openers) Opened(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) {
	o.Room.Opened(ctx, t, m)
	if !(emergencies{o.n}).Now(t) {
		return
	}
	if err := o.n.handback.Opened(ctx, m); err != nil {
		o.n.log.WarnContext(ctx, "a mailbox was opened, and that is noted later", "err", err)
	}
}

// concerned reports whether an event may have been one of a mailbox.
func concerned(e *store.Event, route string, box doppelboden.Mailbox) bool {
	switch e.Kind {
	case store.Attack:
		return true
	case store.Outage:
		return e.Route == route
	}
	return slices.Contains(e.Scope.Routes, route) || slices.Contains(e.Scope.Departments, box.Department) ||
		slices.Contains(e.Scope.Buildings, box.Building) || slices.Contains(e.Scope.Mailboxes, box.ID)
}

// all returns the events of all tenants, by tenant and number.
func (p *pastEvents) all(ctx context.Context) ([]store.Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.n.clock(); p.list == nil || now.Sub(p.at) > pastFor {
		var list []store.Event
		err := p.n.store.Events(ctx, 0, func(e store.Event) error { list = append(list, e); return nil })
		if err != nil {
			return nil, fmt.Errorf("read the events: %w", err)
		}
		p.list, p.at = list, now
	}
	return p.list, nil
}

// handback tells of what people did and does not go back.
func (w *watcher) handback(wrong alarms) {
	for route, said := range w.n.handback.Alarms() {
		wrong[alarmKey{handback.AlarmKind, route}] = said
	}
}

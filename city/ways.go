package city

import (
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// Decided is what people have decided besides city.toml. It lies in the store, because it
// is about thousands of mailboxes, or must outlive every version of the configuration.
type Decided struct {
	Standings    []store.Standing
	Ways         []store.Way
	Destinations []doppelboden.Destination // those of mailboxes: one for every route in Way.Also
}

// A Second is a route that the mail of a mailbox goes to as well.
type Second struct {
	Box   doppelboden.BoxID // in whose order it waits
	Route *Route            // not to be changed
}

// decisions is Decided as it is looked up; it never changes.
type decisions struct {
	list         Decided
	standings    map[doppelboden.TenantID]store.Standing
	ways         map[doppelboden.MailboxID]store.Way
	destinations map[doppelboden.BoxID]doppelboden.Destination
	boxes        map[second]doppelboden.BoxID
	seconds      map[doppelboden.MailboxID][]doppelboden.BoxID // of those that have any
}

// A second names a Destination by its content.
type second struct {
	mailbox doppelboden.MailboxID
	route   string
}

func decide(list Decided) *decisions {
	d := &decisions{
		list:         list,
		standings:    make(map[doppelboden.TenantID]store.Standing, len(list.Standings)),
		ways:         make(map[doppelboden.MailboxID]store.Way, len(list.Ways)),
		destinations: make(map[doppelboden.BoxID]doppelboden.Destination, len(list.Destinations)),
		boxes:        make(map[second]doppelboden.BoxID, len(list.Destinations)),
		seconds:      map[doppelboden.MailboxID][]doppelboden.BoxID{},
	}
	for _, s := range list.Standings {
		d.standings[s.Tenant] = s
	}
	for _, w := range list.Ways {
		d.ways[w.Mailbox] = w
	}
	for _, to := range list.Destinations {
		if to.Mailbox != 0 {
			d.destinations[to.ID] = to
			d.boxes[second{to.Mailbox, to.Route}] = to.ID
			d.seconds[to.Mailbox] = append(d.seconds[to.Mailbox], to.ID)
		}
	}
	return d
}

// Under returns the directory as it is when people have decided this, and nothing else.
func (d *Directory) Under(list Decided) *Directory {
	return build(d.city, d.tenants, d.cards(), decide(list))
}

// Decided returns what the directory was built under; it is not to be changed.
func (d *Directory) Decided() Decided { return d.decided.list }

// way returns where the mail of a mailbox goes: as somebody decided, or else as the
// configuration says of its domain. A route that the configuration no longer has counts
// as if nobody had decided; a configuration without it is refused before that.
func (d *decisions) way(t *Tenant, box doppelboden.Mailbox) (route *Route, also []Second) {
	route = t.Route(box.Address.Domain)
	w, ok := d.ways[box.ID]
	if !ok || w.Tenant != box.Tenant {
		return route, nil
	}
	if r, ok := t.Named(w.Route); ok {
		route = r
	}
	for _, name := range w.Also {
		r, ok := t.Named(name)
		id := d.boxes[second{box.ID, name}]
		if !ok || id == 0 || r.Here || r == route {
			continue // it would get the same mail twice, or has it anyway
		}
		also = append(also, Second{Box: id, Route: r})
	}
	return route, also
}

// Named returns the tenant's route with a name.
func (t *Tenant) Named(name string) (*Route, bool) {
	i := slices.IndexFunc(t.Routes, func(r *Route) bool { return r.Name == name })
	if i < 0 {
		return nil, false
	}
	return t.Routes[i], true
}

// WayOf returns what somebody decided about the mail of a mailbox; ok is false when nobody
// has.
func (d *Directory) WayOf(m doppelboden.MailboxID) (w store.Way, ok bool) {
	w, ok = d.decided.ways[m]
	return w, ok
}

// Also returns the routes that the mail of a mailbox goes to as well; not to be changed.
func (d *Directory) Also(m doppelboden.MailboxID) []Second { return d.also[m] }

// Seconds returns the boxes in which second deliveries of a mailbox's mail wait, also those
// of routes by which it no longer goes; not to be changed.
func (d *Directory) Seconds(m doppelboden.MailboxID) []doppelboden.BoxID { return d.decided.seconds[m] }

// Crossed returns the mailboxes that go by a route by which second deliveries of theirs
// may go too, because it once was a second route of theirs. since, if it is not nil, is an
// older directory; then only those that went by another route there.
func (d *Directory) Crossed(since *Directory) []doppelboden.MailboxID {
	var crossed []doppelboden.MailboxID
	for m, boxes := range d.decided.seconds {
		route, ok := d.RouteOf(m)
		if !ok {
			continue
		}
		if since != nil {
			if before, ok := since.RouteOf(m); ok && before.Key() == route.Key() {
				continue
			}
		}
		if slices.ContainsFunc(boxes, func(b doppelboden.BoxID) bool { return d.decided.destinations[b].Route == route.Name }) {
			crossed = append(crossed, m)
		}
	}
	return crossed
}

// RouteOfBox returns the route that mail in a box goes by, and the mailbox whose mail it
// is. A second delivery keeps its route also when its mailbox no longer goes there.
func (d *Directory) RouteOfBox(b doppelboden.BoxID) (route *Route, m doppelboden.MailboxID, ok bool) {
	if b > 0 {
		route, ok = d.RouteOf(doppelboden.MailboxID(b))
		return route, doppelboden.MailboxID(b), ok
	}
	to, ok := d.decided.destinations[b]
	if !ok {
		return nil, 0, false
	}
	t, ok := d.city.Tenant(d.TenantName(to.Tenant))
	if !ok {
		return nil, to.Mailbox, false
	}
	route, ok = t.Named(to.Route)
	return route, to.Mailbox, ok
}

// Standing returns what somebody decided about a tenant; about most, nobody has.
func (d *Directory) Standing(t doppelboden.TenantID) store.Standing {
	s, ok := d.decided.standings[t]
	if !ok {
		s = store.Standing{Tenant: t, State: store.TenantOpen}
	}
	return s
}

// Stopped reports whether what waits for a tenant is not handed over at the moment.
func (d *Directory) Stopped(t doppelboden.TenantID) bool {
	s := d.Standing(t)
	return s.State == store.TenantPaused && s.Stops || s.Shut&store.ShutHandover != 0
}

// Shut reports whether a way to a tenant's own systems is shut in attack mode.
func (d *Directory) Shut(t doppelboden.TenantID, way store.Shut) bool {
	return d.Standing(t).Shut&way != 0
}

// What Takes answers for a tenant that takes no mail.
var (
	errPaused = &doppelboden.Error{Code: doppelboden.TenantPaused, Public: "mail for this domain is not taken at the moment, please try again later"}
	errClosed = &doppelboden.Error{Code: doppelboden.TenantClosed, Public: "mail for this domain is not taken any more"}
)

// Takes returns an error when somebody decided that no mail is taken for the domain of a,
// whoever that is. Codes: TenantPaused, TenantClosed. It is asked by doors; Lookup is for
// people too, who may want to see what waits.
func (d *Directory) Takes(a doppelboden.Address) error {
	dom := d.domains[a.Domain]
	if a.Domain == "" {
		dom = d.bare
	}
	if dom == nil {
		return nil
	}
	switch d.Standing(dom.tenant).State {
	case store.TenantPaused:
		return errPaused
	case store.TenantClosed:
		return errClosed
	}
	return nil
}

package harvest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Fresh is how old the end of a mailbox's coverage may be that counts as complete: reading
// goes in rounds.
const Fresh = 15 * time.Minute

// The parts of a mailbox that Wanting names.
const (
	PartInbox    = "inbox"
	PartSent     = "sent"
	PartInternal = "internal"
)

// Wanting returns what a mailbox lacks most to be complete up to a few minutes ago: one of
// the parts and a reason, and up to when that part is complete (zero: nothing is proved);
// whole says that it lacks nothing.
func (c Coverage) Wanting(now time.Time) (part string, p Part, whole bool) {
	for _, one := range []struct {
		name string
		Part
	}{{PartInbox, c.Inbox}, {PartInternal, c.Internal}, {PartSent, c.Sent}} {
		switch {
		case one.Now() || now.Sub(one.Until) < Fresh:
		case part == "", !p.Since.IsZero() && one.Since.IsZero():
			part, p = one.name, one.Part
		}
	}
	return part, p, part == ""
}

// Coverages yields what can be said of a tenant's mailboxes, in the order of boxes, with few
// questions to the database. Those that are not in the directory are passed over.
func (r *Room) Coverages(ctx context.Context, t doppelboden.TenantID, boxes []doppelboden.MailboxID, yield func(doppelboden.MailboxID, Coverage) error) error {
	states := map[doppelboden.MailboxID]store.HarvestBox{}
	err := r.opts.Store.HarvestBoxes(ctx, t, func(b store.HarvestBox) error {
		states[b.Mailbox] = b
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is known of mailboxes: %w", err)
	}
	tenant := question{r: r, now: r.opts.Clock(), route: Route{Tenant: t}}
	if err := tenant.ways(ctx); err != nil {
		return err
	}
	routes, held := r.opts.Routes(), map[string]string{}
	answer := func(m doppelboden.MailboxID, folders []store.HarvestFolder) (Coverage, bool) {
		key, box, ok := r.opts.Place(m)
		if !ok || box.Tenant != t {
			return Coverage{}, false
		}
		if routes[key].Here {
			return coverageHere(), true
		}
		if _, known := held[key]; !known {
			held[key] = r.held(routes[key])
		}
		q := tenant
		q.route, q.held, q.state, q.folders = routes[key], held[key], states[m], folders
		return q.answer(), true
	}
	read := map[doppelboden.MailboxID]Coverage{} // what has folders; those themselves would be 40 MB
	var folders []store.HarvestFolder
	take := func() {
		if len(folders) > 0 {
			if c, ok := answer(folders[0].Mailbox, folders); ok {
				read[folders[0].Mailbox] = c
			}
		}
		folders = folders[:0]
	}
	err = r.opts.Store.AllHarvestFolders(ctx, t, func(f store.HarvestFolder) error {
		if len(folders) > 0 && folders[0].Mailbox != f.Mailbox {
			take()
		}
		folders = append(folders, f)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is known of folders: %w", err)
	}
	take()
	for _, m := range boxes {
		c, known := read[m]
		if !known {
			c, known = answer(m, nil)
		}
		if !known {
			continue
		}
		if err := yield(m, c); err != nil {
			return err
		}
	}
	return nil
}

// What does not work between mailboxes of a route of which some are in an emergency and
// others are not. The other way, from an emergency mailbox, mail comes at any route.
const (
	// GapMissing: what somebody writes in the groupware to a colleague in an emergency does
	// not come into the emergency mailbox at all.
	GapMissing = "missing"
	// GapLate: it comes when the colleague's mailbox in the groupware can be read again.
	GapLate = "late"
)

// A Gap says what does not work at a route.
type Gap struct {
	Route string `json:"route"` // its name, without the tenant's
	What  string `json:"what"`  // GapMissing or GapLate
}

// Gaps returns the routes of a tenant at which mail between colleagues does not come into an
// emergency mailbox at once, by name: neither does it pass us nor is it reported.
func (r *Room) Gaps(t doppelboden.TenantID) []Gap {
	var list []Gap
	for _, route := range r.opts.Routes() {
		if route.Tenant != t || route.Here || route.Hairpin || route.Journal {
			continue
		}
		_, name, _ := strings.Cut(route.Key, "/")
		g := Gap{Route: name, What: GapMissing}
		if route.Backend != nil { // while it is in an event, a mailbox is not read
			g.What = GapLate
		}
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b Gap) int { return cmp.Compare(a.Route, b.Route) })
	return list
}

package control

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/appeal"
	"doppelboden/city"
	"doppelboden/store"
)

// Appeals says when refused mail is tried again; appeal.Appeals is one.
type Appeals interface {
	Prospect(group string, box doppelboden.BoxID) (appeal.Prospect, bool)
}

// A HeldWhy says why a delivery is held, and what will end that.
type HeldWhy struct {
	Reason string `json:"reason"` // as doppelboden.HoldReason
	Group  string `json:"group"`  // names what is held for the same reason with the same words
	// Person says that only a person ends it. Else it is tried again by itself: at Next at
	// the latest, or, with Trying, just now. Without either this node does not know when.
	Person bool      `json:"person"`
	Next   time.Time `json:"next_try,omitzero"`
	Trying bool      `json:"trying,omitempty"`
	// Address says that the groupware does not know the mailbox. The mail goes back to its
	// sender when so many Others of the route as are Needed took mail since, and Gone is
	// when a directory was read that does not list it.
	Address bool      `json:"address,omitempty"`
	Others  int       `json:"others_took,omitempty"`
	Needed  int       `json:"others_needed,omitempty"`
	Gone    time.Time `json:"not_listed,omitzero"`
}

// why says why a delivery of a box is held, or, with box 0, a whole group.
func (d *Desk) why(h doppelboden.Hold, group string, box doppelboden.BoxID) *HeldWhy {
	w := &HeldWhy{Reason: h.Reason.String(), Group: group, Person: !h.Reason.TriedAgain()}
	if w.Person || d.opts.Appeals == nil {
		return w
	}
	p, ok := d.opts.Appeals.Prospect(group, box)
	if !ok {
		return w
	}
	w.Next, w.Trying = p.Next, p.Next.IsZero()
	w.Address, w.Others, w.Needed, w.Gone = p.Address, p.Others, p.Needed, p.Gone
	return w
}

// addWhy says of those among some deliveries that are held why.
func (d *Desk) addWhy(ctx context.Context, found []Waiting, items []doppelboden.Delivery) error {
	var seqs []int64
	for _, it := range items {
		if it.State == doppelboden.Held {
			seqs = append(seqs, it.Seq)
		}
	}
	why, err := d.opts.Store.HeldWhy(ctx, seqs)
	if err != nil {
		return fmt.Errorf("read why mail is held: %w", err)
	}
	for i, it := range items {
		if h, ok := why[it.Seq]; ok {
			found[i].Held = d.why(h.Hold, h.Group, it.Box)
		}
	}
	return nil
}

// A Group is what is held, or queued after attempts that failed, for the same reason with
// the same words on the same route.
type Group struct {
	Group      string    `json:"group"` // empty: the rest, of groups that are too many to tell each
	State      string    `json:"state"` // held or queued
	Tenant     string    `json:"tenant,omitempty"`
	Route      string    `json:"route,omitempty"`
	Words      string    `json:"words"` // what their last replies have in common; hostile
	Deliveries int64     `json:"deliveries"`
	Mailboxes  int64     `json:"mailboxes"`         // or, of the Internet, domains
	Oldest     time.Time `json:"oldest"`            // when the oldest came in, or, of queued ones, was tried last
	Groups     int       `json:"groups,omitempty"`  // of the rest: how many
	Example    string    `json:"example,omitempty"` // a recipient; hostile
	Why        *HeldWhy  `json:"held,omitempty"`
}

// Groups yields what is held or queued after failures by groups, the largest first. Of
// choice, only State, Tenant and Route count.
func (c *Client) Groups(ctx context.Context, choice Choice, yield func(Group) error) error {
	q := url.Values{"state": {choice.State}, "tenant": {choice.Tenant}, "route": {choice.Route}}
	return c.ask(ctx, "GET", "/queue/groups", q, nil, each(yield), new(struct{}))
}

// maxGroups bounds how many groups are told: who has more has another problem than a
// single one of them.
const maxGroups = 500

// A gathering is the largest groups, and what the others come to.
type gathering struct {
	groups []Group
	rest   Group
}

// add takes a group.
func (g *gathering) add(one Group) {
	if g.groups = append(g.groups, one); len(g.groups) >= 2*maxGroups {
		g.cut()
	}
}

// cut keeps the largest.
func (g *gathering) cut() {
	slices.SortStableFunc(g.groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Deliveries, a.Deliveries), a.Oldest.Compare(b.Oldest), cmp.Compare(a.Group, b.Group))
	})
	for _, one := range g.groups[min(len(g.groups), maxGroups):] {
		g.rest.Groups++
		g.rest.Deliveries += one.Deliveries
		if g.rest.Oldest.IsZero() || one.Oldest.Before(g.rest.Oldest) {
			g.rest.Oldest = one.Oldest
		}
	}
	g.groups = g.groups[:min(len(g.groups), maxGroups)]
}

func (d *Desk) listGroups(ctx context.Context, c *call) (any, error) {
	q := c.query
	want, err := d.choose(ctx, Choice{State: q.Get("state"), Tenant: q.Get("tenant"), Route: q.Get("route")})
	if err != nil {
		return nil, err
	}
	var all gathering
	if slices.Contains(want.filter.States, doppelboden.Held) {
		if err := d.heldGroups(ctx, want, &all); err != nil {
			return nil, err
		}
	}
	if slices.Contains(want.filter.States, doppelboden.Queued) {
		if err := d.failingGroups(ctx, want, &all); err != nil {
			return nil, err
		}
	}
	all.cut()
	for _, g := range all.groups {
		if err := c.item(g); err != nil {
			return nil, err
		}
	}
	if all.rest.Groups > 0 {
		return struct{}{}, c.item(all.rest)
	}
	return struct{}{}, nil
}

// heldGroups gathers what is held.
func (d *Desk) heldGroups(ctx context.Context, want chosen, all *gathering) error {
	dir := d.opts.House.Directory()
	err := d.opts.Store.HeldGroups(ctx, want.filter.Tenant, func(g store.HeldGroup) error {
		shown := Group{Group: g.Group, State: doppelboden.Held.String(), Tenant: dir.TenantName(g.Tenant), Route: g.Route,
			Words:      doppelboden.Gist(g.Oldest.Delivery.Reply, g.Oldest.Delivery.Recipient),
			Deliveries: g.Deliveries, Mailboxes: g.Boxes, Oldest: g.Oldest.Message.Received, Example: g.Oldest.Delivery.Recipient.String()}
		if shown.Route == "" {
			shown.Route = routeOf(dir, g.Oldest.Delivery)
		}
		if want.route != "" && shown.Route != want.route {
			return nil
		}
		shown.Why = d.why(g.Hold, g.Group, 0)
		all.add(shown)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is held: %w", err)
	}
	return nil
}

// failingGroup names the group of a delivery that is queued after attempts that failed.
func failingGroup(dir *city.Directory, d doppelboden.Delivery) (group, route string) {
	route = routeOf(dir, d)
	return doppelboden.Hold{Reason: -1, Route: route}.Group(d.Tenant, d.Reply, d.Recipient), route
}

// failingGroups gathers what is queued after attempts that failed. How many groups are
// counted at a time is bounded; what comes later is told with the rest.
func (d *Desk) failingGroups(ctx context.Context, want chosen, all *gathering) error {
	dir := d.opts.House.Directory()
	type counted struct {
		Group
		boxes map[doppelboden.BoxID]bool
	}
	groups := map[string]*counted{}
	err := d.opts.Store.Failing(ctx, want.filter.Tenant, func(f store.Failing) error {
		one := doppelboden.Delivery{Tenant: f.Tenant, Mailbox: f.Mailbox, Box: f.Box, Recipient: f.Recipient, Reply: f.Reply}
		id, route := failingGroup(dir, one)
		if want.route != "" && route != want.route {
			return nil
		}
		g := groups[id]
		if g == nil && len(groups) >= 2*maxGroups {
			all.rest.Groups++ // at most: nobody knows whether it is new
			all.rest.Deliveries++
			return nil
		}
		if g == nil {
			g = &counted{boxes: map[doppelboden.BoxID]bool{}, Group: Group{Group: id, State: doppelboden.Queued.String(),
				Tenant: dir.TenantName(f.Tenant), Route: route, Words: doppelboden.Gist(f.Reply, f.Recipient), Example: f.Recipient.String()}}
			groups[id] = g
		}
		g.Deliveries++
		g.boxes[f.Box] = true
		if g.Oldest.IsZero() || f.Changed.Before(g.Oldest) {
			g.Oldest = f.Changed
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what was tried: %w", err)
	}
	for _, g := range groups {
		g.Mailboxes = int64(len(g.boxes))
		all.add(g.Group)
	}
	return nil
}

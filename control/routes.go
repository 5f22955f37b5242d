package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// A Route is a route as commands show it.
type Route struct {
	Name      string   `json:"name"` // tenant/name
	To        string   `json:"to"`   // where it leads
	Default   bool     `json:"default,omitempty"`
	Domains   []string `json:"domains,omitempty"`
	Mailboxes int      `json:"mailboxes"` // that go by it
	Own       int      `json:"own"`       // of these, those that somebody moved to it
	Also      int      `json:"also"`      // mailboxes whose mail goes by it as well
}

// A Way is the way of one mailbox that somebody decided about.
type Way struct {
	Tenant  string    `json:"tenant"`
	Address string    `json:"address"`
	Route   string    `json:"route"`          // name within the tenant
	Own     bool      `json:"own"`            // false: the route is as the configuration says
	Also    []string  `json:"also,omitempty"` // names within the tenant
	By      string    `json:"by"`
	At      time.Time `json:"at"`
}

// A Move is what a person decides about the ways of mailboxes. Exactly one of Addresses,
// List, Department, From and All says which ones.
type Move struct {
	Addresses  []string `json:"addresses,omitempty"`
	List       string   `json:"list,omitempty"`      // the text of a list; see city.ParseAddresses
	ListName   string   `json:"list_name,omitempty"` // for its mistakes
	Department string   `json:"department,omitempty"`
	From       string   `json:"from,omitempty"` // all that go by this route: name, or tenant/name
	All        bool     `json:"all,omitempty"`
	Tenant     string   `json:"tenant,omitempty"` // of these, only this tenant's

	To    string   `json:"to,omitempty"`    // name of the route; empty: the route stays
	Also  []string `json:"also,omitempty"`  // routes that the mail goes to as well; the rest no longer
	Reset bool     `json:"reset,omitempty"` // as the configuration says, and nowhere else
	Yes   int      `json:"yes,omitempty"`   // repeats Moved.Confirm
}

// Moved says what a Move did.
type Moved struct {
	Mailboxes int `json:"mailboxes"` // whose way is different now
	Unchanged int `json:"unchanged"`
	// Confirm is the number that Move.Yes must repeat before anything is changed; 0: it
	// is done.
	Confirm int `json:"confirm,omitempty"`
}

// Routes yields the routes of the configuration.
func (c *Client) Routes(ctx context.Context, tenant string, yield func(Route) error) error {
	return c.ask(ctx, "GET", "/routes", url.Values{"tenant": {tenant}}, nil, each(yield), new(struct{}))
}

// Ways yields the mailboxes about whose ways somebody has decided, by tenant and address.
func (c *Client) Ways(ctx context.Context, tenant string, yield func(Way) error) error {
	return c.ask(ctx, "GET", "/ways", url.Values{"tenant": {tenant}}, nil, each(yield), new(struct{}))
}

// MoveMailboxes decides about the ways of mailboxes: of all that it names, or of none.
// Mistakes of a list come as city.Mistakes.
func (c *Client) MoveMailboxes(ctx context.Context, m Move) (Moved, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return Moved{}, fmt.Errorf("make the request: %w", err)
	}
	var got Moved
	err = c.ask(ctx, "POST", "/ways", url.Values{}, body, nil, &got)
	return got, err
}

func (d *Desk) listRoutes(ctx context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	tenant, err := tenantNamed(dir, c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	shown := map[*city.Route]*Route{}
	for m := range dir.All() {
		r, ok := dir.RouteOf(m.ID)
		if !ok {
			continue
		}
		s := shownRoute(shown, r)
		s.Mailboxes++
		if w, ok := dir.WayOf(m.ID); ok && w.Route != "" {
			s.Own++
		}
		for _, also := range dir.Also(m.ID) {
			shownRoute(shown, also.Route).Also++
		}
	}
	for _, t := range dir.City().Tenants {
		if id, _ := dir.TenantNamed(t.Name); tenant != 0 && id != tenant {
			continue
		}
		for i, r := range t.Routes {
			s := shownRoute(shown, r)
			s.Name, s.To, s.Default, s.Domains = r.Key(), r.String(), i == 0, r.Domains
			if err := c.item(s); err != nil {
				return nil, err
			}
		}
	}
	return struct{}{}, nil
}

func shownRoute(all map[*city.Route]*Route, r *city.Route) *Route {
	if all[r] == nil {
		all[r] = &Route{}
	}
	return all[r]
}

// tenantNamed returns the number of a tenant, or 0 for "".
func tenantNamed(dir *city.Directory, name string) (doppelboden.TenantID, error) {
	if name == "" {
		return 0, nil
	}
	id, ok := dir.TenantNamed(name)
	if !ok {
		return 0, notFound("no tenant has this name")
	}
	return id, nil
}

func (d *Desk) listWays(ctx context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	tenant, err := tenantNamed(dir, c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	var ways []Way
	for _, w := range dir.Decided().Ways {
		m, ok := dir.Mailbox(w.Mailbox)
		r, placed := dir.RouteOf(w.Mailbox)
		if !ok || !placed || tenant != 0 && w.Tenant != tenant {
			continue
		}
		ways = append(ways, Way{Tenant: dir.TenantName(w.Tenant), Address: m.Address.String(), Route: r.Name,
			Own: w.Route != "", Also: w.Also, By: w.By, At: w.At})
	}
	slices.SortFunc(ways, func(a, b Way) int {
		return strings.Compare(a.Tenant+"\x00"+a.Address, b.Tenant+"\x00"+b.Address)
	})
	for _, w := range ways {
		if err := c.item(w); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// moveMailboxes writes the ways of mailboxes and makes doors and lanes follow them.
func (d *Desk) moveMailboxes(ctx context.Context, c *call) (any, error) {
	var asked Move
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	d.change.Lock()
	defer d.change.Unlock()
	dir := d.opts.House.Directory()
	boxes, err := chooseMailboxes(dir, asked)
	if err != nil {
		return nil, err
	}
	var changed []store.Way
	now := d.opts.Clock()
	for _, m := range boxes {
		w, err := asked.way(dir, m)
		if err != nil {
			return nil, err
		}
		if was, _ := dir.WayOf(m.ID); was.Route == w.Route && slices.Equal(was.Also, w.Also) {
			continue
		}
		w.By, w.At = c.by, now
		changed = append(changed, w)
	}
	moved := Moved{Mailboxes: len(changed), Unchanged: len(boxes) - len(changed)}
	if len(asked.Addresses) == 0 && tooMany(dir, changed) && asked.Yes != len(changed) {
		moved.Confirm = len(changed)
		return moved, nil
	}
	return moved, d.putWays(ctx, dir, changed, c.by)
}

// putWays writes ways and makes doors and lanes follow them. The caller holds d.change.
func (d *Desk) putWays(ctx context.Context, dir *city.Directory, changed []store.Way, by string) error {
	if len(changed) == 0 {
		return nil
	}
	if err := d.refuseLeaving(ctx, dir, dir.Under(withWays(dir.Decided(), changed))); err != nil {
		return err
	}
	if err := d.opts.Store.PutWays(ctx, changed); err != nil {
		return fmt.Errorf("write the ways: %w", err)
	}
	perTenant := map[doppelboden.TenantID]int{}
	for _, w := range changed {
		perTenant[w.Tenant]++
	}
	for t, n := range perTenant {
		note := fmt.Sprintf("ways of %d mailboxes of %s by %s", n, dir.TenantName(t), by)
		if err := d.opts.Store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: d.opts.Clock(), Tenant: t, By: by, Note: note}); err != nil {
			return fmt.Errorf("note the ways in the ledger: %w", err)
		}
	}
	if err := d.redecide(ctx); err != nil {
		return err
	}
	d.opts.Log.InfoContext(ctx, "mailboxes were moved", "mailboxes", len(changed), "by", by)
	return nil
}

// withWays returns what is decided with some ways changed.
func withWays(list city.Decided, changed []store.Way) city.Decided {
	new := map[doppelboden.MailboxID]bool{}
	for _, w := range changed {
		new[w.Mailbox] = true
	}
	list.Ways = slices.DeleteFunc(slices.Clone(list.Ways), func(w store.Way) bool { return new[w.Mailbox] })
	list.Ways = append(list.Ways, changed...)
	return list
}

// tooMany reports whether of any tenant more mailboxes change than may without asking.
func tooMany(dir *city.Directory, changed []store.Way) bool {
	all, moved := map[doppelboden.TenantID]int{}, map[doppelboden.TenantID]int{}
	for m := range dir.All() {
		all[m.Tenant]++
	}
	for _, w := range changed {
		moved[w.Tenant]++
	}
	for t, n := range moved {
		if shareOf(dir.City(), n, all[t]) {
			return true
		}
	}
	return false
}

// chooseMailboxes returns the mailboxes that a move is about.
func chooseMailboxes(dir *city.Directory, asked Move) ([]doppelboden.Mailbox, error) {
	tenant, err := tenantNamed(dir, asked.Tenant)
	if err != nil {
		return nil, err
	}
	find := func(a doppelboden.Address) (doppelboden.MailboxID, bool) {
		t, err := dir.Lookup(a)
		return t.Mailbox, err == nil && (tenant == 0 || t.Tenant == tenant)
	}
	var ids []doppelboden.MailboxID
	switch {
	case asked.List != "" || asked.ListName != "":
		ids, err = city.ParseAddresses(asked.ListName, []byte(asked.List), find)
	case len(asked.Addresses) > 0:
		ids, err = findAll(asked.Addresses, find)
	default:
		return chooseByWhat(dir, asked, tenant)
	}
	if err != nil {
		return nil, err
	}
	boxes := make([]doppelboden.Mailbox, len(ids))
	for i, id := range ids {
		boxes[i], _ = dir.Mailbox(id)
	}
	return boxes, nil
}

// findAll finds the mailboxes of addresses.
func findAll(addresses []string, find func(doppelboden.Address) (doppelboden.MailboxID, bool)) ([]doppelboden.MailboxID, error) {
	var ids []doppelboden.MailboxID
	for _, s := range addresses {
		a, err := doppelboden.ParseAddress(s)
		if err != nil {
			return nil, err
		}
		id, ok := find(a)
		if !ok {
			return nil, refuse("no mailbox has the address %s", a)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// chooseByWhat chooses mailboxes by their department or route, or all.
func chooseByWhat(dir *city.Directory, asked Move, tenant doppelboden.TenantID) ([]doppelboden.Mailbox, error) {
	from := ""
	if asked.From != "" {
		var err error
		if from, err = routeNamed(dir, asked.From, asked.Tenant); err != nil {
			return nil, err
		}
	}
	if !asked.All && asked.Department == "" && from == "" {
		return nil, refuse("say which mailboxes")
	}
	var boxes []doppelboden.Mailbox
	for m := range dir.All() {
		r, ok := dir.RouteOf(m.ID)
		if !ok || tenant != 0 && m.Tenant != tenant || from != "" && r.Key() != from ||
			asked.Department != "" && !strings.EqualFold(m.Department, asked.Department) {
			continue
		}
		boxes = append(boxes, m)
	}
	if len(boxes) == 0 {
		return nil, refuse("there is no such mailbox")
	}
	slices.SortFunc(boxes, func(a, b doppelboden.Mailbox) int { return int(a.ID - b.ID) })
	return boxes, nil
}

// way returns the way that a mailbox is to have.
func (a *Move) way(dir *city.Directory, m doppelboden.Mailbox) (store.Way, error) {
	w := store.Way{Tenant: m.Tenant, Mailbox: m.ID}
	if a.Reset {
		return w, nil
	}
	was, _ := dir.WayOf(m.ID)
	w.Route = was.Route
	t, ok := dir.City().Tenant(dir.TenantName(m.Tenant))
	if !ok {
		return w, refuse("the tenant of %s is not in city.toml", m.Address)
	}
	route, _ := dir.RouteOf(m.ID)
	if a.To != "" {
		if route, ok = t.Named(nameWithin(a.To, t.Name)); !ok {
			return w, refuse("the tenant %s has no route %s", t.Name, a.To)
		}
		w.Route = route.Name
	}
	for _, name := range a.Also {
		r, ok := t.Named(nameWithin(name, t.Name))
		switch {
		case !ok:
			return w, refuse("the tenant %s has no route %s", t.Name, name)
		case r.Here:
			return w, refuse("a copy of every mail lies here anyway: %s is no second route", r.Key())
		case r == route:
			return w, refuse("%s cannot go by route %s twice", m.Address, r.Key())
		case slices.Contains(w.Also, r.Name):
			return w, refuse("%s cannot go by route %s twice", m.Address, r.Key())
		}
		w.Also = append(w.Also, r.Name)
	}
	return w, nil
}

// nameWithin takes the tenant's name from a route that is written as tenant/name.
func nameWithin(name, tenant string) string { return strings.TrimPrefix(name, tenant+"/") }

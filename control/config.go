package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// A Change is one thing that a new city.toml makes different.
type Change struct {
	// What is: tenant added, tenant removed, domain added, domain removed, route added,
	// route changed, route removed, mailboxes moved, postmaster changed, retention
	// changed.
	What   string `json:"what"`
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name,omitempty"` // of the domain, route or mailbox
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Count  int    `json:"count,omitempty"` // of mailboxes that it is about
}

// Planned is the answer to a check, and to an application what it did.
type Planned struct {
	Version int64    `json:"version,omitempty"` // that is in use now; 0 after a check
	Changes []Change `json:"changes"`
}

// CheckConfig has a city.toml compared with the one in use. Mistakes come as
// city.Mistakes.
func (c *Client) CheckConfig(ctx context.Context, name string, text []byte) (Planned, error) {
	var p Planned
	err := c.ask(ctx, "POST", "/config/check", url.Values{"name": {name}}, text, nil, &p)
	return p, err
}

// ApplyConfig makes a city.toml the one in use. Mistakes come as city.Mistakes, and
// nothing changes.
func (c *Client) ApplyConfig(ctx context.Context, name string, text []byte) (Planned, error) {
	var p Planned
	err := c.ask(ctx, "POST", "/config/apply", url.Values{"name": {name}}, text, nil, &p)
	return p, err
}

func (d *Desk) checkConfig(ctx context.Context, c *call) (any, error) {
	p, _, _, err := d.plan(ctx, c)
	return p, err
}

// plan reads a city.toml and compares it with the one in use.
func (d *Desk) plan(ctx context.Context, c *call) (Planned, *city.City, []byte, error) {
	text, err := io.ReadAll(c.body)
	if err != nil {
		return Planned{}, nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	next, err := city.Parse(c.query.Get("name"), text)
	if err != nil {
		return Planned{}, nil, nil, err
	}
	dir := d.opts.House.Directory()
	if err := refuseRemoved(dir, next); err != nil {
		return Planned{}, nil, nil, err
	}
	if err := d.refuseLeaving(ctx, dir, next); err != nil {
		return Planned{}, nil, nil, err
	}
	return Planned{Changes: compare(dir, next)}, next, text, nil
}

// refuseRemoved refuses a city without a tenant that still has mailboxes: mail may wait
// for them, and it would have nowhere to go.
func refuseRemoved(dir *city.Directory, next *city.City) error {
	for _, t := range dir.City().Tenants {
		if _, stays := next.Tenant(t.Name); stays {
			continue
		}
		id, _ := dir.TenantNamed(t.Name)
		for m := range dir.All() {
			if m.Tenant == id {
				return invalid("the tenant " + t.Name + " has mailboxes and cannot be left out: mail may wait for them. Was it renamed? A name stays for ever")
			}
		}
	}
	return nil
}

// refuseLeaving refuses to send the mail of a mailbox to a groupware when older mail of
// it lies only here: nothing carries that over yet, and retention would remove it.
func (d *Desk) refuseLeaving(ctx context.Context, dir *city.Directory, next *city.City) error {
	for m := range dir.All() {
		was, ok := dir.RouteOf(m.ID)
		t, stays := next.Tenant(dir.TenantName(m.Tenant))
		if !ok || !was.Here || !stays || t.Route(m.Address.Domain).Here {
			continue
		}
		mail := false
		f := store.Filter{Tenant: m.Tenant, Mailbox: m.ID, Limit: 1}
		err := d.opts.Store.Deliveries(ctx, f, func(store.Item) error {
			mail = true
			return nil
		})
		if err != nil {
			return fmt.Errorf("look for mail that lies here: %w", err)
		}
		if mail {
			return invalid("mail of " + m.Address.String() + " lies only here (route here) and cannot be carried to a groupware yet: its route must stay")
		}
	}
	return nil
}

func (d *Desk) applyConfig(ctx context.Context, c *call) (any, error) {
	d.change.Lock()
	defer d.change.Unlock()
	p, next, text, err := d.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	used, err := d.opts.Store.Config(ctx, 0)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		return nil, fmt.Errorf("read the configuration in use: %w", err)
	}
	if err == nil && bytes.Equal(used.Text, text) && len(p.Changes) == 0 {
		p.Version = used.Version
		return p, nil // lanes are left alone
	}
	if p.Version, err = d.install(ctx, next, text, c.by); err != nil {
		return nil, err
	}
	d.opts.Log.InfoContext(ctx, "configuration applied", "version", p.Version, "by", c.by, "changes", len(p.Changes))
	return p, nil
}

// install writes the version, notes it in the ledger and makes the node use it. The
// version is written before it is used: after a crash in between, the node starts with
// it.
func (d *Desk) install(ctx context.Context, next *city.City, text []byte, by string) (int64, error) {
	tenants, err := d.opts.Store.PutTenants(ctx, next.Names())
	if err != nil {
		return 0, fmt.Errorf("write the tenants: %w", err)
	}
	if err := d.opts.House.Prepare(ctx, tenants); err != nil {
		return 0, fmt.Errorf("prepare the tenants: %w", err)
	}
	now := d.opts.Clock()
	version, err := d.opts.Store.PutConfig(ctx, store.ConfigVersion{Text: text, By: by, At: now})
	if err != nil {
		return 0, fmt.Errorf("write the configuration: %w", err)
	}
	note := fmt.Sprintf("version %d of city.toml by %s", version, by)
	if err := d.opts.Store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: now, By: by, Note: note}); err != nil {
		return version, fmt.Errorf("note the configuration in the ledger: %w", err)
	}
	boxes := slices.Collect(d.opts.House.Directory().All())
	if err := d.opts.House.Install(ctx, city.NewDirectory(next, tenants, boxes)); err != nil {
		return version, fmt.Errorf("use the configuration: %w", err)
	}
	return version, nil
}

// compare says what next makes different.
func compare(dir *city.Directory, next *city.City) []Change {
	changes := []Change{}
	old := dir.City()
	if old.RetentionDays != next.RetentionDays {
		changes = append(changes, Change{What: "retention changed", From: fmt.Sprint(old.RetentionDays), To: fmt.Sprint(next.RetentionDays)})
	}
	for _, t := range next.Tenants {
		before, existed := old.Tenant(t.Name)
		if !existed {
			changes = append(changes, Change{What: "tenant added", Tenant: t.Name})
			continue
		}
		if before.Postmaster != t.Postmaster {
			changes = append(changes, Change{What: "postmaster changed", Tenant: t.Name, From: before.Postmaster.String(), To: t.Postmaster.String()})
		}
		changes = append(changes, compareDomains(dir, before, t)...)
		changes = append(changes, compareRoutes(before, t)...)
		changes = append(changes, compareMailboxes(dir, before, t)...)
	}
	for _, t := range old.Tenants {
		if _, stays := next.Tenant(t.Name); !stays {
			changes = append(changes, Change{What: "tenant removed", Tenant: t.Name})
		}
	}
	return changes
}

func compareDomains(dir *city.Directory, before, after city.Tenant) []Change {
	var changes []Change
	for _, name := range after.Domains {
		if !slices.Contains(before.Domains, name) {
			changes = append(changes, Change{What: "domain added", Tenant: after.Name, Name: name})
		}
	}
	for _, name := range before.Domains {
		if slices.Contains(after.Domains, name) {
			continue
		}
		c := Change{What: "domain removed", Tenant: after.Name, Name: name}
		for m := range dir.All() {
			if m.Address.Domain == name {
				c.Count++
			}
		}
		changes = append(changes, c)
	}
	return changes
}

func compareRoutes(before, after city.Tenant) []Change {
	var changes []Change
	find := func(t city.Tenant, name string) *city.Route {
		i := slices.IndexFunc(t.Routes, func(r *city.Route) bool { return r.Name == name })
		if i < 0 {
			return nil
		}
		return t.Routes[i]
	}
	for _, r := range after.Routes {
		was := find(before, r.Name)
		switch {
		case was == nil:
			changes = append(changes, Change{What: "route added", Tenant: after.Name, Name: r.Name, To: r.String()})
		case was.String() != r.String():
			changes = append(changes, Change{What: "route changed", Tenant: after.Name, Name: r.Name, From: was.String(), To: r.String()})
		}
	}
	for _, r := range before.Routes {
		if find(after, r.Name) == nil {
			changes = append(changes, Change{What: "route removed", Tenant: after.Name, Name: r.Name, From: r.String()})
		}
	}
	return changes
}

// compareMailboxes counts the mailboxes whose mail goes another way.
func compareMailboxes(dir *city.Directory, before, after city.Tenant) []Change {
	type way struct{ from, to string }
	moved := map[way]int{}
	id, _ := dir.TenantNamed(after.Name)
	for m := range dir.All() {
		if m.Tenant != id {
			continue
		}
		w := way{before.Route(m.Address.Domain).Name, after.Route(m.Address.Domain).Name}
		if w.from != w.to {
			moved[w]++
		}
	}
	var changes []Change
	for w, n := range moved {
		changes = append(changes, Change{What: "mailboxes moved", Tenant: after.Name, From: w.from, To: w.to, Count: n})
	}
	slices.SortFunc(changes, func(a, b Change) int { return b.Count - a.Count })
	return changes
}

package control

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/city"
)

// A Change is one thing that a new city.toml makes different.
type Change struct {
	// What is: tenant added, tenant removed, domain added, domain removed, route added,
	// route changed, route removed, mailboxes moved, mailboxes left, mailboxes stay,
	// postmaster changed, setting added, setting changed, setting removed.
	What   string `json:"what"`
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name,omitempty"` // of the domain, route or setting
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Count  int    `json:"count,omitempty"` // of mailboxes that it concerns
}

// plan says what next makes different for whom. before and after are the texts.
func plan(dir *city.Directory, next *city.City, before, after []byte) Planned {
	future := city.NewDirectory(next, dir.Tenants(), slices.Collect(dir.All())).Under(dir.Decided())
	f := compareMailboxes(dir, future)
	p := Planned{Changes: []Change{}, Mailboxes: dir.Len()}
	old := dir.City()
	for _, t := range next.Tenants {
		was, existed := old.Tenant(t.Name)
		if !existed {
			p.Changes = append(p.Changes, Change{What: "tenant added", Tenant: t.Name})
			continue
		}
		if was.Postmaster != t.Postmaster {
			p.Changes = append(p.Changes, Change{What: "postmaster changed", Tenant: t.Name, From: was.Postmaster.String(), To: t.Postmaster.String()})
		}
		id, _ := dir.TenantNamed(t.Name)
		fate := f[id]
		p.Changes = append(p.Changes, compareDomains(dir, was, t)...)
		p.Changes = append(p.Changes, compareRoutes(was, t, fate)...)
		p.Changes = append(p.Changes, fate.changes(t.Name)...)
		p.Moves += fate.moves
		if shareOf(old, fate.moves, fate.all) {
			p.Confirm = 1
		}
	}
	for _, t := range old.Tenants {
		if _, stays := next.Tenant(t.Name); !stays {
			id, _ := dir.TenantNamed(t.Name)
			p.Changes = append(p.Changes, Change{What: "tenant removed", Tenant: t.Name, Count: mailboxesOf(dir, id)})
		}
	}
	p.Changes = append(p.Changes, compareSettings(before, after)...)
	for _, t := range next.Tenants {
		for _, r := range t.Routes {
			if !r.Here && (r.IMAP == nil || r.IMAP.AppendAfter == 0) {
				p.Dateless = append(p.Dateless, r.Key())
			}
		}
	}
	if p.Confirm != 0 {
		p.Confirm = p.Moves // whatever tenant made it necessary, all of it is confirmed
	}
	return p
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

func compareRoutes(before, after city.Tenant, f *fate) []Change {
	var changes []Change
	for _, r := range after.Routes {
		was, existed := before.Named(r.Name)
		switch {
		case !existed:
			changes = append(changes, Change{What: "route added", Tenant: after.Name, Name: r.Name, To: r.String(), Count: f.after[r.Name]})
		case was.String() != r.String():
			changes = append(changes, Change{What: "route changed", Tenant: after.Name, Name: r.Name, From: was.String(), To: r.String(), Count: f.after[r.Name]})
		}
	}
	for _, r := range before.Routes {
		if _, stays := after.Named(r.Name); !stays {
			changes = append(changes, Change{What: "route removed", Tenant: after.Name, Name: r.Name, From: r.String(), Count: f.before[r.Name]})
		}
	}
	return changes
}

// A fate says what becomes of a tenant's mailboxes.
type fate struct {
	all           int
	moves         int                    // mailboxes whose mail goes elsewhere, or is no longer taken
	before, after map[string]int         // mailboxes by route
	moved         map[[2]*city.Route]int // by where their mail went and goes; nil: nowhere
	stay          map[string]int         // mailboxes that keep a way of their own, while others of their domain move, by route
}

// compareMailboxes follows every mailbox from one directory to the next.
func compareMailboxes(dir, future *city.Directory) map[doppelboden.TenantID]*fate {
	all := map[doppelboden.TenantID]*fate{}
	for _, t := range dir.Tenants() {
		all[t.ID] = &fate{before: map[string]int{}, after: map[string]int{}, moved: map[[2]*city.Route]int{}, stay: map[string]int{}}
	}
	for m := range dir.All() {
		f := all[m.Tenant]
		if f == nil {
			continue // its tenant was left out before
		}
		f.all++
		was, is := wayOf(dir, m), wayOf(future, m)
		if was != nil {
			f.before[was.Name]++
		}
		if is != nil {
			f.after[is.Name]++
		}
		switch _, own := future.WayOf(m.ID); {
		case elsewhere(was, is):
			f.moves++
			f.moved[[2]*city.Route{was, is}]++
		case own && is != nil && elsewhere(domainRoute(dir, m), domainRoute(future, m)):
			f.stay[is.Name]++
		}
	}
	return all
}

// wayOf returns the route of mail that strangers send to a mailbox, or nil when it is not
// taken.
func wayOf(dir *city.Directory, m doppelboden.Mailbox) *city.Route {
	if t, ok := dir.TenantOf(m.Address.Domain); !ok || t != m.Tenant {
		return nil
	}
	r, _ := dir.RouteOf(m.ID)
	return r
}

// domainRoute returns the route that the configuration says for a mailbox.
func domainRoute(dir *city.Directory, m doppelboden.Mailbox) *city.Route {
	t, ok := dir.City().Tenant(dir.TenantName(m.Tenant))
	if !ok {
		return nil
	}
	return t.Route(m.Address.Domain)
}

// elsewhere reports whether mail arrives at another place: by a route of another name, at
// another first server, or nowhere.
func elsewhere(was, is *city.Route) bool {
	if was == nil || is == nil {
		return was != nil
	}
	return was.Key() != is.Key() || was.Here != is.Here || !was.Here && was.Hosts[0] != is.Hosts[0]
}

// changes tells the fate of a tenant's mailboxes, the greatest number first.
func (f *fate) changes(tenant string) []Change {
	var changes []Change
	for way, n := range f.moved {
		c := Change{What: "mailboxes moved", Tenant: tenant, From: way[0].Name, Count: n}
		switch to := way[1]; {
		case to == nil:
			c.What = "mailboxes left"
		case to.Name == c.From: // the name says nothing about what is different
			c.From, c.To = way[0].Name+" ("+first(way[0])+")", to.Name+" ("+first(to)+")"
		default:
			c.To = to.Name
		}
		changes = append(changes, c)
	}
	for route, n := range f.stay {
		changes = append(changes, Change{What: "mailboxes stay", Tenant: tenant, To: route, Count: n})
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.What, b.What), b.Count-a.Count, cmp.Compare(a.To, b.To))
	})
	return changes
}

// first returns where a route leads first.
func first(r *city.Route) string {
	if r.Here {
		return "here"
	}
	return r.Hosts[0].String()
}

// compareSettings tells of everything that is written differently and that no other change
// speaks of.
func compareSettings(before, after []byte) []Change {
	was, is := city.Settings(before), city.Settings(after)
	paths := map[string]bool{}
	for _, all := range []map[string]string{was, is} {
		for path := range all {
			paths[path] = true
		}
	}
	var changes []Change
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if was[path] == is[path] || spokenOf(path) {
			continue
		}
		c := Change{What: "setting changed", Name: path, From: was[path], To: is[path]}
		if _, existed := was[path]; !existed {
			c.What = "setting added"
		}
		if _, exists := is[path]; !exists {
			c.What = "setting removed"
		}
		changes = append(changes, c)
	}
	return changes
}

// spokenOf reports whether changes of a setting are told in words of their own.
func spokenOf(path string) bool {
	parts := strings.Split(path, ".")
	if parts[0] != "tenant" || len(parts) < 3 {
		return false
	}
	switch parts[2] {
	case "name", "domains", "postmaster", "default_route":
		return true
	case "route":
		return len(parts) == 5 && slices.Contains([]string{"name", "domains", "here", "hosts", "connections", "tls"}, parts[4])
	}
	return false
}

// shareOf reports whether n of a tenant's mailboxes are more than may be moved without
// asking.
func shareOf(c *city.City, n, all int) bool { return n*100 > c.ConfirmPercent*all }

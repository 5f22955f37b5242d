package directory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"doppelboden"
)

// maxNotes bounds how much is told of entries that cannot be used as they are.
const maxNotes = 20

// A Listed is what a directory lists, checked and in our words.
type Listed struct {
	Mailboxes []doppelboden.Mailbox // and lists; without numbers and priorities
	Foreign   int                   // entries without an address in the tenant's domains
	Disabled  int                   // accounts that must not get mail
	Notes     []string              // what is wrong with entries, at most maxNotes
	Wrong     int                   // how many notes there would be
}

// note keeps what is wrong with an entry.
func (l *Listed) note(format string, args ...any) {
	if l.Wrong++; len(l.Notes) < maxNotes {
		l.Notes = append(l.Notes, clean(fmt.Sprintf(format, args...), 300))
	}
}

// A tenant is whom a directory belongs to.
type Tenant struct {
	ID     doppelboden.TenantID
	Source string                   // the directory's name
	Owns   func(domain string) bool // whether a domain is one of the tenant's
}

// Compose makes mailboxes and lists of a directory's entries. What cannot be used is
// noted, and left out. The same entries in another order give the same result.
func Compose(entries []Entry, t Tenant) *Listed {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.DN, b.DN)) })
	c := composer{Listed: &Listed{}, t: t, owners: map[string]int{}, byDN: make(map[string]member, len(entries))}
	for i := range entries {
		c.own(&entries[i])
	}
	for i := range c.taken {
		c.aliases(&c.taken[i])
	}
	for i := range c.taken {
		c.members(&c.taken[i])
	}
	for i := range c.taken {
		c.openers(&c.taken[i])
	}
	for i := range c.taken {
		c.Mailboxes = append(c.Mailboxes, c.taken[i].box)
	}
	return c.Listed
}

// A composer is a Compose under way.
type composer struct {
	*Listed
	t      Tenant
	owners map[string]int    // Address.Key → index in taken
	byDN   map[string]member // name as nameKey has it
	taken  []composed
}

// composed is an entry that became a mailbox or list.
type composed struct {
	entry *Entry
	box   doppelboden.Mailbox
}

// A member is what an entry means in a list.
type member struct {
	address doppelboden.Address
	none    bool // it is known, and gets no mail
}

// own finds out an entry's own address.
func (c *composer) own(e *Entry) {
	name := nameKey(e.DN)
	switch e.Class {
	case Disabled:
		c.Disabled++
		c.byDN[name] = member{none: true}
		return
	case Contact:
		for _, written := range e.Addresses {
			if a, err := doppelboden.ParseAddress(written); err == nil {
				c.byDN[name] = member{address: a}
				return
			}
		}
		return
	}
	for _, written := range e.Addresses {
		a, err := doppelboden.ParseAddress(strings.TrimSpace(written))
		if err != nil {
			c.note("%s: %s", e.DN, doppelboden.PublicOf(err))
			continue
		}
		if !c.t.Owns(a.Domain) {
			continue
		}
		if other, twice := c.owners[a.Key()]; twice {
			c.note("%s has the address %s of %s, and is left out", e.DN, a, c.taken[other].entry.DN)
			return
		}
		c.take(e, a, name)
		return
	}
	c.Foreign++
}

// take makes a mailbox or list of an entry.
func (c *composer) take(e *Entry, a doppelboden.Address, name string) {
	c.owners[a.Key()] = len(c.taken)
	c.byDN[name] = member{address: a}
	box := doppelboden.Mailbox{Tenant: c.t.ID, Source: c.t.Source, External: e.ID, Address: a, Name: e.Name, Kind: e.Kind,
		Department: e.Department, Building: e.Building, Phone: e.Phone, Priority: doppelboden.DefaultPriority}
	if e.Class == List {
		box.Kind, box.Closed = doppelboden.List, e.Closed
	}
	c.taken = append(c.taken, composed{entry: e, box: box})
}

// aliases adds the further addresses of a mailbox, unless somebody has them.
func (c *composer) aliases(m *composed) {
	for _, written := range m.entry.Addresses {
		a, err := doppelboden.ParseAddress(strings.TrimSpace(written))
		if err != nil || !c.t.Owns(a.Domain) || a.Key() == m.box.Address.Key() {
			continue
		}
		owner, taken := c.owners[a.Key()]
		switch {
		case !taken:
			c.owners[a.Key()] = c.owners[m.box.Address.Key()]
			m.box.Aliases = append(m.box.Aliases, a)
		case owner != c.owners[m.box.Address.Key()]:
			c.note("%s has the address %s of %s, which keeps it", m.entry.DN, a, c.taken[owner].entry.DN)
		}
	}
	slices.SortFunc(m.box.Aliases, func(a, b doppelboden.Address) int { return cmp.Compare(a.Key(), b.Key()) })
}

// members finds out who is in a list.
func (c *composer) members(m *composed) {
	if m.entry.Class != List {
		return
	}
	seen := map[string]bool{}
	add := func(a doppelboden.Address) {
		if !seen[a.Key()] {
			seen[a.Key()] = true
			m.box.Members = append(m.box.Members, a)
		}
	}
	for _, dn := range m.entry.Members {
		who, known := c.byDN[nameKey(dn)]
		switch {
		case !known:
			c.note("%s: the member %s has no address", m.entry.DN, dn)
		case !who.none:
			add(who.address)
		}
	}
	for _, written := range m.entry.Outside {
		a, err := doppelboden.ParseAddress(strings.TrimSpace(written))
		if err != nil {
			c.note("%s: member %q: %s", m.entry.DN, clean(written, 100), doppelboden.PublicOf(err))
			continue
		}
		add(a)
	}
	slices.SortFunc(m.box.Members, func(a, b doppelboden.Address) int { return cmp.Compare(a.Key(), b.Key()) })
}

// openers finds out who may open a function mailbox: people, and those whom groups among
// them list.
func (c *composer) openers(m *composed) {
	if m.entry.Class != Mailbox || m.box.Kind != doppelboden.Function {
		return
	}
	w := opening{c: c, seen: map[string]bool{m.box.Address.Key(): true}, people: map[string]doppelboden.Address{}}
	for _, written := range m.entry.Openers {
		if who, known := c.byDN[nameKey(written)]; known {
			if !who.none {
				w.add(who.address)
			}
			continue
		}
		a, err := doppelboden.ParseAddress(strings.TrimSpace(written))
		if err != nil {
			c.note("%s: %s, who may open it, has no address", m.entry.DN, clean(written, 100))
			continue
		}
		w.add(a)
	}
	for _, a := range w.people {
		m.box.Members = append(m.box.Members, a)
	}
	slices.SortFunc(m.box.Members, func(a, b doppelboden.Address) int { return cmp.Compare(a.Key(), b.Key()) })
}

// opening gathers who may open one mailbox.
type opening struct {
	c      *composer
	seen   map[string]bool                // by Address.Key: groups may hold each other
	people map[string]doppelboden.Address // by Address.Key
}

// add adds a person, or the members of a group. Nobody else can open anything: neither who
// is outside nor another function.
func (w *opening) add(a doppelboden.Address) {
	i, ours := w.c.owners[a.Key()]
	if !ours || w.seen[a.Key()] {
		return
	}
	w.seen[a.Key()] = true
	box := &w.c.taken[i].box
	switch box.Kind {
	case doppelboden.Person:
		w.people[box.Address.Key()] = box.Address
	case doppelboden.List:
		for _, m := range box.Members {
			w.add(m)
		}
	}
}

// nameKey returns what two spellings of one name have in common: RFC 4514, with values
// that do not differ by case, as it is with everything that people are named by. The
// unique identifier of a uniqueMember (RFC 4517, section 3.3.21) is left out.
func nameKey(dn string) string {
	if before, _, found := strings.Cut(dn, "#'"); found && strings.HasSuffix(dn, "'B") {
		dn = before
	}
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	var b strings.Builder
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			fmt.Fprintf(&b, "%q=%q+", strings.ToLower(a.Type), strings.ToLower(a.Value))
		}
		b.WriteByte(',')
	}
	return b.String()
}

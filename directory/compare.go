package directory

import (
	"cmp"
	"fmt"
	"slices"

	"doppelboden"
)

// A Change is what a list makes different.
type Change struct {
	Put     []doppelboden.Mailbox   // new and changed ones; those that exist have their number
	Retire  []doppelboden.MailboxID // those that the source listed and lists no more
	New     int                     // of Put
	Changed int                     // of Put
	Lost    int                     // addresses that would no longer be taken, and lists and function mailboxes that would have no member
	Of      int                     // addresses that the source's mailboxes had
	Notes   []string                // mailboxes that are somebody else's already
	Keep    []doppelboden.Mailbox   // function mailboxes that become the source's, as they were, when people may have said who may open them
}

// Compare says what a list makes different. known are all mailboxes of the tenant, also
// those that are gone.
//
// A mailbox is known again by what the source calls it, else by its address. One that
// people have added becomes the source's. Its priority stays: people give it. A person's
// mailbox stays a person's, whatever the source calls it: else who may write into the
// directory could read it, as one of those to whom it belongs.
func Compare(known, listed []doppelboden.Mailbox, source string) *Change {
	c := comparison{Change: &Change{}, source: source, byExternal: map[string]int{}, byKey: map[string]int{},
		gone: map[string]int{}, matched: make([]bool, len(known)), stays: make([]bool, len(known)), known: known}
	c.index()
	for i := range listed {
		c.match(listed[i])
	}
	for i, b := range known {
		if b.Source == source && b.Gone.IsZero() && !c.matched[i] {
			c.Retire = append(c.Retire, b.ID)
		}
	}
	c.lost(listed)
	return c.Change
}

// A comparison is a Compare under way.
type comparison struct {
	*Change
	source     string
	known      []doppelboden.Mailbox
	byExternal map[string]int // index in known
	byKey      map[string]int // of addresses and aliases of those that are not gone
	gone       map[string]int // of addresses of those that are
	matched    []bool
	stays      []bool // listed in a way that is not taken over: they are as they were
}

func (c *comparison) index() {
	for i := range c.known {
		b := &c.known[i]
		if b.Source == c.source && b.External != "" {
			// One that lives goes before one that is gone.
			if other, twice := c.byExternal[b.External]; !twice || !c.known[other].Gone.IsZero() {
				c.byExternal[b.External] = i
			}
		}
		if !b.Gone.IsZero() {
			c.gone[b.Address.Key()] = i
			continue
		}
		c.byKey[b.Address.Key()] = i
		for _, a := range b.Aliases {
			c.byKey[a.Key()] = i
		}
	}
}

// match finds the mailbox that a listed one is, and notes what is different.
func (c *comparison) match(box doppelboden.Mailbox) {
	i, found := c.byExternal[box.External]
	if box.External == "" || !found || c.matched[i] || left(&c.known[i], &box) {
		i, found = c.byAddress(box)
	}
	if !found {
		if owner, taken := c.byKey[box.Address.Key()]; taken && c.known[owner].Source != c.source {
			c.Notes = append(c.Notes, fmt.Sprintf("%s belongs to %s (%s) already", box.Address, c.known[owner].Address,
				cmp.Or(c.known[owner].Source, "added by hand")))
			return
		}
		c.New++
		c.Put = append(c.Put, box)
		return
	}
	c.matched[i] = true
	was := c.known[i]
	if was.Kind == doppelboden.Person && box.Kind != doppelboden.Person {
		c.stays[i] = true
		c.Notes = append(c.Notes, personal(was, box.Kind))
		return
	}
	if was.Source == "" && was.Kind == doppelboden.Function && box.Kind == doppelboden.Function && was.Gone.IsZero() && len(was.Members) > 0 {
		c.Keep = append(c.Keep, was)
	}
	box.ID, box.Priority = was.ID, was.Priority
	switch {
	case !was.Gone.IsZero():
		c.New++
	case same(was, box):
		return
	default:
		c.Changed++
	}
	c.Put = append(c.Put, box)
}

// personal says that a person's mailbox stays one, and how people make it another kind.
func personal(was doppelboden.Mailbox, kind doppelboden.MailboxKind) string {
	members := ""
	if kind == doppelboden.List {
		members = " --member ADDRESS"
	}
	return fmt.Sprintf("%s is a person's mailbox here and stays one. If it has become a %s: doppelboden mailbox add %s --kind %s --priority %d%s",
		was.Address, kind, was.Address, kind, was.Priority, members)
}

// byAddress finds a mailbox by its own address: one of the source's, one that people
// added, or one that is gone.
func (c *comparison) byAddress(box doppelboden.Mailbox) (int, bool) {
	key := box.Address.Key()
	if i, ok := c.byKey[key]; ok {
		b := &c.known[i]
		ours := b.Source == c.source || b.Source == ""
		return i, ours && !another(b, &box) && b.Address.Key() == key && !c.matched[i]
	}
	i, ok := c.gone[key]
	return i, ok && !c.matched[i] && !another(&c.known[i], &box) && !left(&c.known[i], &box)
}

// left reports whether a mailbox is that of a person who is gone, and the listed one no
// person's. That one begins empty: nobody gets what she left behind.
func left(was, box *doppelboden.Mailbox) bool {
	return !was.Gone.IsZero() && was.Kind == doppelboden.Person && box.Kind != doppelboden.Person
}

// another reports whether two mailboxes with one address are two people's: the source
// calls them differently. A successor must not get the predecessor's mail.
func another(a, b *doppelboden.Mailbox) bool {
	return a.Source == b.Source && a.External != "" && b.External != "" && a.External != b.External
}

// same reports whether a listed mailbox is as the known one.
func same(a, b doppelboden.Mailbox) bool {
	return a.Address == b.Address && a.Name == b.Name && a.Kind == b.Kind && a.Department == b.Department && a.Building == b.Building && a.Phone == b.Phone &&
		a.Closed == b.Closed && a.Source == b.Source && a.External == b.External &&
		slices.Equal(a.Aliases, b.Aliases) && slices.Equal(a.Members, b.Members)
}

// lost counts what the list takes away.
func (c *comparison) lost(listed []doppelboden.Mailbox) {
	after := map[string]bool{}
	peopled := map[string]bool{} // lists and function mailboxes with members
	keep := func(b *doppelboden.Mailbox) {
		after[b.Address.Key()] = true
		for _, a := range b.Aliases {
			after[a.Key()] = true
		}
		peopled[b.Address.Key()] = len(b.Members) > 0
	}
	for i := range listed {
		keep(&listed[i])
	}
	for i := range c.known {
		if b := &c.known[i]; c.stays[i] || b.Source != c.source && b.Gone.IsZero() && !c.matched[i] {
			keep(b)
		}
	}
	for i := range c.known {
		b := &c.known[i]
		if b.Source != c.source || !b.Gone.IsZero() {
			continue
		}
		for _, a := range append([]doppelboden.Address{b.Address}, b.Aliases...) {
			c.Of++
			if !after[a.Key()] {
				c.Lost++
			}
		}
		if key := b.Address.Key(); len(b.Members) > 0 && after[key] && !peopled[key] {
			c.Lost++
		}
	}
}

// leastAllowed is how many addresses a reading may take away whatever their share: in a
// small office one who leaves is more than five percent.
const leastAllowed = 5

// Allowed returns how many of a source's addresses one reading may take away by itself:
// so many percent, at least leastAllowed, but never more than half of them.
func Allowed(of, percent int) int {
	return min(max(of*percent/100, leastAllowed), of/2)
}

package city

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
)

// A Directory says whose mailbox an address is. It is a snapshot: what it says never
// changes, and it may be asked by any number of goroutines. A change makes a new one
// (With).
type Directory struct {
	city     *City
	tenants  []doppelboden.Tenant
	places   map[doppelboden.MailboxID]*place
	domains  map[string]*domain
	keys     map[string]*place                  // by Address.Key, of addresses and aliases
	left     map[string]time.Time               // by Address.Key: when a directory stopped to list it
	resolved sync.Map                           // MailboxID → *Resolution, of lists that were asked for
	members  atomic.Int64                       // how many members those have together
	living   int                                // mailboxes that are no lists and not gone
	also     map[doppelboden.MailboxID][]Second // of those that have any
	decided  *decisions
	shares   sync.Once
	shared   map[doppelboden.MailboxID][]doppelboden.MailboxID // by person: the functions that name her; made at the first question
	bare     *domain                                           // the domain that "postmaster" without a domain belongs to
}

// A place is a mailbox within a Directory.
type place struct {
	card
	rank  int    // its priority: its own, or that of its department
	route *Route // nil when its tenant is not in city.toml
}

// A domain is what a Directory knows of one.
type domain struct {
	tenant     doppelboden.TenantID
	listed     *bool    // shared by the tenant's domains: whether the tenant has any mailbox
	postmaster string   // Key of the address that stands in for postmaster@ and abuse@
	unknown    *Unknown // what becomes of mail for nobody; nil: it is refused
}

// A Target is where the mail for an address goes. The mail of a list goes to none itself:
// see Resolve.
type Target struct {
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID
	List     bool     // it is a distribution list
	Priority int      // of the mailbox, 0 to 9
	Route    *Route   // of the mailbox; not to be changed
	Also     []Second // where its mail goes as well; not to be changed
}

// What Lookup answers when there is no target.
var (
	errRelay  = &doppelboden.Error{Code: doppelboden.Policy, Public: "relay access denied"}
	errNoBox  = &doppelboden.Error{Code: doppelboden.NoSuchMailbox, Public: "no such mailbox"}
	errNoList = &doppelboden.Error{Code: doppelboden.MailboxListStale, Public: "cannot tell yet whether this mailbox exists, please try again later"}
)

// NewDirectory builds a directory. tenants gives the numbers of c's tenants; mailboxes
// of other tenants are left out, and so are addresses in domains that are not (or no
// longer) their tenant's. Where two mailboxes claim an address, the smaller ID has it.
func NewDirectory(c *City, tenants []doppelboden.Tenant, boxes []doppelboden.Mailbox) *Directory {
	p := press{}
	cards := make(map[doppelboden.MailboxID]card, len(boxes))
	for _, b := range boxes {
		cards[b.ID] = p.card(b)
	}
	return build(c, tenants, cards, decide(Decided{}))
}

// With returns a directory in which the given mailboxes are added, or replace those of
// the same ID. It costs as much as a new one: some 0.1 s for 100,000 mailboxes.
func (d *Directory) With(changed []doppelboden.Mailbox) *Directory {
	cards, p := d.cards(), press{}
	for _, c := range cards {
		p[*c.common] = c.common
	}
	for _, b := range changed {
		cards[b.ID] = p.card(b)
	}
	return build(d.city, d.tenants, cards, d.decided)
}

// cards returns all mailboxes by ID.
func (d *Directory) cards() map[doppelboden.MailboxID]card {
	cards := make(map[doppelboden.MailboxID]card, len(d.places))
	for id, p := range d.places {
		cards[id] = p.card
	}
	return cards
}

func build(c *City, tenants []doppelboden.Tenant, cards map[doppelboden.MailboxID]card, decided *decisions) *Directory {
	d := &Directory{
		city: c, tenants: tenants,
		places:  make(map[doppelboden.MailboxID]*place, len(cards)),
		domains: map[string]*domain{},
		keys:    make(map[string]*place, len(cards)),
		left:    map[string]time.Time{},
		also:    map[doppelboden.MailboxID][]Second{},
		decided: decided,
	}
	byID := map[doppelboden.TenantID]*Tenant{}
	listed := map[doppelboden.TenantID]*bool{}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		id, ok := idOf(tenants, t.Name)
		if !ok {
			continue
		}
		byID[id], listed[id] = t, new(bool)
		for _, name := range t.Domains {
			d.domains[name] = &domain{tenant: id, listed: listed[id], postmaster: t.Postmaster.Key(), unknown: t.unknownIn(name)}
		}
		if d.bare == nil {
			d.bare = d.domains[t.Domains[0]]
		}
	}
	places := make([]place, len(cards))
	for i, id := range slices.Sorted(maps.Keys(cards)) {
		p := &places[i]
		p.card = cards[id]
		box := p.mailbox()
		p.rank = box.Priority
		d.places[id] = p
		t, ok := byID[box.Tenant]
		if !ok {
			continue
		}
		var also []Second
		if p.route, also = decided.way(t, box); len(also) > 0 {
			d.also[id] = also
		}
		p.rank = t.priority(box)
		if !box.Gone.IsZero() {
			if box.Source != "" {
				d.left[box.Address.Key()] = box.Gone
			}
			continue
		}
		if box.Kind != doppelboden.List {
			d.living++
		}
		d.put(box.Address, p)
		for _, alias := range box.Aliases {
			d.put(alias, p)
		}
	}
	return d
}

// put lets an address lead to a mailbox.
func (d *Directory) put(a doppelboden.Address, p *place) {
	dom, ok := d.domains[a.Domain]
	if !ok || dom.tenant != p.common.tenant {
		return
	}
	*dom.listed = true
	key := a.Key()
	if d.keys[key] != nil {
		return
	}
	if written := p.written(); written == key {
		key = written // the card has it anyway
	}
	d.keys[key] = p
}

// target returns a mailbox as mail sees it.
func (d *Directory) target(p *place) Target {
	return Target{Tenant: p.common.tenant, Mailbox: p.id, List: p.common.kind == doppelboden.List, Priority: p.rank, Route: p.route, Also: d.also[p.id]}
}

func idOf(tenants []doppelboden.Tenant, name string) (doppelboden.TenantID, bool) {
	for _, t := range tenants {
		if t.Name == name {
			return t.ID, true
		}
	}
	return 0, false
}

// Lookup returns where the mail for a goes: to the mailbox with this address or alias,
// else, for user+tag, to that of user, else, for postmaster and abuse, to that of the
// tenant's postmaster. Codes: Policy when the domain is not ours; MailboxListStale when
// the tenant has no mailbox yet, or no mailbox stands behind its postmaster, for which
// a 550 would be wrong (RFC 5321, section 4.5.1); NoSuchMailbox.
func (d *Directory) Lookup(a doppelboden.Address) (Target, error) {
	dom := d.domains[a.Domain]
	local := a.Local
	if a.Domain == "" {
		// RFC 5321, section 4.1.1.3: "postmaster" needs no domain, whatever its case.
		if !strings.EqualFold(local, "postmaster") || d.bare == nil {
			return Target{}, errNoBox
		}
		return d.postmaster(d.bare)
	}
	if dom == nil {
		return Target{}, errRelay
	}
	if !*dom.listed {
		return Target{}, errNoList
	}
	if p, ok := d.keys[a.Key()]; ok {
		return d.target(p), nil
	}
	if plus := strings.IndexByte(local, '+'); plus > 0 {
		base := doppelboden.Address{Local: local[:plus], Domain: a.Domain}
		if p, ok := d.keys[base.Key()]; ok {
			return d.target(p), nil
		}
	}
	// RFC 2142, section 4: abuse is the other name that strangers must reach.
	if strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "abuse") {
		return d.postmaster(dom)
	}
	return Target{}, errNoBox
}

// postmaster returns the mailbox that stands in for postmaster@ and abuse@.
func (d *Directory) postmaster(dom *domain) (Target, error) {
	if p, ok := d.keys[dom.postmaster]; ok {
		return d.target(p), nil
	}
	return Target{}, errNoList
}

// Missing returns the postmasters' addresses behind which there is no mailbox, of
// tenants that have any: somebody must add them.
func (d *Directory) Missing() []doppelboden.Address {
	var missing []doppelboden.Address
	for _, t := range d.city.Tenants {
		dom, ok := d.domains[t.Domains[0]]
		if !ok || !*dom.listed {
			continue
		}
		if _, err := d.Lookup(t.Postmaster); err != nil {
			missing = append(missing, t.Postmaster)
		}
	}
	return missing
}

// City returns the configuration behind the directory; it is not to be changed.
func (d *Directory) City() *City { return d.city }

// All yields all mailboxes, lists and those that are gone among them, in no order.
func (d *Directory) All() iter.Seq[doppelboden.Mailbox] {
	return func(yield func(doppelboden.Mailbox) bool) {
		for _, p := range d.places {
			if !yield(p.mailbox()) {
				return
			}
		}
	}
}

// Len returns the number of mailboxes that take mail.
func (d *Directory) Len() int { return d.living }

// Mailbox returns a mailbox by its ID.
func (d *Directory) Mailbox(id doppelboden.MailboxID) (doppelboden.Mailbox, bool) {
	p, ok := d.places[id]
	if !ok {
		return doppelboden.Mailbox{}, false
	}
	return p.mailbox(), true
}

// PriorityOf returns the priority of a mailbox: its own, or that of its department.
func (d *Directory) PriorityOf(id doppelboden.MailboxID) int {
	if p, ok := d.places[id]; ok {
		return p.rank
	}
	return 0
}

// Holder returns the mailbox or list that has exactly this address or alias.
func (d *Directory) Holder(a doppelboden.Address) (doppelboden.MailboxID, bool) {
	p, ok := d.keys[a.Key()]
	if !ok {
		return 0, false
	}
	return p.id, true
}

// RouteOf returns the route of a mailbox, also when its address is no longer in a
// domain of its tenant, because mail may still wait for it.
func (d *Directory) RouteOf(id doppelboden.MailboxID) (*Route, bool) {
	p, ok := d.places[id]
	if !ok || p.route == nil {
		return nil, false
	}
	return p.route, true
}

// TenantOf returns the tenant that a domain (in A-labels) belongs to.
func (d *Directory) TenantOf(name string) (doppelboden.TenantID, bool) {
	dom, ok := d.domains[name]
	if !ok {
		return 0, false
	}
	return dom.tenant, true
}

// TenantName returns the name of a tenant, or "" for one that is not in city.toml.
func (d *Directory) TenantName(id doppelboden.TenantID) string {
	for _, t := range d.tenants {
		if t.ID == id {
			return t.Name
		}
	}
	return ""
}

// TenantNamed returns the number of the tenant with a name.
func (d *Directory) TenantNamed(name string) (doppelboden.TenantID, bool) {
	return idOf(d.tenants, name)
}

// Tenants returns the tenants that the directory was built with.
func (d *Directory) Tenants() []doppelboden.Tenant { return slices.Clone(d.tenants) }

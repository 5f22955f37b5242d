package city

import (
	"time"

	"doppelboden"
	"doppelboden/store"
)

// GoneGrace is how long an address that a directory stopped to list gets 450 instead of
// 550. Senders try for days; an entry that was lost by mistake and is back the next
// morning costs nobody a mail.
const GoneGrace = 24 * time.Hour

// A Resolution is what becomes of mail for an address: it goes to Targets and Outside, or,
// with Keep, it is held until somebody says whose it is. It is not to be changed.
type Resolution struct {
	Tenant  doppelboden.TenantID
	Targets []Found
	Outside []doppelboden.Address // members of a list who are not in our domains
	Nobody  []doppelboden.Address // members of a list whom nobody knows
	List    bool                  // the address is that of a distribution list
	Closed  bool                  // the list takes no mail from strangers
	Keep    bool                  // nobody has the address
}

// Found is one mailbox that mail goes to.
type Found struct {
	Target
	// Address is whom the next server is to be asked for, where that is not the address
	// as it was written; else null.
	Address doppelboden.Address
}

// errEmpty is the answer for a list that nobody is a member of.
var errEmpty = &doppelboden.Error{Code: doppelboden.NoSuchMailbox, Public: "this list has no members"}

// Resolve returns what becomes of mail for a. Lists are resolved down to their mailboxes,
// each of which stands there once, however often and in however many circles the lists
// name it. Where nobody has the address, it is as the tenant wants: a catch-all, kept, or
// refused. Codes: those of Lookup; MailboxListStale also while f says that the list of
// mailboxes is too old to tell, and for an address that was listed until yesterday.
func (d *Directory) Resolve(a doppelboden.Address, f *Freshness, now time.Time) (Resolution, error) {
	t, err := d.Lookup(a)
	if err == nil {
		return d.resolution(t, doppelboden.Address{})
	}
	dom := d.domains[a.Domain]
	if dom == nil {
		return Resolution{}, err
	}
	if u := dom.unknown; u != nil {
		if u.Keep {
			return Resolution{Tenant: dom.tenant, Keep: true}, nil
		}
		if t, err := d.Lookup(u.CatchAll); err == nil {
			return d.resolution(t, d.places[t.Mailbox].address())
		}
		return Resolution{}, errNoList // 550 would be wrong: somebody wanted all mail
	}
	gone, left := d.left[a.Key()]
	if f.Stale(dom.tenant, now) || left && now.Sub(gone) < GoneGrace {
		return Resolution{}, errNoList
	}
	return Resolution{}, err
}

// resolution returns where the mail for a target goes.
func (d *Directory) resolution(t Target, address doppelboden.Address) (Resolution, error) {
	if !t.List {
		return Resolution{Tenant: t.Tenant, Targets: []Found{{Target: t, Address: address}}}, nil
	}
	r := d.list(t)
	switch {
	case len(r.Targets)+len(r.Outside) > 0:
		return *r, nil
	case len(r.Nobody) > 0:
		return *r, errNoList // they may be there again tomorrow
	}
	return *r, errEmpty
}

// maxResolved bounds the memory for lists that were resolved once, in members.
const maxResolved = 200_000

// list resolves a list, or remembers it: everybody may name a list of ten thousand, and
// in every command.
func (d *Directory) list(t Target) *Resolution {
	if r, ok := d.resolved.Load(t.Mailbox); ok {
		return r.(*Resolution)
	}
	r := &Resolution{Tenant: t.Tenant, List: true, Closed: d.places[t.Mailbox].common.closed}
	w := walk{d: d, to: r, seen: map[doppelboden.MailboxID]bool{}, outside: map[string]bool{}}
	w.list(t.Mailbox)
	size := int64(len(r.Targets) + len(r.Outside) + len(r.Nobody) + 1)
	if d.members.Add(size) <= maxResolved {
		d.resolved.Store(t.Mailbox, r)
	} else {
		d.members.Add(-size)
	}
	return r
}

// A walk goes through a list and those within it.
type walk struct {
	d       *Directory
	to      *Resolution
	seen    map[doppelboden.MailboxID]bool // mailboxes and lists
	outside map[string]bool
}

// list adds the members of a list that was not seen yet.
func (w *walk) list(id doppelboden.MailboxID) {
	w.seen[id] = true
	for _, m := range w.d.places[id].mailbox().Members {
		t, err := w.d.Lookup(m)
		switch {
		case err == nil && t.Tenant == w.to.Tenant:
			w.member(t)
		case w.outside[m.Key()]:
		case err != nil && doppelboden.CodeOf(err) == doppelboden.Policy:
			w.outside[m.Key()] = true
			w.to.Outside = append(w.to.Outside, m)
		default:
			// Another tenant's address stands here too: on the way over the Internet we
			// would meet ourselves.
			w.outside[m.Key()] = true
			w.to.Nobody = append(w.to.Nobody, m)
		}
	}
}

// member adds a member, once.
func (w *walk) member(t Target) {
	switch {
	case w.seen[t.Mailbox]:
	case t.List:
		w.list(t.Mailbox)
	default:
		w.seen[t.Mailbox] = true
		w.to.Targets = append(w.to.Targets, Found{Target: t, Address: w.d.places[t.Mailbox].address()})
	}
}

// Strays are members of a list who are not our mailboxes.
type Strays struct {
	Outside []doppelboden.Address // not in our domains
	Nobody  []doppelboden.Address // in our domains, and nobody of the tenant has them
}

// Strays yields every distribution list that names somebody outside or nobody, with
// those that it names itself: lists within it are yielded on their own.
func (d *Directory) Strays(yield func(list doppelboden.Mailbox, s Strays) bool) {
	for _, p := range d.places {
		if p.common.kind != doppelboden.List {
			continue
		}
		box := p.mailbox()
		if !box.Gone.IsZero() {
			continue
		}
		var s Strays
		for _, m := range box.Members {
			t, err := d.Lookup(m)
			switch {
			case err == nil && t.Tenant == box.Tenant:
			case err == nil || doppelboden.CodeOf(err) == doppelboden.Policy:
				s.Outside = append(s.Outside, m)
			default:
				s.Nobody = append(s.Nobody, m)
			}
		}
		if len(s.Outside)+len(s.Nobody) > 0 && !yield(box, s) {
			return
		}
	}
}

// A Freshness says until when each tenant's list of mailboxes proves that somebody does
// not exist. It never changes.
type Freshness struct {
	until map[doppelboden.TenantID]time.Time // of tenants whose list can become too old
}

// NewFreshness returns the freshness of the tenants' lists.
func NewFreshness(c *City, tenants []doppelboden.Tenant, listings []store.Listing) *Freshness {
	f := &Freshness{until: map[doppelboden.TenantID]time.Time{}}
	known := map[doppelboden.TenantID]map[string]store.Listing{}
	for _, l := range listings {
		if known[l.Tenant] == nil {
			known[l.Tenant] = map[string]store.Listing{}
		}
		known[l.Tenant][l.Source] = l
		if l.Writing {
			f.until[l.Tenant] = time.Time{} // what is there may be a part
		}
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		id, ok := idOf(tenants, t.Name)
		if !ok {
			continue
		}
		for _, l := range t.Directories {
			until := time.Time{} // never read: nobody knows who exists
			if read := known[id][l.Name].Read; !read.IsZero() {
				until = read.Add(l.MaxAge)
			}
			if first, ok := f.until[id]; !ok || until.Before(first) {
				f.until[id] = until
			}
		}
	}
	return f
}

// Stale reports whether a tenant's list is too old to tell that somebody does not exist.
// A nil Freshness says that no list is.
func (f *Freshness) Stale(t doppelboden.TenantID, now time.Time) bool {
	if f == nil {
		return false
	}
	until, ages := f.until[t]
	return ages && now.After(until)
}

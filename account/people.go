package account

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// PersonOf returns the person with a number. ok is false when there is none, or she has
// left.
func (r *Room) PersonOf(id PersonID) (p Person, ok bool) {
	return personIn(r.opts.Directory(), doppelboden.MailboxID(id))
}

// Find returns the person whose mailbox has an address or alias.
func (r *Room) Find(a doppelboden.Address) (Person, bool) {
	d := r.opts.Directory()
	id, ok := d.Holder(a)
	if !ok {
		return Person{}, false
	}
	return personIn(d, id)
}

// personIn returns the owner of a mailbox.
func personIn(d *city.Directory, id doppelboden.MailboxID) (Person, bool) {
	m, ok := d.Mailbox(id)
	if !ok || m.Kind != doppelboden.Person || !m.Gone.IsZero() {
		return Person{}, false
	}
	t, ok := d.City().Tenant(d.TenantName(m.Tenant))
	if !ok {
		return Person{}, false
	}
	return Person{ID: PersonID(id), Tenant: m.Tenant, Mailbox: id, Address: m.Address, Name: m.Name,
		Department: m.Department, Language: t.Accounts.Language}, true
}

// People returns everybody of a tenant by department, name and address. department is "*"
// for all, or the name of one, whose case does not matter.
func (r *Room) People(t doppelboden.TenantID, department string) []Person {
	d := r.opts.Directory()
	var all []Person
	for m := range d.All() {
		if m.Tenant != t || department != "*" && !strings.EqualFold(m.Department, department) {
			continue
		}
		if p, ok := personIn(d, m.ID); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Person) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Department), strings.ToLower(b.Department)),
			cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Address.Key(), b.Address.Key()))
	})
	return all
}

// accounts returns what city.toml says of a tenant's accounts.
func (r *Room) accounts(t doppelboden.TenantID) (city.Accounts, bool) {
	d := r.opts.Directory()
	conf, ok := d.City().Tenant(d.TenantName(t))
	return conf.Accounts, ok
}

// Grants returns the mailboxes that a person may open: her own first, then those of
// functions, then those of colleagues, each by address. Who has left has none.
func (r *Room) Grants(ctx context.Context, p PersonID) ([]Grant, error) {
	d := r.opts.Directory()
	who, ok := personIn(d, doppelboden.MailboxID(p))
	if !ok {
		return nil, nil
	}
	all := []Grant{{Mailbox: who.Mailbox, Address: who.Address, Name: who.Name, Kind: GrantOwn}}
	now := r.opts.Clock()
	err := r.opts.Store.Belongings(ctx, who.Mailbox, 0, func(b store.Belonging) error {
		if !b.Until.IsZero() && !now.Before(b.Until) || b.Tenant != who.Tenant {
			return nil
		}
		all = addGrant(d, all, Grant{Mailbox: b.Mailbox, Kind: b.Kind, Until: b.Until}, who.Tenant)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read whose mailboxes she may open: %w", err)
	}
	for _, id := range d.Shared(who.Mailbox) {
		all = addGrant(d, all, Grant{Mailbox: id, Kind: GrantFunction}, who.Tenant)
	}
	rank := map[string]int{GrantOwn: 0, GrantFunction: 1, GrantDeputy: 2}
	slices.SortStableFunc(all, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(a.Address.Key(), b.Address.Key()))
	})
	return all, nil
}

// addGrant adds a grant for a mailbox that is still there, once.
func addGrant(d *city.Directory, all []Grant, g Grant, t doppelboden.TenantID) []Grant {
	m, ok := d.Mailbox(g.Mailbox)
	if !ok || !m.Gone.IsZero() || m.Tenant != t || m.Kind == doppelboden.List {
		return all
	}
	g.Address, g.Name = m.Address, m.Name
	for i := range all {
		if all[i].Mailbox != g.Mailbox {
			continue
		}
		if all[i].Kind == GrantDeputy && g.Kind == GrantFunction {
			all[i] = g
		}
		return all
	}
	return append(all, g)
}

// MaySend reports whether a person may write in the name of an address: her own and its
// aliases, and those of mailboxes that she may open.
func (r *Room) MaySend(ctx context.Context, p PersonID, a doppelboden.Address) bool {
	id, ok := r.opts.Directory().Holder(a)
	if !ok {
		return false
	}
	grants, err := r.Grants(ctx, p)
	if err != nil {
		r.opts.Log.ErrorContext(ctx, "cannot tell in whose name somebody may write", "err", err)
		return false
	}
	return slices.ContainsFunc(grants, func(g Grant) bool { return g.Mailbox == id })
}

// Belong lets people open a mailbox, as its owners (kind GrantFunction) or as deputies, and
// notes it in the ledger. The code is Invalid for what cannot be.
func (r *Room) Belong(ctx context.Context, list []store.Belonging) error {
	return r.belong(ctx, list, r.opts.Store.PutBelongings, "may open")
}

// Unbelong takes that right away.
func (r *Room) Unbelong(ctx context.Context, list []store.Belonging) error {
	return r.belong(ctx, list, r.opts.Store.DropBelongings, "may no longer open")
}

func (r *Room) belong(ctx context.Context, list []store.Belonging, carryOut func(context.Context, []store.Belonging) error, verb string) error {
	d := r.opts.Directory()
	for _, b := range list {
		m, ok := d.Mailbox(b.Mailbox)
		who, person := personIn(d, b.Person)
		switch {
		case !ok || m.Kind == doppelboden.List || verb == "may open" && !m.Gone.IsZero():
			return invalid("there is no such mailbox")
		case !person && verb == "may open":
			return invalid("a mailbox belongs to people; this is none")
		case person && who.Tenant != m.Tenant || b.Tenant != m.Tenant:
			return invalid("a mailbox belongs to people of its own city")
		case b.Mailbox == b.Person:
			return invalid("it is her own mailbox already")
		case b.Kind == GrantFunction && m.Kind == doppelboden.Person:
			return invalid("the mailbox of a person has deputies, with an end date; it does not belong to others")
		case b.Kind == GrantDeputy && b.Until.IsZero() && verb == "may open":
			return invalid("a deputy needs an end date")
		}
	}
	if err := carryOut(ctx, list); err != nil {
		return fmt.Errorf("keep to whom mailboxes belong: %w", err)
	}
	for _, b := range list {
		if err := r.note(ctx, b.Tenant, b.By, fmt.Sprintf("person %d %s mailbox %d (%s)", b.Person, verb, b.Mailbox, b.Kind)); err != nil {
			return err
		}
	}
	return nil
}

// Belongings returns to whom a mailbox belongs by commands and pages, besides what the
// directory lists.
func (r *Room) Belongings(ctx context.Context, m doppelboden.MailboxID) ([]store.Belonging, error) {
	var all []store.Belonging
	err := r.opts.Store.Belongings(ctx, 0, m, func(b store.Belonging) error {
		all = append(all, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read to whom a mailbox belongs: %w", err)
	}
	return all, nil
}

// note writes into the ledger what somebody decided about people. It names them by number.
func (r *Room) note(ctx context.Context, t doppelboden.TenantID, by, text string) error {
	err := r.opts.Store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: r.opts.Clock(), Tenant: t, By: by, Note: "account: " + text + ", by " + by})
	if err != nil {
		return fmt.Errorf("note it in the ledger: %w", err)
	}
	return nil
}

func invalid(text string) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: text}
}

package account

import (
	"context"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// Owned says how many mailboxes of functions a department has, and which of them nobody may
// open. A directory does not know all of that: what it lacks somebody must add.
type Owned struct {
	Functions int `json:"function_mailboxes"`
	Unowned   int `json:"function_mailboxes_nobody_may_open"`
	// Nobody are those that nobody may open.
	Nobody []doppelboden.Mailbox `json:"-"`
}

// owned counts a tenant's mailboxes of functions by department in lower case.
func (r *Room) owned(ctx context.Context, t doppelboden.TenantID) (map[string]*Owned, error) {
	d, now := r.opts.Directory(), r.opts.Clock()
	opened := map[doppelboden.MailboxID]bool{}
	err := r.opts.Store.Belongings(ctx, 0, 0, func(b store.Belonging) error {
		if _, here := personIn(d, b.Person); here && (b.Until.IsZero() || now.Before(b.Until)) {
			opened[b.Mailbox] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who may open mailboxes of functions: %w", err)
	}
	all := map[string]*Owned{}
	for m := range d.All() {
		if m.Tenant != t || m.Kind != doppelboden.Function || !m.Gone.IsZero() {
			continue
		}
		key := strings.ToLower(m.Department)
		if all[key] == nil {
			all[key] = &Owned{}
		}
		all[key].Functions++
		if !opened[m.ID] && !listed(d, m) {
			all[key].Unowned++
			all[key].Nobody = append(all[key].Nobody, m)
		}
	}
	return all, nil
}

// listed reports whether a directory or list names somebody who may open a mailbox.
func listed(d *city.Directory, m doppelboden.Mailbox) bool {
	for _, a := range m.Members {
		if id, ok := d.Holder(a); ok {
			if who, person := personIn(d, id); person && who.Tenant == m.Tenant {
				return true
			}
		}
	}
	return false
}

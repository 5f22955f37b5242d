package event

import (
	"doppelboden"
	"doppelboden/city"
)

// A view is a directory with what is asked of it often. It is made anew when somebody else
// has a mailbox, or goes by another route.
type view struct {
	dir     *city.Directory
	keys    map[*city.Route]string
	onRoute map[string][]doppelboden.MailboxID // living mailboxes by the key of their own route
	used    map[string]bool                    // routes by which any mail goes

	postmaster map[doppelboden.TenantID]doppelboden.MailboxID // those whose postmaster is one mailbox
}

// newView costs some 50 ms for 100,000 mailboxes.
func newView(dir *city.Directory) *view {
	v := &view{dir: dir, keys: map[*city.Route]string{}, onRoute: map[string][]doppelboden.MailboxID{}, used: map[string]bool{},
		postmaster: map[doppelboden.TenantID]doppelboden.MailboxID{}}
	for _, t := range dir.City().Tenants {
		if to, err := dir.Lookup(t.Postmaster); err == nil && to.Mailbox > 0 {
			v.postmaster[to.Tenant] = to.Mailbox
		}
		for _, r := range t.Routes {
			v.keys[r] = r.Key()
		}
	}
	for m := range dir.All() {
		if key := v.lane(m.ID); key != "" {
			v.onRoute[key] = append(v.onRoute[key], m.ID)
			v.used[key] = true
		}
		for _, also := range dir.Also(m.ID) {
			v.used[v.keys[also.Route]] = true
		}
	}
	return v
}

// lane returns the key of a living mailbox's own route to a groupware, or "".
func (v *view) lane(id doppelboden.MailboxID) string {
	m, ok := v.dir.Mailbox(id)
	if !ok || m.Kind == doppelboden.List || !m.Gone.IsZero() {
		return ""
	}
	r, ok := v.dir.RouteOf(id)
	if !ok || r.Here {
		return ""
	}
	return v.keys[r]
}

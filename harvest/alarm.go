package harvest

import (
	"time"

	"doppelboden"
)

// Kinds of alarms; their subject is a tenant's number as text, or a route.
const (
	AlarmVanished = "vanished" // too much vanished from the groupware's mailboxes
	AlarmJournal  = "journal"  // a journal report could not be understood or kept
	AlarmFilling  = "filling"  // mailboxes of a route cannot be read
)

// toldFor is how long a journal report that was not understood is an alarm.
const toldFor = 24 * time.Hour

// An Alarm is something that a person must know.
type Alarm struct {
	Kind   string
	Tenant doppelboden.TenantID // 0 with a Route
	Route  string
	Said   doppelboden.Telling
}

// Alarms returns what is wrong now.
func (r *Room) Alarms() (list []Alarm) {
	now := r.opts.Clock()
	r.mu.Lock()
	tenants := make([]*tenant, 0, len(r.tenants))
	for _, t := range r.tenants {
		tenants = append(tenants, t)
	}
	for id, t := range r.reports {
		if now.Sub(t.at) < toldFor {
			list = append(list, Alarm{Kind: AlarmJournal, Tenant: id, Said: t.said})
		}
	}
	r.mu.Unlock()
	for _, t := range tenants {
		if n, boxes := t.vanished(); boxes > 0 {
			list = append(list, Alarm{Kind: AlarmVanished, Tenant: t.id, Said: doppelboden.Tell(
				"Much vanished at once from mailboxes of the groupware (mails: %s, mailboxes: %s). Here all of it is still to be seen. "+
					"Somebody may be deleting or encrypting mailboxes: look at the groupware. If it is meant to be so: doppelboden mailbox sync ADDRESS --confirm", n, boxes)})
		}
	}
	for _, s := range r.Status() {
		if s.Trouble != "" {
			list = append(list, Alarm{Kind: AlarmFilling, Route: s.Route, Said: doppelboden.Tell(
				"Mailboxes of %s cannot be read, so that mail between colleagues may be missing in emergency mailboxes: %s. Mail from outside is complete. "+
					"Look at [tenant.route.imap] in city.toml and at the master user of the groupware; see: doppelboden mailbox coverage", s.Route, s.Trouble)})
		}
	}
	return list
}

// vanished returns how many mails are not hidden because too many vanished, and of how many
// mailboxes.
func (t *tenant) vanished() (mails, boxes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.guarded {
		mails += n
	}
	return mails, len(t.guarded)
}

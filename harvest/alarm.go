package harvest

import (
	"maps"
	"strconv"
	"time"

	"doppelboden"
)

// Kinds of alarms; their subject is a tenant's number as text, or a route.
const (
	AlarmVanished = "vanished" // too much vanished from the groupware's mailboxes
	AlarmRestored = "restored" // the groupware was restored from a backup, and lacks what is here
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
	routes := r.opts.Routes()
	for _, t := range tenants {
		t.forget(func(m doppelboden.MailboxID) bool { return r.reads(routes, m) })
		if n, boxes, _ := t.held(&t.guarded); boxes > 0 {
			list = append(list, Alarm{Kind: AlarmVanished, Tenant: t.id, Said: doppelboden.Tell(
				"Much vanished at once from mailboxes of the groupware (mails: %s, mailboxes: %s). Here all of it is still to be seen. "+
					"Somebody may be deleting or encrypting mailboxes: look at the groupware. If it is meant to be so: doppelboden mailbox sync ADDRESS --confirm", n, boxes)})
		}
		if n, boxes, one := t.held(&t.lacking); boxes > 0 {
			list = append(list, Alarm{Kind: AlarmRestored, Tenant: t.id, Said: doppelboden.Tell(
				"The groupware lacks mail that it had: it was restored from a backup, or mailboxes were set up anew (mails: %s, mailboxes: %s, such as %s). "+
					"Here all of it stays to be seen until retention removes it. What came from outside is handed over again with: doppelboden replay. "+
					"Mail between colleagues and sent mail is here alone: its owners find it in their emergency mailboxes and can forward it to themselves. "+
					"If nobody needs it: doppelboden mailbox sync ADDRESS --confirm", n, boxes, r.addressOf(one))})
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

// reads reports whether a mailbox is read at all, though it may be left alone just now.
func (r *Room) reads(routes map[string]Route, m doppelboden.MailboxID) bool {
	key, box, ok := r.opts.Place(m)
	return ok && box.Gone.IsZero() && routes[key].Backend != nil
}

// forget forgets what is missing in mailboxes that nobody reads any more: no look finds it again,
// and nobody could confirm it.
func (t *tenant) forget(reads func(doppelboden.MailboxID) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := func(m doppelboden.MailboxID, _ int) bool { return !reads(m) }
	maps.DeleteFunc(t.guarded, left)
	maps.DeleteFunc(t.lacking, left)
	maps.DeleteFunc(t.sought, func(m doppelboden.MailboxID, _ time.Time) bool { return !reads(m) })
}

// held returns how many mails of mailboxes are not hidden, of how many mailboxes, and one of these.
func (t *tenant) held(in *map[doppelboden.MailboxID]int) (mails, boxes int, one doppelboden.MailboxID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for box, n := range *in {
		mails += n
		if one == 0 || box < one {
			one = box
		}
	}
	return mails, len(*in), one
}

// addressOf returns the address of a mailbox, or its number when it is in the directory no more.
func (r *Room) addressOf(m doppelboden.MailboxID) string {
	if _, box, ok := r.opts.Place(m); ok {
		return box.Address.String()
	}
	return strconv.FormatInt(int64(m), 10)
}

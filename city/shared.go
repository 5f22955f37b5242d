package city

import (
	"cmp"
	"slices"

	"doppelboden"
)

// Shared returns the mailboxes of functions that list the mailbox of a person among their
// members, by ID: what its directory or list says of who may open them.
func (d *Directory) Shared(person doppelboden.MailboxID) []doppelboden.MailboxID {
	d.shares.Do(func() {
		d.shared = map[doppelboden.MailboxID][]doppelboden.MailboxID{}
		for id, p := range d.places {
			if p.common.kind != doppelboden.Function {
				continue
			}
			box := p.mailbox()
			if !box.Gone.IsZero() {
				continue
			}
			for _, a := range box.Members {
				member, ok := d.keys[a.Key()]
				if !ok || member.common.tenant != box.Tenant || member.common.kind != doppelboden.Person {
					continue
				}
				if m := member.id; !slices.Contains(d.shared[m], id) {
					d.shared[m] = append(d.shared[m], id)
				}
			}
		}
		for _, list := range d.shared {
			slices.SortFunc(list, func(a, b doppelboden.MailboxID) int { return cmp.Compare(a, b) })
		}
	})
	return d.shared[person]
}

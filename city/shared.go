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
		for id, box := range d.boxes {
			if box.Kind != doppelboden.Function || !box.Gone.IsZero() {
				continue
			}
			for _, a := range box.Members {
				member, ok := d.Holder(a)
				if ok && d.boxes[member].Tenant == box.Tenant && d.boxes[member].Kind == doppelboden.Person && !slices.Contains(d.shared[member], id) {
					d.shared[member] = append(d.shared[member], id)
				}
			}
		}
		for _, list := range d.shared {
			slices.SortFunc(list, func(a, b doppelboden.MailboxID) int { return cmp.Compare(a, b) })
		}
	})
	return d.shared[person]
}

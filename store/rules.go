package store

import (
	"fmt"

	"doppelboden"
)

// What follows is the same for every engine, so it is said once.

// Acceptable reports what nobody could store or find again.
func Acceptable(m *doppelboden.Message) error {
	if m.ID.IsZero() {
		return fmt.Errorf("it has no id")
	}
	if m.Tenant <= 0 {
		return fmt.Errorf("its tenant is %d", m.Tenant)
	}
	if m.Received.IsZero() {
		return fmt.Errorf("nobody knows when it was received")
	}
	for i := range m.Deliveries {
		d := &m.Deliveries[i]
		if d.N != i {
			return fmt.Errorf("delivery %d has number %d", i, d.N)
		}
		if d.Tenant != 0 && d.Tenant != m.Tenant {
			return fmt.Errorf("delivery %d belongs to tenant %d, the message to %d", i, d.Tenant, m.Tenant)
		}
		switch d.State {
		case doppelboden.Queued, doppelboden.Held, doppelboden.Delivered:
		default:
			return fmt.Errorf("delivery %d begins in state %v", i, d.State)
		}
	}
	return nil
}

// BoxOf returns whose order a delivery waits in.
func BoxOf(d *doppelboden.Delivery) doppelboden.BoxID {
	if d.Box == 0 {
		return doppelboden.BoxID(d.Mailbox)
	}
	return d.Box
}

// A place is a folder of a mailbox.
type place struct {
	mailbox doppelboden.MailboxID
	folder  string
}

// ImpliedCopies divides the copies of a new message. inbox[i] says that the copy in the
// INBOX of delivery i's mailbox is as it is for every new mail, so that it needs no row;
// rows are the other copies, at most one for each folder.
func ImpliedCopies(m *doppelboden.Message) (inbox []bool, rows []*doppelboden.Copy) {
	inbox = make([]bool, len(m.Deliveries))
	// A list may have made thousands of them.
	own := make(map[doppelboden.MailboxID]int, len(m.Deliveries))
	for i := len(m.Deliveries) - 1; i >= 0; i-- {
		if d := &m.Deliveries[i]; BoxOf(d) == doppelboden.BoxID(d.Mailbox) {
			own[d.Mailbox] = i
		}
	}
	shown := make(map[place]bool, len(m.Copies))
	for i := range m.Copies {
		c := &m.Copies[i]
		n, mine := own[c.Mailbox]
		plain := c.Folder == doppelboden.Inbox && c.UID == 0 && c.Flags == 0 && !c.New &&
			!c.Date.IsZero() && c.Date.UnixMicro() == m.Received.UnixMicro()
		switch p := (place{c.Mailbox, c.Folder}); {
		case !plain || !mine && !shown[p]:
			rows = append(rows, c)
			shown[p] = true
		case !shown[p]:
			inbox[n] = true
			shown[p] = true
		}
	}
	return inbox, rows
}

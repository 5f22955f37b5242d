package store

import (
	"context"

	"doppelboden"
)

// Inside is what doors read of single mails in a mailbox.
type Inside interface {
	// MessageIn returns a message with its copies in one mailbox, without deliveries and
	// without copies elsewhere, at a cost that does not grow with either. NotFound, also
	// when it lies in other mailboxes alone.
	MessageIn(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, id doppelboden.ID) (*doppelboden.Message, error)

	// Texts yields, by rising UID, what is needed to read the mails of a folder with UIDs
	// from from to to, both included: ID, Tenant, Scan, Prefix and Body. Nothing else of the
	// messages is set. It holds all of them before it yields the first, so a caller asks for
	// some hundred UIDs at a time.
	Texts(ctx context.Context, at Place, from, to uint32, yield func(uid uint32, m *doppelboden.Message) error) error
}

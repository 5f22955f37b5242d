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
}

package postgres

import (
	"context"
	"errors"

	"doppelboden"
)

// MessageIn returns a message that lies in a mailbox.
func (s *Store) MessageIn(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, id doppelboden.ID) (found *doppelboden.Message, err error) {
	err = s.readFor(ctx, t, func(c *conn) error {
		found = nil
		copies, err := copiesOf(ctx, c, t, m, id)
		if err != nil {
			return err
		}
		r, err := c.one(ctx, "SELECT "+messageColumns+" FROM message m WHERE m.id = $1", id[:])
		if len(copies) == 0 || errors.Is(err, errNoRow) {
			return notFound("message")
		}
		if err == nil {
			found = readMessage(r)
			found.Copies = copies
		}
		return err
	})
	return found, err
}

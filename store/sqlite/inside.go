package sqlite

import (
	"context"
	"errors"

	"doppelboden"
)

// MessageIn returns a message that lies in a mailbox.
func (s *Store) MessageIn(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, id doppelboden.ID) (found *doppelboden.Message, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
		copies, err := copiesOf(ctx, c, t, m, id)
		if err != nil {
			return err
		}
		row, err := c.one(ctx, "SELECT "+messageColumns+" FROM message m CROSS JOIN segment g ON g.num = m.segment WHERE m.id = ?", id[:])
		if len(copies) == 0 || errors.Is(err, errNoRow) {
			return notFound("message")
		}
		if err == nil {
			found = readMessage(row)
			found.Copies = copies
		}
		return err
	})
	return found, err
}

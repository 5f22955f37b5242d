package postgres

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Notices returns the notices about a message.
func (s *Store) Notices(ctx context.Context, message doppelboden.ID) (all []store.Notice, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			all = append(all, store.Notice{ID: asID(r[0]), N: int(asInt(r[1]))})
			return nil
		}, `SELECT x.id, n.about - m.num FROM message m
			JOIN notice n ON n.about >= m.num AND n.about < m.num + m.deliveries
			JOIN message x ON x.num = n.message WHERE m.id = $1 ORDER BY n.message, n.about`, message[:])
	})
	return all, err
}

const overdueQuery = "SELECT " + deliveryColumns + ", " + messageColumns + ` FROM delivery d JOIN message m ON m.num = d.seq - d.n
	WHERE d.box = $1 AND d.state = 0 AND d.seq > $2 AND m.received - 0 < $3 AND m.flags & $4 <> 0 AND m.sender <> ''
	AND NOT EXISTS (SELECT FROM notice n WHERE n.about = d.seq) ORDER BY d.seq LIMIT $5`

// Overdue returns what waits for long and whose senders have not been told.
func (s *Store) Overdue(ctx context.Context, box doppelboden.BoxID, cut time.Time, after int64, limit int) ([]store.Item, error) {
	return s.items(ctx, overdueQuery, int64(box), after, cut.UnixMicro(), int64(flagConfirmed), int64(limit))
}

// forgetNotices removes what ties messages that retention removes to others: the notices
// about their deliveries, and what they are about themselves.
func (t *tx) forgetNotices(nums, ends []int64) error {
	_, err := t.exec(`DELETE FROM notice n USING unnest($1::bigint[], $2::bigint[]) u (num, high)
		WHERE n.about >= u.num AND n.about < u.high`, nums, ends)
	if err == nil {
		_, err = t.exec("DELETE FROM notice WHERE message = ANY ($1::bigint[])", nums)
	}
	if err != nil {
		return fmt.Errorf("forget notices: %w", err)
	}
	return nil
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// addAbout notes what a new notice is about. Deliveries that are not there any more are
// passed over.
func (t *tx) addAbout(m *doppelboden.Message, num int64) error {
	for _, ref := range m.About {
		_, err := t.c.exec(background, `INSERT INTO notice (about, message)
			SELECT m.num + ?2, ?3 FROM message m WHERE m.id = ?1 AND ?2 >= 0 AND ?2 < m.deliveries
			ON CONFLICT DO NOTHING`, ref.Message[:], int64(ref.N), num)
		if err != nil {
			return fmt.Errorf("write what %s is about: %w", m.ID, err)
		}
	}
	return nil
}

// about reads what the notice num is about.
func about(ctx context.Context, c *conn, num int64) (refs []doppelboden.Ref, err error) {
	err = c.query(ctx, func(row []driver.Value) error {
		refs = append(refs, doppelboden.Ref{Message: asID(row[0]), N: int(asInt(row[1]))})
		return nil
	}, `SELECT m.id, d.n FROM notice n CROSS JOIN delivery d ON d.seq = n.about
		CROSS JOIN message m ON m.num = d.seq - d.n WHERE n.message = ? ORDER BY n.about`, num)
	return refs, err
}

// Notices returns the notices about a message.
func (s *Store) Notices(ctx context.Context, message doppelboden.ID) ([]store.Notice, error) {
	var all []store.Notice
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			all = append(all, store.Notice{ID: asID(row[0]), N: int(asInt(row[1]))})
			return nil
		}, `SELECT x.id, n.about - m.num FROM message m
			CROSS JOIN notice n ON n.about >= m.num AND n.about < m.num + m.deliveries
			CROSS JOIN message x ON x.num = n.message WHERE m.id = ? ORDER BY n.message, n.about`, message[:])
	})
	return all, err
}

const overdueQuery = "SELECT " + deliveryColumns + ", " + messageColumns + `
	FROM delivery d INDEXED BY delivery_box CROSS JOIN message m ON m.num = d.seq - d.n
	CROSS JOIN segment g ON g.num = m.segment
	WHERE d.box = ?1 AND d.state = 0 AND d.seq > ?2 AND m.received < ?3 AND m.flags & ?4 AND m.sender <> ''
	AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.about = d.seq) ORDER BY d.seq LIMIT ?5`

// Overdue returns what waits for long and whose senders have not been told.
func (s *Store) Overdue(ctx context.Context, box doppelboden.BoxID, cut time.Time, after int64, limit int) ([]store.Item, error) {
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			items = append(items, readItem(row, shared))
			return nil
		}, overdueQuery, int64(box), after, cut.UnixMicro(), int64(flagConfirmed), int64(limit))
	})
	return items, err
}

// forgetNotices removes what ties a message that retention removes to others: the
// notices about its deliveries, whose Seqs are before end, and what it is about itself.
func (t *tx) forgetNotices(num, end int64) error {
	_, err := t.c.exec(background, "DELETE FROM notice WHERE about >= ? AND about < ?", num, end)
	if err == nil {
		_, err = t.c.exec(background, "DELETE FROM notice WHERE message = ?", num)
	}
	if err != nil {
		return fmt.Errorf("forget notices: %w", err)
	}
	return nil
}

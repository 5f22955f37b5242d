package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// PutScans writes what scanners said later.
func (s *Store) PutScans(ctx context.Context, list []store.Scan) error {
	if len(list) == 0 {
		return nil
	}
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			one := &list[i]
			_, err := t.c.exec(background, "UPDATE message SET scan = ?, scanned = ?, prefix = ifnull(?, prefix) WHERE id = ?",
				int64(one.State), micros(one.At), blob(one.Prefix), one.Message[:])
			if err != nil {
				return fmt.Errorf("write what scanners said about %s: %w", one.Message, err)
			}
			_, err = t.c.exec(background, `UPDATE copy SET scan = m.scan, size = m.size + ifnull(length(m.prefix), 0) FROM message m
				WHERE m.id = ? AND copy.message = m.num`, one.Message[:])
			if err != nil {
				return fmt.Errorf("write what scanners said about copies of %s: %w", one.Message, err)
			}
		}
		return nil
	})
}

// waits says that a delivery of a message m is queued or held.
const waits = "EXISTS (SELECT 1 FROM delivery d WHERE d.seq >= m.num AND d.seq < m.num + m.deliveries AND d.state IN (0, 1))"

// Unscanned returns messages that wait for scanners.
func (s *Store) Unscanned(ctx context.Context, t doppelboden.TenantID, after int64, limit int) ([]store.Unscanned, error) {
	var list []store.Unscanned
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			list = append(list, store.Unscanned{Seq: asInt(row[0]), Message: asID(row[1]), Since: asTime(row[2])})
			return nil
		}, `SELECT m.num, m.id, ifnull(m.scanned, m.received) FROM message m INDEXED BY message_unscanned
			WHERE m.scan = 1 AND m.tenant = ? AND m.num > ? AND `+waits+" ORDER BY m.num LIMIT ?",
			int64(t), after, int64(limit))
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// UnscannedCounts counts what waits for scanners.
func (s *Store) UnscannedCounts(ctx context.Context) ([]store.UnscannedCount, error) {
	var list []store.UnscannedCount
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			list = append(list, store.UnscannedCount{Tenant: doppelboden.TenantID(asInt(row[0])), Messages: asInt(row[1]), Oldest: asTime(row[2])})
			return nil
		}, `SELECT m.tenant, count(*), min(m.received) FROM message m INDEXED BY message_unscanned
			WHERE m.scan = 1 AND `+waits+" GROUP BY m.tenant ORDER BY m.tenant")
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

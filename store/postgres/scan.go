package postgres

import (
	"context"
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
		for n := range list {
			one := &list[n]
			_, err := t.exec("UPDATE message SET scan = $1, scanned = $2, prefix = coalesce($3, prefix) WHERE id = $4",
				int64(one.State), micros(one.At), blob(one.Prefix), one.Message[:])
			if err != nil {
				return fmt.Errorf("write what scanners said about %s: %w", one.Message, err)
			}
			_, err = t.exec(`UPDATE copy c SET scan = m.scan, size = m.size + coalesce(octet_length(m.prefix), 0) FROM message m
				WHERE m.id = $1 AND c.message = m.num AND c.message + 0 IS NOT NULL`, one.Message[:])
			if err != nil {
				return fmt.Errorf("write what scanners said about copies of %s: %w", one.Message, err)
			}
		}
		return nil
	})
}

// waits says that a delivery of a message m is queued or held. OFFSET 0 keeps it from
// becoming a join, which would be planned by what is known of the tables.
const waits = "EXISTS (SELECT FROM delivery d WHERE d.seq >= m.num AND d.seq < m.num + m.deliveries AND d.state - 0 IN (0, 1) OFFSET 0)"

const unscannedQuery = `SELECT m.num, m.id, coalesce(m.scanned, m.received) FROM message m
	WHERE m.scan = 1 AND m.tenant = $1 AND m.num > $2 AND ` + waits + " ORDER BY m.num LIMIT $3"

// Unscanned returns messages that wait for scanners.
func (s *Store) Unscanned(ctx context.Context, t doppelboden.TenantID, after int64, limit int) (list []store.Unscanned, err error) {
	err = s.readAs(ctx, t, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			list = append(list, store.Unscanned{Seq: asInt(r[0]), Message: asID(r[1]), Since: asTime(r[2])})
			return nil
		}, unscannedQuery, int64(t), after, int64(limit))
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// UnscannedCounts counts what waits for scanners.
func (s *Store) UnscannedCounts(ctx context.Context) (list []store.UnscannedCount, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			list = append(list, store.UnscannedCount{Tenant: doppelboden.TenantID(asInt(r[0])), Messages: asInt(r[1]), Oldest: asTime(r[2])})
			return nil
		}, "SELECT m.tenant, count(*), min(m.received) FROM message m WHERE m.scan = 1 AND "+waits+" GROUP BY m.tenant ORDER BY m.tenant")
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

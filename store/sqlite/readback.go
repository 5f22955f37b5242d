package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"

	"doppelboden"
	"doppelboden/store"
)

const handedColumns = `SELECT m.id, d.n, d.seq, d.tenant, d.mailbox, d.box, d.recipient, d.state, d.handed, m.received,
	d.seen_validity, d.seen_uid, d.seen_size, d.seen_date FROM delivery d `

// Ways to find what was handed over: by time, or in one box by Seq. Each takes the time
// from which, and until which, a Seq, a limit, a box and a tenant.
const (
	handedByTime = handedColumns + `INDEXED BY delivery_handed CROSS JOIN message m ON m.num = d.seq - d.n
		WHERE d.handed IS NOT NULL AND (d.handed, d.seq) > (?1, ?3) AND d.handed >= ?1 AND d.handed < ?2 AND d.state IN (2, 3) AND ?5 = 0
		AND (?6 = 0 OR d.tenant = ?6) ORDER BY d.handed, d.seq LIMIT ?4`
	handedInBox = handedColumns + `INDEXED BY delivery_box CROSS JOIN message m ON m.num = d.seq - d.n
		WHERE d.box = ?5 AND d.state IN (2, 3) AND d.seq > ?3 AND d.handed >= ?1 AND d.handed < ?2
		AND (?6 = 0 OR d.tenant = ?6) ORDER BY d.seq LIMIT ?4`
)

// Handed yields what next servers took.
func (s *Store) Handed(ctx context.Context, f store.HandedFilter, yield func(store.Handed) error) error {
	text, from, after, left := handedByTime, int64(math.MinInt64), f.AfterSeq, f.Limit
	if f.Box != 0 {
		text = handedInBox
	}
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	to := int64(math.MaxInt64)
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	return walk(func() (page []store.Handed, err error) {
		limit := pageRows
		if f.Limit > 0 {
			if limit = min(limit, left); limit == 0 {
				return nil, nil
			}
		}
		err = s.snapshot(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, readHanded(row))
				return nil
			}, text, from, to, after, int64(limit), int64(f.Box), int64(f.Tenant))
		})
		if n := len(page); n > 0 {
			left -= n
			after = page[n-1].Seq
			if f.Box == 0 {
				from = page[n-1].At.UnixMicro()
			}
		}
		return page, err
	}, yield)
}

// readHanded reads handedColumns.
func readHanded(row []driver.Value) store.Handed {
	return store.Handed{
		Ref: doppelboden.Ref{Message: asID(row[0]), N: int(asInt(row[1]))}, Seq: asInt(row[2]),
		Tenant: doppelboden.TenantID(asInt(row[3])), Mailbox: doppelboden.MailboxID(asInt(row[4])), Box: doppelboden.BoxID(asInt(row[5])),
		Recipient: asAddress(row[6]), State: doppelboden.State(asInt(row[7])), At: asTime(row[8]), Received: asTime(row[9]),
		Sighting: store.Sighting{Validity: uint32(asInt(row[10])), UID: uint32(asInt(row[11])), Size: asInt(row[12]), Date: asTime(row[13])},
	}
}

// Confirm writes that deliveries were seen in their mailboxes.
func (s *Store) Confirm(ctx context.Context, lease store.Lease, list []store.Confirmation) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		for i := range list {
			if err := t.confirm(&list[i]); err != nil {
				return fmt.Errorf("confirm %s/%d: %w", list[i].Ref.Message, list[i].Ref.N, err)
			}
		}
		return nil
	})
}

// confirm writes one confirmation, if it has an effect.
func (t *tx) confirm(c *store.Confirmation) error {
	row, err := t.c.one(background, `SELECT d.seq, d.tenant, d.state FROM message m CROSS JOIN delivery d ON d.seq = m.num + ?2
		WHERE m.id = ?1 AND ?2 >= 0 AND ?2 < m.deliveries`, c.Ref.Message[:], int64(c.Ref.N))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	seq, tenant, was := asInt(row[0]), doppelboden.TenantID(asInt(row[1])), doppelboden.State(asInt(row[2]))
	if was != doppelboden.Delivered && was != doppelboden.Confirmed {
		return nil
	}
	_, err = t.c.exec(background, "UPDATE delivery SET seen_validity = ?, seen_uid = ?, seen_size = ?, seen_date = ? WHERE seq = ?",
		int64(c.Validity), int64(c.UID), c.Size, micros(c.Date), seq)
	if err != nil || was == doppelboden.Confirmed {
		return err
	}
	if _, err = t.c.exec(background, "UPDATE delivery SET state = ?, changed = ? WHERE seq = ?", int64(doppelboden.Confirmed), micros(c.At), seq); err != nil {
		return err
	}
	t.count(tenant, was, -1, seq)
	t.count(tenant, doppelboden.Confirmed, 1, seq)
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: c.At, Tenant: tenant,
		Message: c.Ref.Message, N: c.Ref.N, State: doppelboden.Confirmed, By: c.By})
	return nil
}

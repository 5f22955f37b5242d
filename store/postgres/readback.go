package postgres

import (
	"context"
	"fmt"
	"math"

	"doppelboden"
	"doppelboden/store"
)

const handedColumns = `SELECT m.id, d.n, d.seq, d.tenant, d.mailbox, d.box, d.recipient, d.state, d.handed, m.received,
	d.seen_validity, d.seen_uid, d.seen_size, d.seen_date FROM delivery d JOIN message m ON m.num = d.seq - d.n `

// Ways to find what was handed over: by time, or in one box by Seq. Each takes the time
// from which, and until which, a Seq, a limit, the second a box, and a tenant.
const (
	handedByTime = handedColumns + `WHERE d.handed IS NOT NULL AND (d.handed, d.seq) > ($1, $3) AND d.handed < $2 AND d.state - 0 IN (2, 3)
		AND ($5 = 0 OR d.tenant = $5) ORDER BY d.handed, d.seq LIMIT $4`
	handedInBox = `(` + handedColumns + `WHERE d.box = $5 AND d.state = 2 AND ($6 = 0 OR d.tenant = $6) AND d.seq > $3 AND d.handed >= $1 AND d.handed < $2 ORDER BY d.seq LIMIT $4)
		UNION ALL (` + handedColumns + `WHERE d.box = $5 AND d.state = 3 AND ($6 = 0 OR d.tenant = $6) AND d.seq > $3 AND d.handed >= $1 AND d.handed < $2 ORDER BY d.seq LIMIT $4)
		ORDER BY 3 LIMIT $4`
)

// Handed yields what next servers took.
func (s *Store) Handed(ctx context.Context, f store.HandedFilter, yield func(store.Handed) error) error {
	from, to, after, left := int64(math.MinInt64), int64(math.MaxInt64), f.AfterSeq, f.Limit
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
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
		text, args := handedByTime, []any{from, to, after, int64(limit), int64(f.Tenant)}
		if f.Box != 0 {
			text, args = handedInBox, []any{from, to, after, int64(limit), int64(f.Box), int64(f.Tenant)}
		}
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error { page = append(page, readHanded(r)); return nil }, text, args...)
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
func readHanded(r row) store.Handed {
	return store.Handed{
		Ref: doppelboden.Ref{Message: asID(r[0]), N: int(asInt(r[1]))}, Seq: asInt(r[2]),
		Tenant: doppelboden.TenantID(asInt(r[3])), Mailbox: doppelboden.MailboxID(asInt(r[4])), Box: doppelboden.BoxID(asInt(r[5])),
		Recipient: asAddress(r[6]), State: doppelboden.State(asInt(r[7])), At: asTime(r[8]), Received: asTime(r[9]),
		Sighting: store.Sighting{Validity: uint32(asInt(r[10])), UID: uint32(asInt(r[11])), Size: asInt(r[12]), Date: asTime(r[13])},
	}
}

// Confirm writes that deliveries were seen in their mailboxes.
func (s *Store) Confirm(ctx context.Context, lease store.Lease, list []store.Confirmation) error {
	o := &op{lease: &lease, settles: make([]doppelboden.Settlement, len(list))}
	for i := range list {
		o.settles[i].Ref = list[i].Ref
	}
	o.run = func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		var seen []*column
		for i := range list {
			c := &list[i]
			d, err := t.confirm(c)
			if err != nil {
				return fmt.Errorf("confirm %s/%d: %w", c.Ref.Message, c.Ref.N, err)
			}
			if d != nil {
				put(&seen, []uint32{oidBigintArray, oidBigintArray, oidBigintArray, oidBigintArray, oidBigintArray}, d.seq,
					int64(c.Validity), int64(c.UID), c.Size, micros(c.Date))
			}
		}
		if seen == nil {
			return nil
		}
		// The last one of a delivery counts; rows of an array keep their order.
		_, err := t.exec(`UPDATE delivery d SET seen_validity = u.validity, seen_uid = u.uid, seen_size = u.size, seen_date = u.date
			FROM (SELECT DISTINCT ON (seq) * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
				WITH ORDINALITY v (seq, validity, uid, size, date, place) ORDER BY seq, place DESC) u
			WHERE d.seq = u.seq`, seen[0], seen[1], seen[2], seen[3], seen[4])
		return err
	}
	return s.do(ctx, o)
}

// confirm makes a delivery Confirmed. It returns nil for one of which nothing may be noted.
func (t *tx) confirm(c *store.Confirmation) (*current, error) {
	d, err := t.delivery(c.Ref)
	if err != nil || d == nil {
		return nil, err
	}
	switch d.state {
	case doppelboden.Confirmed:
		return d, nil
	case doppelboden.Delivered:
	default:
		return nil, nil
	}
	t.count(d.tenant, d.state, -1)
	t.count(d.tenant, doppelboden.Confirmed, 1)
	d.state, d.changed = doppelboden.Confirmed, kept(c.At)
	if !d.dirty {
		d.dirty = true
		t.changed = append(t.changed, d)
	}
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: c.At, Tenant: d.tenant,
		Message: c.Ref.Message, N: c.Ref.N, State: doppelboden.Confirmed, By: c.By})
	return d, nil
}

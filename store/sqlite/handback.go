package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutHandback replaces what is known of a mailbox's way back, with what has gone back.
func (s *Store) PutHandback(ctx context.Context, lease store.Lease, h store.Handback, list []store.Returned) error {
	state, err := h.Pack()
	if err != nil {
		return err
	}
	return s.do(ctx, &op{synced: true, run: func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		_, err := t.c.exec(background, `INSERT INTO handback (mailbox, tenant, state, at) VALUES (?, ?, ?, ?)
			ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, state = excluded.state, at = excluded.at`,
			int64(h.Mailbox), int64(h.Tenant), state, micros(h.At))
		if err != nil {
			return fmt.Errorf("write handback: %w", err)
		}
		for i := range list {
			if err := t.returned(&list[i]); err != nil {
				return fmt.Errorf("note what went back: %w", err)
			}
		}
		return nil
	}})
}

const handbackColumns = "SELECT mailbox, tenant, state, at FROM handback "

// readHandback reads handbackColumns.
func readHandback(row []driver.Value) (h store.Handback, err error) {
	h = store.Handback{Mailbox: doppelboden.MailboxID(asInt(row[0])), Tenant: doppelboden.TenantID(asInt(row[1])), At: asTime(row[3])}
	h.HandbackState, err = store.UnpackHandback(asText(row[2]))
	return h, err
}

// HandbackOf returns what is known of a mailbox's way back.
func (s *Store) HandbackOf(ctx context.Context, m doppelboden.MailboxID) (h store.Handback, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, handbackColumns+"WHERE mailbox = ?", int64(m))
		if errors.Is(err, errNoRow) {
			return &doppelboden.Error{Code: doppelboden.NotFound, Public: "nothing has ever gone back from this mailbox"}
		}
		if err == nil {
			h, err = readHandback(row)
		}
		return err
	})
	return h, err
}

// Handbacks yields what is known of mailboxes' ways back.
func (s *Store) Handbacks(ctx context.Context, tenant doppelboden.TenantID, yield func(store.Handback) error) error {
	last := int64(0)
	return walk(func() (page []store.Handback, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				h, err := readHandback(row)
				page, last = append(page, h), int64(h.Mailbox)
				return err
			}, handbackColumns+"WHERE mailbox > ? AND (? = 0 OR tenant = ?) ORDER BY mailbox LIMIT ?", last, int64(tenant), int64(tenant), int64(pageRows))
		})
		return page, err
	}, yield)
}

// Came counts what came for a mailbox between two times. Messages are numbered in the order
// of their commits, which comes close to that in which they were received.
func (s *Store) Came(ctx context.Context, tenant doppelboden.TenantID, m doppelboden.MailboxID, from, to time.Time) (n int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, `SELECT count(*) FROM delivery d INDEXED BY delivery_box
			WHERE d.box = ?1 AND d.mailbox = ?1 AND d.tenant = ?2
			AND d.seq >= (SELECT num FROM message WHERE received >= ?5 ORDER BY received LIMIT 1)
			AND (SELECT received FROM message WHERE num <= d.seq ORDER BY num DESC LIMIT 1) BETWEEN ?3 AND ?4`,
			int64(m), int64(tenant), from.UnixMicro(), to.UnixMicro()-1, from.Add(-cameSlack).UnixMicro())
		if err == nil {
			n = asInt(row[0])
		}
		return err
	})
	return n, err
}

// cameSlack is how much later than another one a message may be numbered that came earlier:
// what landed while the database was away.
const cameSlack = 24 * time.Hour

package postgres

import (
	"context"
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
	return s.do(ctx, &op{lease: &lease, run: func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO handback (mailbox, tenant, state, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, state = excluded.state, at = excluded.at`,
			int64(h.Mailbox), int64(h.Tenant), state, micros(h.At))
		if err != nil {
			return fmt.Errorf("write handback: %w", err)
		}
		if err := t.returned(list); err != nil {
			return fmt.Errorf("note what went back: %w", err)
		}
		return nil
	}})
}

const handbackColumns = "SELECT mailbox, tenant, state, at FROM handback "

// readHandback reads handbackColumns.
func readHandback(r row) (h store.Handback, err error) {
	h = store.Handback{Mailbox: doppelboden.MailboxID(asInt(r[0])), Tenant: doppelboden.TenantID(asInt(r[1])), At: asTime(r[3])}
	h.HandbackState, err = store.UnpackHandback(asText(r[2]))
	return h, err
}

// HandbackOf returns what is known of a mailbox's way back.
func (s *Store) HandbackOf(ctx context.Context, m doppelboden.MailboxID) (h store.Handback, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, handbackColumns+"WHERE mailbox = $1", int64(m))
		if errors.Is(err, errNoRow) {
			return &doppelboden.Error{Code: doppelboden.NotFound, Public: "nothing has ever gone back from this mailbox"}
		}
		if err == nil {
			h, err = readHandback(r)
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
			return c.query(ctx, func(r row) error {
				h, err := readHandback(r)
				page, last = append(page, h), int64(h.Mailbox)
				return err
			}, handbackColumns+"WHERE mailbox > $1 AND ($2::bigint = 0 OR tenant = $2) ORDER BY mailbox LIMIT $3", last, int64(tenant), int64(pageRows))
		})
		return page, err
	}, yield)
}

// Came counts what came for a mailbox between two times. Messages are numbered in the order
// of their commits, which comes close to that in which they were received.
func (s *Store) Came(ctx context.Context, tenant doppelboden.TenantID, m doppelboden.MailboxID, from, to time.Time) (n int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, `SELECT count(*) FROM delivery d
			WHERE d.box = $1 AND d.mailbox = $1 AND d.tenant = $2
			AND d.seq >= (SELECT num FROM message WHERE received >= $5 ORDER BY received LIMIT 1)
			AND (SELECT received FROM message WHERE num <= d.seq ORDER BY num DESC LIMIT 1) BETWEEN $3 AND $4`,
			int64(m), int64(tenant), from.UnixMicro(), to.UnixMicro()-1, from.Add(-cameSlack).UnixMicro())
		if err == nil {
			n = asInt(r[0])
		}
		return err
	})
	return n, err
}

// cameSlack is how much later than another one a message may be numbered that came earlier:
// what landed while the database was away.
const cameSlack = 24 * time.Hour

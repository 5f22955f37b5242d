package postgres

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutModes replaces the modes of mailboxes: those of a whole city that an event concerns
// are two statements.
func (s *Store) PutModes(ctx context.Context, list []store.Mode) error {
	return s.write(ctx, func(t *tx) error {
		last := make(map[doppelboden.MailboxID]int, len(list)) // a list may have a mailbox twice
		for i := range list {
			last[list[i].Mailbox] = i
		}
		var gone []int64
		var kept []*column
		for i := range list {
			m := &list[i]
			switch {
			case last[m.Mailbox] != i:
			case !m.Emergency && m.Event == 0:
				gone = append(gone, int64(m.Mailbox))
			default:
				put(&kept, []uint32{oidBigintArray, oidBigintArray, oidBoolArray, oidTextArray, oidBigintArray, oidBigintArray, oidBigintArray},
					int64(m.Mailbox), int64(m.Tenant), m.Emergency, m.By, micros(m.At), m.Event, micros(m.Used))
			}
		}
		if gone != nil {
			if _, err := t.exec("DELETE FROM mode WHERE mailbox = ANY ($1::bigint[])", gone); err != nil {
				return fmt.Errorf("remove modes: %w", err)
			}
		}
		for _, st := range insert(nil, `INSERT INTO mode (mailbox, tenant, emergency, by, at, event, used)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
			ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, emergency = excluded.emergency, by = excluded.by,
			at = excluded.at, event = excluded.event, used = excluded.used`, kept) {
			if _, err := t.exec(st.text, st.args...); err != nil {
				return fmt.Errorf("write modes: %w", err)
			}
		}
		return nil
	})
}

// UseModes notes that mailboxes were used here.
func (s *Store) UseModes(ctx context.Context, mailboxes []doppelboden.MailboxID, at time.Time) error {
	if len(mailboxes) == 0 {
		return nil
	}
	ids := make([]int64, len(mailboxes))
	for i, m := range mailboxes {
		ids[i] = int64(m)
	}
	return s.write(ctx, func(t *tx) error {
		if _, err := t.exec("UPDATE mode SET used = $1 WHERE mailbox = ANY ($2::bigint[]) AND emergency", micros(at), ids); err != nil {
			return fmt.Errorf("note that mailboxes were used: %w", err)
		}
		return nil
	})
}

// Modes yields all modes, by mailbox.
func (s *Store) Modes(ctx context.Context, yield func(store.Mode) error) error {
	last := int64(-1)
	return walk(func() (page []store.Mode, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				page = append(page, store.Mode{Mailbox: doppelboden.MailboxID(asInt(r[0])), Tenant: doppelboden.TenantID(asInt(r[1])),
					Emergency: asBool(r[2]), By: asText(r[3]), At: asTime(r[4]), Event: asInt(r[5]), Used: asTime(r[6])})
				last = asInt(r[0])
				return nil
			}, "SELECT mailbox, tenant, emergency, by, at, event, used FROM mode WHERE mailbox > $1 ORDER BY mailbox LIMIT $2", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// PutSending keeps what somebody is about to send.
func (s *Store) PutSending(ctx context.Context, one store.Sending, instead doppelboden.ID) (got store.Sending, err error) {
	err = s.write(ctx, func(t *tx) error {
		got = one
		_, err := t.exec(`INSERT INTO sending (mailbox, key, tenant, message, node, at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (mailbox, key) DO UPDATE SET message = excluded.message, node = excluded.node, at = excluded.at
			WHERE sending.message = $7`,
			int64(one.Mailbox), one.Key[:], int64(one.Tenant), one.Message[:], one.Node, micros(one.At), instead[:])
		if err != nil {
			return fmt.Errorf("write the sending: %w", err)
		}
		r, err := t.one("SELECT message, node, at FROM sending WHERE mailbox = $1 AND key = $2", int64(one.Mailbox), one.Key[:])
		if err != nil {
			return fmt.Errorf("read the sending: %w", err)
		}
		got.Message, got.Node, got.At = asID(r[0]), asText(r[1]), asTime(r[2])
		return nil
	})
	return got, err
}

// DropSendings removes old sendings.
func (s *Store) DropSendings(ctx context.Context, cut time.Time, limit int) (n int, err error) {
	err = s.write(ctx, func(t *tx) error {
		rows, err := t.exec(`DELETE FROM sending WHERE (mailbox, key) IN
			(SELECT mailbox, key FROM sending WHERE at < $1 ORDER BY at LIMIT $2)`, micros(cut), int64(limit))
		if err != nil {
			return fmt.Errorf("remove old sendings: %w", err)
		}
		n = int(rows)
		return nil
	})
	return n, err
}

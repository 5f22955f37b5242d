package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutModes replaces the modes of mailboxes.
func (s *Store) PutModes(ctx context.Context, list []store.Mode) error {
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			if err := t.putMode(&list[i]); err != nil {
				return fmt.Errorf("write the mode of mailbox %d: %w", list[i].Mailbox, err)
			}
		}
		return nil
	})
}

// putMode replaces the mode of one mailbox.
func (t *tx) putMode(m *store.Mode) error {
	if !m.Emergency && m.Event == 0 {
		_, err := t.c.exec(background, "DELETE FROM mode WHERE mailbox = ?", int64(m.Mailbox))
		return err
	}
	_, err := t.c.exec(background, `INSERT INTO mode (mailbox, tenant, emergency, by, at, event, used) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, emergency = excluded.emergency, by = excluded.by,
		at = excluded.at, event = excluded.event, used = excluded.used`,
		int64(m.Mailbox), int64(m.Tenant), m.Emergency, m.By, micros(m.At), m.Event, micros(m.Used))
	return err
}

// UseModes notes that mailboxes were used here.
func (s *Store) UseModes(ctx context.Context, mailboxes []doppelboden.MailboxID, at time.Time) error {
	return s.write(ctx, func(t *tx) error {
		for _, m := range mailboxes {
			if _, err := t.c.exec(background, "UPDATE mode SET used = ? WHERE mailbox = ? AND emergency", micros(at), int64(m)); err != nil {
				return fmt.Errorf("note that mailbox %d was used: %w", m, err)
			}
		}
		return nil
	})
}

// Modes yields all modes, by mailbox.
func (s *Store) Modes(ctx context.Context, yield func(store.Mode) error) error {
	last := int64(-1)
	return walk(func() (page []store.Mode, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, store.Mode{Mailbox: doppelboden.MailboxID(asInt(row[0])), Tenant: doppelboden.TenantID(asInt(row[1])),
					Emergency: asInt(row[2]) != 0, By: asText(row[3]), At: asTime(row[4]), Event: asInt(row[5]), Used: asTime(row[6])})
				last = asInt(row[0])
				return nil
			}, "SELECT mailbox, tenant, emergency, by, at, event, used FROM mode WHERE mailbox > ? ORDER BY mailbox LIMIT ?", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// PutSending keeps what somebody is about to send.
func (s *Store) PutSending(ctx context.Context, one store.Sending, instead doppelboden.ID) (got store.Sending, err error) {
	err = s.write(ctx, func(t *tx) error {
		got = one
		_, err := t.c.exec(background, `INSERT INTO sending (mailbox, key, tenant, message, node, at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (mailbox, key) DO UPDATE SET message = excluded.message, node = excluded.node, at = excluded.at WHERE sending.message = ?`,
			int64(one.Mailbox), one.Key[:], int64(one.Tenant), one.Message[:], one.Node, micros(one.At), instead[:])
		if err != nil {
			return fmt.Errorf("write the sending: %w", err)
		}
		row, err := t.c.one(background, "SELECT message, node, at FROM sending WHERE mailbox = ? AND key = ?", int64(one.Mailbox), one.Key[:])
		if err != nil {
			return fmt.Errorf("read the sending: %w", err)
		}
		got.Message, got.Node, got.At = asID(row[0]), asText(row[1]), asTime(row[2])
		return nil
	})
	return got, err
}

// DropSendings removes old sendings.
func (s *Store) DropSendings(ctx context.Context, cut time.Time, limit int) (n int, err error) {
	err = s.write(ctx, func(t *tx) error {
		rows, err := t.c.exec(background, `DELETE FROM sending WHERE (mailbox, key) IN
			(SELECT mailbox, key FROM sending WHERE at < ? ORDER BY at LIMIT ?)`, micros(cut), int64(limit))
		if err != nil {
			return fmt.Errorf("remove old sendings: %w", err)
		}
		n = int(rows)
		return nil
	})
	return n, err
}

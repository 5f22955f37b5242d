package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// PutWays replaces the ways of mailboxes.
func (s *Store) PutWays(ctx context.Context, ways []store.Way) error {
	return s.write(ctx, func(t *tx) error {
		for i := range ways {
			if err := t.putWay(&ways[i]); err != nil {
				return fmt.Errorf("write the way of mailbox %d: %w", ways[i].Mailbox, err)
			}
		}
		return nil
	})
}

// putWay replaces the way of one mailbox.
func (t *tx) putWay(w *store.Way) error {
	if w.Route == "" && len(w.Also) == 0 {
		_, err := t.c.exec(background, "DELETE FROM way WHERE mailbox = ?", int64(w.Mailbox))
		return err
	}
	_, err := t.c.exec(background, `INSERT INTO way (mailbox, tenant, route, also, by, at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, route = excluded.route, also = excluded.also,
		by = excluded.by, at = excluded.at`,
		int64(w.Mailbox), int64(w.Tenant), w.Route, strings.Join(w.Also, " "), w.By, micros(w.At))
	for _, route := range w.Also {
		if err != nil {
			return err
		}
		_, err = t.c.exec(background, `INSERT INTO destination (id, tenant, mailbox, route, domain)
			SELECT min(ifnull(min(id), 0), 0) - 1, ?, ?, ?, '' FROM destination WHERE true ON CONFLICT DO NOTHING`,
			int64(w.Tenant), int64(w.Mailbox), route)
	}
	return err
}

// Ways yields all ways, by mailbox.
func (s *Store) Ways(ctx context.Context, yield func(store.Way) error) error {
	last := int64(-1)
	return walk(func() (page []store.Way, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, store.Way{Mailbox: doppelboden.MailboxID(asInt(row[0])), Tenant: doppelboden.TenantID(asInt(row[1])),
					Route: asText(row[2]), Also: strings.Fields(asText(row[3])), By: asText(row[4]), At: asTime(row[5])})
				last = asInt(row[0])
				return nil
			}, "SELECT mailbox, tenant, route, also, by, at FROM way WHERE mailbox > ? ORDER BY mailbox LIMIT ?", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// Rebox lets deliveries that have not ended wait in another box.
func (s *Store) Rebox(ctx context.Context, lease store.Lease, refs []doppelboden.Ref, box doppelboden.BoxID) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		for _, ref := range refs {
			if err := t.rebox(ref, box); err != nil {
				return fmt.Errorf("rebox %s/%d: %w", ref.Message, ref.N, err)
			}
		}
		return nil
	})
}

// rebox moves one delivery. A copy that has no row of its own is found by the box of its
// mailbox, so it gets one.
func (t *tx) rebox(ref doppelboden.Ref, box doppelboden.BoxID) error {
	row, err := t.c.one(background, `SELECT d.seq, d.inbox, d.mailbox, d.box FROM message m CROSS JOIN delivery d ON d.seq = m.num + ?2
		WHERE m.id = ?1 AND ?2 >= 0 AND ?2 < m.deliveries AND d.state IN (0, 1)`, ref.Message[:], int64(ref.N))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	seq, inbox, mailbox := asInt(row[0]), asInt(row[1]) != 0, asInt(row[2])
	if asInt(row[3]) == int64(box) {
		return nil
	}
	if inbox && int64(box) != mailbox {
		if err := t.showInbox(seq); err != nil {
			return err
		}
		inbox = false
	}
	show := int64(0)
	if inbox {
		show = 1
	}
	_, err = t.c.exec(background, "UPDATE delivery SET box = ?, inbox = ? WHERE seq = ?", int64(box), show, seq)
	if err == nil {
		_, err = t.c.exec(background, "UPDATE held SET box = ? WHERE seq = ?", int64(box), seq)
	}
	return err
}

// showInbox gives the copy of a delivery in the inbox a row, where it has none.
func (t *tx) showInbox(seq int64) error {
	row, err := t.c.one(background, `SELECT d.tenant, d.mailbox, m.num, m.received, d.seq > `+looked+`
		FROM delivery d CROSS JOIN message m ON m.num = d.seq - d.n WHERE d.seq = ?`, seq)
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	if asInt(row[4]) == 0 {
		return nil // somebody has looked, and perhaps moved it
	}
	one := doppelboden.Copy{Mailbox: doppelboden.MailboxID(asInt(row[1])), Date: asTime(row[3])}
	if err := t.addCopy(doppelboden.TenantID(asInt(row[0])), asInt(row[2]), inboxNumber, &one); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	return nil
}

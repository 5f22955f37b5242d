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

// PutListing replaces what is known of a source.
func (s *Store) PutListing(ctx context.Context, l store.Listing) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.c.exec(background, `INSERT OR REPLACE INTO listing (tenant, source, read, tried, trouble, writing, lost)
			VALUES (?, ?, ?, ?, ?, ?, ?)`,
			int64(l.Tenant), l.Source, micros(l.Read), micros(l.Tried), l.Trouble, l.Writing, int64(l.Lost))
		if err != nil {
			return fmt.Errorf("write listing: %w", err)
		}
		return nil
	})
}

// Listings returns what is known of all sources.
func (s *Store) Listings(ctx context.Context) (all []store.Listing, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			all = append(all, store.Listing{Tenant: doppelboden.TenantID(asInt(row[0])), Source: asText(row[1]),
				Read: asTime(row[2]), Tried: asTime(row[3]), Trouble: asText(row[4]), Writing: asInt(row[5]) != 0, Lost: int(asInt(row[6]))})
			return nil
		}, "SELECT tenant, source, read, tried, trouble, writing, lost FROM listing ORDER BY tenant, source")
	})
	return all, err
}

// retiredKey is what the key of an address becomes when its mailbox is gone. No address
// begins with a control character.
func retiredKey(tenant doppelboden.TenantID, key string) string {
	return fmt.Sprintf("\x01%d/%s", tenant, key)
}

// Retire says that nobody lists mailboxes any more.
func (s *Store) Retire(ctx context.Context, ids []doppelboden.MailboxID, at time.Time) error {
	return s.write(ctx, func(t *tx) error {
		for _, id := range ids {
			if err := t.retire(id, at); err != nil {
				return fmt.Errorf("retire mailbox %d: %w", id, err)
			}
		}
		return nil
	})
}

// retire frees a mailbox's addresses and notes since when it is gone.
func (t *tx) retire(id doppelboden.MailboxID, at time.Time) error {
	row, err := t.c.one(background, `SELECT a.key, a.tenant FROM address a CROSS JOIN mailbox b ON b.id = a.mailbox
		WHERE a.mailbox = ? AND a.position = 0 AND b.gone IS NULL`, int64(id))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	key, tenant := asText(row[0]), doppelboden.TenantID(asInt(row[1]))
	retired := retiredKey(tenant, key)
	changed, err := t.c.exec(background, "UPDATE OR IGNORE address SET key = ? WHERE key = ?", retired, key)
	if err == nil && changed == 0 {
		// An earlier mailbox with this address is gone too and was renamed since; that one
		// comes back with the address.
		_, err = t.c.exec(background, "UPDATE address SET key = ? WHERE key = ?", fmt.Sprintf("%s/%d", retired, id), key)
	}
	if err == nil {
		_, err = t.c.exec(background, "DELETE FROM address WHERE mailbox = ? AND position > 0", int64(id))
	}
	if err == nil {
		_, err = t.c.exec(background, "DELETE FROM member WHERE mailbox = ?", int64(id))
	}
	if err == nil {
		_, err = t.c.exec(background, "UPDATE mailbox SET gone = ? WHERE id = ?", at.UnixMicro(), int64(id))
	}
	return err
}

// putMembers writes the members of a list, and none for what is no list.
func (t *tx) putMembers(b *doppelboden.Mailbox) error {
	if _, err := t.c.exec(background, "DELETE FROM member WHERE mailbox = ?", int64(b.ID)); err != nil {
		return fmt.Errorf("change members: %w", err)
	}
	for i, m := range b.Members {
		_, err := t.c.exec(background, "INSERT INTO member (mailbox, position, address) VALUES (?, ?, ?)", int64(b.ID), int64(i), address(m))
		if err != nil {
			return fmt.Errorf("write member: %w", err)
		}
	}
	return nil
}

// readMembers fills in the members of lists and functions among a page of mailboxes.
func readMembers(ctx context.Context, c *conn, page []doppelboden.Mailbox) error {
	for i := range page {
		b := &page[i]
		if b.Kind == doppelboden.Person {
			continue // they are most of all, and have none
		}
		err := c.query(ctx, func(row []driver.Value) error {
			b.Members = append(b.Members, asAddress(row[0]))
			return nil
		}, "SELECT address FROM member WHERE mailbox = ? ORDER BY position", int64(b.ID))
		if err != nil {
			return err
		}
	}
	return nil
}

// Assign gives a held delivery that belongs to no mailbox to one.
func (s *Store) Assign(ctx context.Context, lease store.Lease, a store.Assignment) error {
	if a.State != doppelboden.Queued && a.State != doppelboden.Delivered || a.Mailbox <= 0 || a.To.IsNull() {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "mail is assigned to a mailbox, to wait or to lie there"}
	}
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		return t.assign(&a)
	})
}

// assign writes an assignment, with its copy and its entry in the ledger.
func (t *tx) assign(a *store.Assignment) error {
	row, err := t.c.one(background, `SELECT d.seq, d.tenant, d.state, d.box, d.mailbox, m.num, m.received
		FROM message m CROSS JOIN delivery d ON d.seq = m.num + ?2
		WHERE m.id = ?1 AND ?2 >= 0 AND ?2 < m.deliveries`, a.Ref.Message[:], int64(a.Ref.N))
	if errors.Is(err, errNoRow) {
		return refuse(doppelboden.NotFound, "there is no such delivery")
	}
	if err != nil {
		return fmt.Errorf("find delivery: %w", err)
	}
	seq, tenant, was := asInt(row[0]), doppelboden.TenantID(asInt(row[1])), doppelboden.State(asInt(row[2]))
	num, received := asInt(row[5]), asTime(row[6])
	if asInt(row[4]) == int64(a.Mailbox) && was == a.State {
		return nil // repeated
	}
	if was != doppelboden.Held || asInt(row[3]) != 0 || asInt(row[4]) != 0 {
		return refuse(doppelboden.Invalid, "this delivery belongs to a mailbox already, or is not held")
	}
	_, err = t.c.exec(background, `UPDATE delivery SET mailbox = ?1, box = ?1, recipient = ?2, state = ?3, next = NULL,
		reply = 'assigned to ' || ?2 || '; it was sent to ' || recipient, changed = ?4 WHERE seq = ?5`,
		int64(a.Mailbox), address(a.To), int64(a.State), micros(a.At), seq)
	if err != nil {
		return fmt.Errorf("assign delivery: %w", err)
	}
	if err := t.unhold(seq); err != nil {
		return err
	}
	one := doppelboden.Copy{Mailbox: a.Mailbox, Date: received}
	if err := t.addCopy(tenant, num, inboxNumber, &one); err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	t.count(tenant, was, -1, seq)
	t.count(tenant, a.State, 1, seq)
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: a.At, Tenant: tenant,
		Message: a.Ref.Message, N: a.Ref.N, State: a.State, By: a.By})
	return nil
}

// Unassigned returns how many held deliveries of each tenant belong to no mailbox.
func (s *Store) Unassigned(ctx context.Context) (map[doppelboden.TenantID]int64, error) {
	held := map[doppelboden.TenantID]int64{}
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			held[doppelboden.TenantID(asInt(row[0]))] = asInt(row[1])
			return nil
		}, "SELECT tenant, count(*) FROM delivery WHERE box = 0 AND state = 1 GROUP BY tenant")
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

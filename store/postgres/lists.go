package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutListing replaces what is known of a source.
func (s *Store) PutListing(ctx context.Context, l store.Listing) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO listing (tenant, source, read, tried, trouble, writing, lost) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (tenant, source) DO UPDATE SET read = excluded.read, tried = excluded.tried, trouble = excluded.trouble,
				writing = excluded.writing, lost = excluded.lost`,
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
		return c.query(ctx, func(r row) error {
			all = append(all, store.Listing{Tenant: doppelboden.TenantID(asInt(r[0])), Source: asText(r[1]),
				Read: asTime(r[2]), Tried: asTime(r[3]), Trouble: asText(r[4]), Writing: asBool(r[5]), Lost: int(asInt(r[6]))})
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
		if _, err := t.exec(lockDirectory); err != nil {
			return fmt.Errorf("lock directory: %w", err)
		}
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
	r, err := t.one(`SELECT a.key, a.tenant FROM address a CROSS JOIN mailbox b
		WHERE a.mailbox = $1 AND a.position = 0 AND b.id = a.mailbox AND b.gone IS NULL`, int64(id))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	key := asText(r[0])
	retired := retiredKey(doppelboden.TenantID(asInt(r[1])), key)
	changed, err := t.exec(`UPDATE address SET key = $1 WHERE key = $2
		AND NOT EXISTS (SELECT FROM address o WHERE o.key = $1)`, retired, key)
	if err == nil && changed == 0 {
		// An earlier mailbox with this address is gone too and was renamed since; that one
		// comes back with the address.
		_, err = t.exec("UPDATE address SET key = $1 WHERE key = $2", fmt.Sprintf("%s/%d", retired, id), key)
	}
	for _, text := range [...]string{"DELETE FROM address WHERE mailbox = $1 AND position > 0", "DELETE FROM member WHERE mailbox = $1"} {
		if err == nil {
			_, err = t.exec(text, int64(id))
		}
	}
	if err == nil {
		_, err = t.exec("UPDATE mailbox SET gone = $1 WHERE id = $2", at.UnixMicro(), int64(id))
	}
	return err
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
	r, err := t.one(`SELECT d.seq, d.tenant, d.state, d.box, d.mailbox, m.num, m.received
		FROM message m CROSS JOIN delivery d WHERE m.id = $1 AND d.seq = m.num + $2 AND $2 >= 0 AND $2 < m.deliveries
		FOR UPDATE OF d`, a.Ref.Message[:], int64(a.Ref.N))
	if errors.Is(err, errNoRow) {
		return refuse(doppelboden.NotFound, "there is no such delivery")
	}
	if err != nil {
		return fmt.Errorf("find delivery: %w", err)
	}
	seq, tenant, was := asInt(r[0]), doppelboden.TenantID(asInt(r[1])), doppelboden.State(asInt(r[2]))
	if asInt(r[4]) == int64(a.Mailbox) && was == a.State {
		return nil // repeated
	}
	if was != doppelboden.Held || asInt(r[3]) != 0 || asInt(r[4]) != 0 {
		return refuse(doppelboden.Invalid, "this delivery belongs to a mailbox already, or is not held")
	}
	_, err = t.exec(`UPDATE delivery SET mailbox = $1, box = $1, recipient = $2, state = $3, next = NULL,
		reply = 'assigned to ' || $2 || '; it was sent to ' || recipient, changed = $4 WHERE seq = $5`,
		int64(a.Mailbox), address(a.To), int64(a.State), micros(a.At), seq)
	if err != nil {
		return fmt.Errorf("assign delivery: %w", err)
	}
	t.unhold(seq)
	t.putCopy(tenant, asInt(r[5]), inboxNumber, &doppelboden.Copy{Mailbox: a.Mailbox, Date: asTime(r[6])})
	t.count(tenant, was, -1)
	t.count(tenant, a.State, 1)
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: a.At, Tenant: tenant,
		Message: a.Ref.Message, N: a.Ref.N, State: a.State, By: a.By})
	return nil
}

// Unassigned returns how many held deliveries of each tenant belong to no mailbox.
func (s *Store) Unassigned(ctx context.Context) (map[doppelboden.TenantID]int64, error) {
	held := map[doppelboden.TenantID]int64{}
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			held[doppelboden.TenantID(asInt(r[0]))] = asInt(r[1])
			return nil
		}, "SELECT tenant, count(*) FROM delivery WHERE box = 0 AND state = 1 GROUP BY tenant")
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

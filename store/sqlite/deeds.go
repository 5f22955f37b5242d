package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

const (
	deedColumns = "SELECT " + lyingColumns + ", c.tenant, c.mailbox, f.name, f.use FROM copy c "
	deedJoin    = " LEFT JOIN folder f ON f.mailbox = c.mailbox AND f.number = c.folder "
	deedWhere   = "AND (?2 = 0 OR c.tenant = ?2) AND (?3 = 0 OR c.mailbox = ?3) "
	deedsOfAll  = deedColumns + "INDEXED BY copy_open" + deedJoin + "WHERE c.open = 1 AND c.deed > ?1 " + deedWhere + "ORDER BY c.deed LIMIT ?4"
	deedsOfBox  = deedColumns + "INDEXED BY copy_owed" + deedJoin + "WHERE c.open = 1 AND c.mailbox = ?3 AND c.deed > ?1 " + deedWhere + "ORDER BY c.deed LIMIT ?4"
	deedsOfOne  = deedColumns + "INDEXED BY copy_message" + deedJoin + `WHERE c.message = (SELECT num FROM message WHERE id = ?5) AND c.open = 1
		AND c.deed > ?1 ` + deedWhere + "ORDER BY c.deed LIMIT ?4"
)

// Deeds yields what people did and the groupware does not know.
func (s *Store) Deeds(ctx context.Context, f store.DeedFilter, yield func(store.Deed) error) error {
	last, left := f.After, f.Limit
	return walk(func() (page []store.Deed, err error) {
		limit := pageRows
		if f.Limit > 0 {
			if limit = min(limit, left); limit == 0 {
				return nil, nil
			}
		}
		text, args := deedsOfAll, []driver.Value{last, int64(f.Tenant), int64(f.Mailbox), int64(limit)}
		switch {
		case !f.Message.IsZero():
			text, args = deedsOfOne, append(args, f.Message[:])
		case f.Mailbox != 0:
			text = deedsOfBox
		}
		err = s.read(ctx, func(c *conn) error {
			page = page[:0]
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, readDeed(row))
				return nil
			}, text, args...)
		})
		if err == nil && len(page) > 0 {
			last, left = page[len(page)-1].Number, left-len(page)
		}
		return page, err
	}, yield)
}

// readDeed reads deedColumns.
func readDeed(row []driver.Value) store.Deed {
	l, more := readLying(row), row[lyingWidth:]
	d := store.Deed{Number: l.Number, Tenant: doppelboden.TenantID(asInt(more[0])), Mailbox: doppelboden.MailboxID(asInt(more[1])), Message: l.ID,
		Was: l.Was, UID: l.UID, Date: l.Date, Size: l.Size, Change: l.Change, At: l.At}
	if l.Folder != 0 && l.Flags&doppelboden.Hidden == 0 {
		d.Is = &store.Spot{Folder: asText(more[2]), Use: store.Use(asText(more[3])), Flags: l.Flags}
	}
	return d
}

// DeedCounts counts deeds by mailbox.
func (s *Store) DeedCounts(ctx context.Context) (list []store.DeedCount, err error) {
	err = s.read(ctx, func(c *conn) error {
		list = nil
		return c.query(ctx, func(row []driver.Value) error {
			list = append(list, store.DeedCount{Tenant: doppelboden.TenantID(asInt(row[0])), Mailbox: doppelboden.MailboxID(asInt(row[1])),
				Deeds: asInt(row[2]), Oldest: asTime(row[3])})
			return nil
		}, "SELECT max(tenant), mailbox, count(*), min(at) FROM copy INDEXED BY copy_owed WHERE open = 1 GROUP BY mailbox ORDER BY mailbox")
	})
	return list, err
}

// Returned notes how the groupware has mails.
func (s *Store) Returned(ctx context.Context, lease store.Lease, list []store.Returned) error {
	return s.do(ctx, &op{synced: true, run: func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		for i := range list {
			if err := t.returned(&list[i]); err != nil {
				return fmt.Errorf("note what went back: %w", err)
			}
		}
		return nil
	}})
}

func (t *tx) returned(r *store.Returned) error {
	rows, err := t.load(nil, loadDeed, r.Number)
	if err != nil || len(rows) == 0 {
		return err
	}
	row, err := t.c.one(background, "SELECT tenant, mailbox FROM copy WHERE deed = ?", r.Number)
	if err != nil {
		return err
	}
	k, err := t.keep(doppelboden.TenantID(asInt(row[0])), doppelboden.MailboxID(asInt(row[1])), 0)
	if err != nil {
		return err
	}
	k.Keeping.Returned(&rows[0], r)
	return k.put(rows)
}

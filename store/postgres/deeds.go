package postgres

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

const (
	deedColumns = "SELECT " + lyingColumns + ", c.tenant, c.mailbox, f.name, f.use FROM "
	deedJoin    = " LEFT JOIN folder f ON f.mailbox = c.mailbox AND f.number = c.folder "
	deedWhere   = "c.deed > $1 AND ($2 = 0 OR c.tenant = $2) "
	deedsOfAll  = deedColumns + "copy c" + deedJoin + "WHERE c.open AND " + deedWhere + "AND $4 = 0 ORDER BY c.deed LIMIT $3"
	deedsOfBox  = deedColumns + "copy c" + deedJoin + "WHERE c.open AND c.mailbox + 0 IS NOT NULL AND c.mailbox = $4 AND " + deedWhere + "ORDER BY c.deed LIMIT $3"
	deedsOfOne  = deedColumns + "message m JOIN copy c ON c.message = m.num AND c.message + 0 IS NOT NULL" + deedJoin + "WHERE m.id = $5 AND c.open::int = 1 AND coalesce(c.deed, 0) > $1 AND ($2 = 0 OR c.tenant = $2) " +
		"AND ($4 = 0 OR c.mailbox - 0 = $4) ORDER BY c.deed LIMIT $3"
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
		text, args := deedsOfAll, []any{last, int64(f.Tenant), int64(limit), int64(f.Mailbox)}
		switch {
		case !f.Message.IsZero():
			text, args = deedsOfOne, append(args, f.Message[:])
		case f.Mailbox != 0:
			text = deedsOfBox
		}
		err = s.readFor(ctx, f.Tenant, func(c *conn) error {
			page = page[:0]
			return c.query(ctx, func(r row) error {
				page = append(page, readDeed(r))
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
func readDeed(r row) store.Deed {
	one, more := readLying(r), r[lyingWidth:]
	d := store.Deed{Number: one.Number, Tenant: doppelboden.TenantID(asInt(more[0])), Mailbox: doppelboden.MailboxID(asInt(more[1])), Message: one.ID,
		Was: one.Was, UID: one.UID, Date: one.Date, Size: one.Size, Change: one.Change, At: one.At}
	if one.Folder != 0 && one.Flags&doppelboden.Hidden == 0 {
		d.Is = &store.Spot{Folder: asText(more[2]), Use: store.Use(asText(more[3])), Flags: one.Flags}
	}
	return d
}

const deedCounts = "SELECT max(tenant), mailbox, count(*), min(at) FROM copy WHERE open AND mailbox + 0 IS NOT NULL GROUP BY mailbox ORDER BY mailbox"

// DeedCounts counts deeds by mailbox.
func (s *Store) DeedCounts(ctx context.Context) (list []store.DeedCount, err error) {
	err = s.read(ctx, func(c *conn) error {
		list = nil
		return c.query(ctx, func(r row) error {
			list = append(list, store.DeedCount{Tenant: doppelboden.TenantID(asInt(r[0])), Mailbox: doppelboden.MailboxID(asInt(r[1])),
				Deeds: asInt(r[2]), Oldest: asTime(r[3])})
			return nil
		}, deedCounts)
	})
	return list, err
}

const (
	deedBoxes = "SELECT c.deed, c.tenant, c.mailbox FROM unnest($1::bigint[]) u (deed) JOIN copy c ON c.deed = u.deed ORDER BY c.mailbox, c.deed"
	loadDeeds = "SELECT " + lyingColumns + " FROM unnest($1::bigint[]) u (deed) JOIN copy c ON c.deed = u.deed ORDER BY c.deed"
)

// Returned notes how the groupware has mails.
func (s *Store) Returned(ctx context.Context, lease store.Lease, list []store.Returned) error {
	return s.do(ctx, &op{lease: &lease, run: func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		if err := t.returned(list); err != nil {
			return fmt.Errorf("note what went back: %w", err)
		}
		return nil
	}})
}

// returned notes it mailbox by mailbox, in one order on all nodes.
func (t *tx) returned(list []store.Returned) error {
	numbers, said := make([]int64, len(list)), map[int64][]*store.Returned{}
	for n := range list {
		numbers[n] = list[n].Number
		said[numbers[n]] = append(said[numbers[n]], &list[n])
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if err := t.flush(); err != nil {
		return err
	}
	type box struct {
		tenant, mailbox int64
		deeds           []int64
	}
	var boxes []*box
	err := t.c.query(background, func(r row) error {
		if n := len(boxes); n == 0 || boxes[n-1].mailbox != asInt(r[2]) {
			boxes = append(boxes, &box{tenant: asInt(r[1]), mailbox: asInt(r[2])})
		}
		last := boxes[len(boxes)-1]
		last.deeds = append(last.deeds, asInt(r[0]))
		return nil
	}, deedBoxes, numbers)
	if err != nil {
		return err
	}
	for _, one := range boxes {
		k, err := t.keep(doppelboden.TenantID(one.tenant), doppelboden.MailboxID(one.mailbox), 0)
		if err != nil {
			return err
		}
		rows, err := t.load(nil, loadDeeds, one.deeds) // as they are now that the mailbox is ours
		if err != nil {
			return err
		}
		for n := range rows {
			for _, one := range said[rows[n].Number] {
				k.Keeping.Returned(&rows[n], one)
			}
		}
		if err := k.put(rows); err != nil {
			return err
		}
	}
	return nil
}

package postgres

import (
	"context"
	"errors"
	"math"

	"doppelboden"
	"doppelboden/store"
)

// Ways to find where the groupware has messages: by place, or by message. A mailbox has many
// mails: what is asked of one folder, or under one UIDVALIDITY, reads no others.
const (
	harvestedColumns = `SELECT f.name, h.validity, h.uid, m.id, h.flags, h.gone, f.number `
	harvestedBounds  = ` AND (h.folder, h.validity, h.uid) > ($3, $4, $5) AND h.uid >= $6 AND h.uid <= $7 AND (NOT $8 OR h.gone IS NOT NULL) `
	harvestedOrder   = ` ORDER BY h.folder, h.validity, h.uid LIMIT $9`

	harvestedOfMailbox = harvestedColumns + `FROM harvest_mail h
		JOIN harvest_folder f ON f.mailbox = h.mailbox AND f.number = h.folder JOIN message m ON m.num = h.message
		WHERE h.mailbox = $1 AND h.tenant = $2` + harvestedBounds
	harvestedOfFolder   = harvestedOfMailbox + `AND h.folder = (SELECT number FROM harvest_folder WHERE mailbox = $1 AND name = $10)`
	harvestedOfValidity = harvestedOfFolder + ` AND h.validity = $11`
	harvestedOfMessage  = harvestedColumns + `FROM message m JOIN harvest_mail h ON h.message = m.num AND h.mailbox = $1
		JOIN harvest_folder f ON f.mailbox = h.mailbox AND f.number = h.folder
		WHERE m.id = $12 AND m.tenant = $2` + harvestedBounds + `AND ($10 = '' OR f.name = $10) AND ($11 = 0 OR h.validity = $11)`
)

// Harvested yields where the groupware has messages.
func (s *Store) Harvested(ctx context.Context, f store.HarvestFilter, yield func(store.Harvest) error) error {
	folder, validity, uid, left := int64(0), int64(0), int64(0), f.Limit
	to := int64(f.To)
	if to == 0 {
		to = math.MaxInt64
	}
	return walk(func() (page []store.Harvest, err error) {
		limit := pageRows
		if f.Limit > 0 {
			if limit = min(limit, left); limit == 0 {
				return nil, nil
			}
		}
		text, args := harvestedOfMailbox, []any{int64(f.Mailbox), int64(f.Tenant), folder, validity, uid, int64(f.From), to, f.Gone, int64(limit)}
		switch {
		case !f.Message.IsZero():
			text, args = harvestedOfMessage, append(args, f.Folder, int64(f.Validity), f.Message[:])
		case f.Validity != 0:
			text, args = harvestedOfValidity, append(args, f.Folder, int64(f.Validity))
		case f.Folder != "":
			text, args = harvestedOfFolder, append(args, f.Folder)
		}
		err = s.readFor(ctx, f.Tenant, func(c *conn) error {
			page = nil
			return c.query(ctx, func(r row) error {
				page = append(page, store.Harvest{Tenant: f.Tenant, Mailbox: f.Mailbox, Folder: asText(r[0]), Validity: uint32(asInt(r[1])),
					UID: uint32(asInt(r[2])), Message: asID(r[3]), Flags: uint32(asInt(r[4])), Gone: asTime(r[5])})
				folder, validity, uid = asInt(r[6]), asInt(r[1]), asInt(r[2])
				return nil
			}, text+harvestedOrder, args...)
		})
		left -= len(page)
		return page, err
	}, yield)
}

const harvestFolderColumns = `SELECT name, use, ours, validity, next, low, filled, modseq, total, flags, since, at, gone, mailbox FROM harvest_folder `

// readHarvestFolder reads harvestFolderColumns.
func readHarvestFolder(r row, t doppelboden.TenantID) store.HarvestFolder {
	return store.HarvestFolder{Tenant: t, Mailbox: doppelboden.MailboxID(asInt(r[13])), Name: asText(r[0]), Use: store.Use(asText(r[1])), Ours: asInt(r[2]),
		Validity: uint32(asInt(r[3])), Next: uint32(asInt(r[4])), Low: uint32(asInt(r[5])), Filled: asBool(r[6]),
		ModSeq: uint64(asInt(r[7])), Exists: uint32(asInt(r[8])), Flags: asTime(r[9]), Since: asTime(r[10]), At: asTime(r[11]),
		Gone: asBool(r[12])}
}

// HarvestFolders returns what is known of the folders of a groupware's mailbox.
func (s *Store) HarvestFolders(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (list []store.HarvestFolder, err error) {
	err = s.readFor(ctx, t, func(c *conn) error {
		list = nil
		return c.query(ctx, func(r row) error {
			list = append(list, readHarvestFolder(r, t))
			return nil
		}, harvestFolderColumns+"WHERE mailbox = $1 AND tenant = $2 ORDER BY name", int64(m), int64(t))
	})
	return list, err
}

// AllHarvestFolders yields what is known of the folders of a tenant's mailboxes.
func (s *Store) AllHarvestFolders(ctx context.Context, t doppelboden.TenantID, yield func(store.HarvestFolder) error) error {
	var last store.HarvestFolder
	return walk(func() (page []store.HarvestFolder, err error) {
		err = s.readFor(ctx, t, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				last = readHarvestFolder(r, t)
				page = append(page, last)
				return nil
			}, harvestFolderColumns+"WHERE tenant = $1 AND (mailbox, name) > ($2, $3) ORDER BY mailbox, name LIMIT $4",
				int64(t), int64(last.Mailbox), last.Name, int64(pageRows))
		})
		return page, err
	}, yield)
}

const harvestBoxColumns = "SELECT mailbox, began, at, trouble, tried, vanished, confirm, restored FROM harvest_box "

// readHarvestBox reads harvestBoxColumns.
func readHarvestBox(r row, t doppelboden.TenantID) store.HarvestBox {
	return store.HarvestBox{Tenant: t, Mailbox: doppelboden.MailboxID(asInt(r[0])), Began: asTime(r[1]), At: asTime(r[2]),
		Trouble: asText(r[3]), Tried: asTime(r[4]), Vanished: asInt(r[5]), Confirm: asBool(r[6]), Restored: asTime(r[7])}
}

// HarvestBoxes yields what is known of a tenant's mailboxes.
func (s *Store) HarvestBoxes(ctx context.Context, t doppelboden.TenantID, yield func(store.HarvestBox) error) error {
	last := int64(0)
	return walk(func() (page []store.HarvestBox, err error) {
		err = s.readFor(ctx, t, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				page, last = append(page, readHarvestBox(r, t)), asInt(r[0])
				return nil
			}, harvestBoxColumns+"WHERE tenant = $1 AND mailbox > $2 ORDER BY tenant, mailbox LIMIT $3", int64(t), last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// HarvestBox returns what is known of a mailbox.
func (s *Store) HarvestBox(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (b store.HarvestBox, err error) {
	b = store.HarvestBox{Tenant: t, Mailbox: m}
	err = s.readFor(ctx, t, func(c *conn) error {
		r, err := c.one(ctx, harvestBoxColumns+"WHERE mailbox = $1 AND tenant = $2", int64(m), int64(t))
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			b = readHarvestBox(r, t)
		}
		return err
	})
	return b, err
}

// Marked returns marks with one of the sums.
func (s *Store) Marked(ctx context.Context, t doppelboden.TenantID, sums [][16]byte) (list []store.HarvestMark, err error) {
	wanted := make([][]byte, len(sums))
	for i := range sums {
		wanted[i] = sums[i][:]
	}
	err = s.readFor(ctx, t, func(c *conn) error {
		list = nil
		return c.query(ctx, func(r row) error {
			m := store.HarvestMark{Tenant: t, Message: asID(r[1])}
			copy(m.Sum[:], r[0])
			list = append(list, m)
			return nil
		}, `SELECT u.sum, h.id FROM unnest($2::bytea[]) WITH ORDINALITY u (sum, place) CROSS JOIN LATERAL (SELECT m.id, k.message
				FROM harvest_mark k JOIN message m ON m.num = k.message WHERE k.tenant = $1 AND k.sum = u.sum ORDER BY k.message LIMIT 100) h
			ORDER BY u.place, h.message`, int64(t), wanted)
	})
	return list, err
}

// unmarkedSpan is how many numbers one read of Unmarked looks at: other tenants have their
// share of them.
const unmarkedSpan = 10_000

// Unmarked returns messages of a tenant behind a number.
func (s *Store) Unmarked(ctx context.Context, t doppelboden.TenantID, after int64, limit int) (list []store.Unmarked, end int64, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
		list, end = nil, after
		r, err := c.one(ctx, "SELECT coalesce((SELECT num FROM message ORDER BY num DESC LIMIT 1), 0)")
		if err != nil {
			return err
		}
		to := min(max(asInt(r[0]), after), after+unmarkedSpan)
		err = c.query(ctx, func(r row) error {
			list = append(list, store.Unmarked{Number: asInt(r[len(r)-1]), Message: readMessage(r)})
			return nil
		}, "SELECT "+messageColumns+", m.num FROM message m WHERE m.num > $1 AND m.num <= $2 AND m.tenant = $3 ORDER BY m.num LIMIT $4",
			after, to, int64(t), int64(limit))
		if end = to; len(list) == limit {
			end = list[limit-1].Number
		}
		return err
	})
	return list, end, err
}

// Marking returns how far a tenant's messages have their marks.
func (s *Store) Marking(ctx context.Context, t doppelboden.TenantID) (m store.Marking, err error) {
	err = s.readFor(ctx, t, func(c *conn) error {
		m = store.Marking{}
		r, err := c.one(ctx, `SELECT number, sum_key, key_version, journal_first, journal_last, hairpin_first, hairpin_last
			FROM harvest_marked WHERE tenant = $1`, int64(t))
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			m = store.Marking{Number: asInt(r[0]), Key: asBlob(r[1]), KeyVersion: int(asInt(r[2])), JournalFirst: asTime(r[3]),
				JournalLast: asTime(r[4]), HairpinFirst: asTime(r[5]), HairpinLast: asTime(r[6])}
		}
		return err
	})
	return m, err
}

// CopiesOf returns where messages lie in a mailbox.
func (s *Store) CopiesOf(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) (list []doppelboden.Copy, err error) {
	err = s.readFor(ctx, t, func(c *conn) error {
		list = nil
		for _, id := range ids {
			some, err := copiesOf(ctx, c, t, m, id)
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
		return nil
	})
	return list, err
}

// copiesOf returns where one message lies in a mailbox.
func copiesOf(ctx context.Context, c *conn, t doppelboden.TenantID, m doppelboden.MailboxID, id doppelboden.ID) (list []doppelboden.Copy, err error) {
	err = c.query(ctx, func(r row) error {
		list = append(list, readCopy(r))
		return nil
	}, "(SELECT "+copyColumns+` FROM message x JOIN copy c ON c.message = x.num AND c.message + 0 IS NOT NULL AND c.mailbox - 0 = $1 `+copyJoins+`WHERE x.id = $2 AND x.tenant = $3 AND c.folder - 0 > 0)
		UNION ALL (SELECT `+impliedColumns+`FROM message m JOIN delivery d ON d.seq >= m.num AND d.seq < m.num + m.deliveries
		WHERE m.id = $2 AND m.tenant = $3 AND d.mailbox = $1 AND d.inbox AND d.seq > `+looked+`) ORDER BY 8`, int64(m), id[:], int64(t))
	return list, err
}

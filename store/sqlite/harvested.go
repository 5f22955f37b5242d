package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"

	"doppelboden"
	"doppelboden/store"
)

// Ways to find where the groupware has messages: by place, or by message. A mailbox has many
// mails: what is asked of one folder, or under one UIDVALIDITY, reads no others.
const (
	// harvestedColumns are what readHarvest reads, with h for harvest_mail, f for harvest_folder
	// and m for message.
	harvestedColumns = `SELECT f.name, h.validity, h.uid, m.id, h.flags, h.gone, f.number `
	harvestedBounds  = ` AND (h.folder, h.validity, h.uid) > (?3, ?4, ?5) AND h.uid >= ?6 AND h.uid <= ?7 AND (?8 = 0 OR h.gone IS NOT NULL) `
	harvestedOrder   = ` ORDER BY h.folder, h.validity, h.uid LIMIT ?9`

	harvestedOfMailbox = harvestedColumns + `FROM harvest_mail h
		CROSS JOIN harvest_folder f ON f.mailbox = h.mailbox AND f.number = h.folder CROSS JOIN message m ON m.num = h.message
		WHERE h.mailbox = ?1 AND h.tenant = ?2` + harvestedBounds
	harvestedOfFolder   = harvestedOfMailbox + `AND h.folder = (SELECT number FROM harvest_folder WHERE mailbox = ?1 AND name = ?10)`
	harvestedOfValidity = harvestedOfFolder + ` AND h.validity = ?11`
	harvestedOfMessage  = harvestedColumns + `FROM message m CROSS JOIN harvest_mail h INDEXED BY harvest_mail_message
		ON h.message = m.num AND h.mailbox = ?1 CROSS JOIN harvest_folder f ON f.mailbox = h.mailbox AND f.number = h.folder
		WHERE m.id = ?12 AND m.tenant = ?2` + harvestedBounds + `AND (?10 = '' OR f.name = ?10) AND (?11 = 0 OR h.validity = ?11)`
)

// Harvested yields where the groupware has messages.
func (s *Store) Harvested(ctx context.Context, f store.HarvestFilter, yield func(store.Harvest) error) error {
	folder, validity, uid, left := int64(0), int64(0), int64(0), f.Limit
	from, to := int64(f.From), int64(f.To)
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
		each := func(row []driver.Value) error {
			page = append(page, readHarvest(row, &f))
			folder, validity, uid = asInt(row[6]), asInt(row[1]), asInt(row[2])
			return nil
		}
		text, args := harvestedOfMailbox, []driver.Value{int64(f.Mailbox), int64(f.Tenant), folder, validity, uid, from, to, f.Gone, int64(limit)}
		switch {
		case !f.Message.IsZero():
			text, args = harvestedOfMessage, append(args, f.Folder, int64(f.Validity), f.Message[:])
		case f.Validity != 0:
			text, args = harvestedOfValidity, append(args, f.Folder, int64(f.Validity))
		case f.Folder != "":
			text, args = harvestedOfFolder, append(args, f.Folder)
		}
		err = s.read(ctx, func(c *conn) error { return c.query(ctx, each, text+harvestedOrder, args...) })
		left -= len(page)
		return page, err
	}, yield)
}

// readHarvest reads harvestedColumns.
func readHarvest(row []driver.Value, f *store.HarvestFilter) store.Harvest {
	return store.Harvest{Tenant: f.Tenant, Mailbox: f.Mailbox, Folder: asText(row[0]), Validity: uint32(asInt(row[1])),
		UID: uint32(asInt(row[2])), Message: asID(row[3]), Flags: uint32(asInt(row[4])), Gone: asTime(row[5])}
}

const harvestFolderColumns = `SELECT name, use, ours, validity, next, low, filled, modseq, total, flags, since, at, gone, mailbox FROM harvest_folder `

// readHarvestFolder reads harvestFolderColumns.
func readHarvestFolder(row []driver.Value, t doppelboden.TenantID) store.HarvestFolder {
	return store.HarvestFolder{Tenant: t, Mailbox: doppelboden.MailboxID(asInt(row[13])), Name: asText(row[0]), Use: store.Use(asText(row[1])), Ours: asInt(row[2]),
		Validity: uint32(asInt(row[3])), Next: uint32(asInt(row[4])), Low: uint32(asInt(row[5])), Filled: asInt(row[6]) != 0,
		ModSeq: uint64(asInt(row[7])), Exists: uint32(asInt(row[8])), Flags: asTime(row[9]), Since: asTime(row[10]), At: asTime(row[11]),
		Gone: asInt(row[12]) != 0}
}

// HarvestFolders returns what is known of the folders of a groupware's mailbox.
func (s *Store) HarvestFolders(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (list []store.HarvestFolder, err error) {
	err = s.read(ctx, func(c *conn) error {
		list = nil
		return c.query(ctx, func(row []driver.Value) error {
			list = append(list, readHarvestFolder(row, t))
			return nil
		}, harvestFolderColumns+"WHERE mailbox = ? AND tenant = ? ORDER BY name", int64(m), int64(t))
	})
	return list, err
}

// AllHarvestFolders yields what is known of the folders of a tenant's mailboxes.
func (s *Store) AllHarvestFolders(ctx context.Context, t doppelboden.TenantID, yield func(store.HarvestFolder) error) error {
	var last store.HarvestFolder
	return walk(func() (page []store.HarvestFolder, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				last = readHarvestFolder(row, t)
				page = append(page, last)
				return nil
			}, harvestFolderColumns+"INDEXED BY harvest_folder_name WHERE tenant = ? AND (mailbox, name) > (?, ?) ORDER BY mailbox, name LIMIT ?",
				int64(t), int64(last.Mailbox), last.Name, int64(pageRows))
		})
		return page, err
	}, yield)
}

const harvestBoxColumns = "SELECT mailbox, began, at, trouble, tried, vanished, confirm, restored FROM harvest_box "

// readHarvestBox reads harvestBoxColumns.
func readHarvestBox(row []driver.Value, t doppelboden.TenantID) store.HarvestBox {
	return store.HarvestBox{Tenant: t, Mailbox: doppelboden.MailboxID(asInt(row[0])), Began: asTime(row[1]), At: asTime(row[2]),
		Trouble: asText(row[3]), Tried: asTime(row[4]), Vanished: asInt(row[5]), Confirm: asInt(row[6]) != 0, Restored: asTime(row[7])}
}

// HarvestBoxes yields what is known of a tenant's mailboxes.
func (s *Store) HarvestBoxes(ctx context.Context, t doppelboden.TenantID, yield func(store.HarvestBox) error) error {
	last := int64(0)
	return walk(func() (page []store.HarvestBox, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				page, last = append(page, readHarvestBox(row, t)), asInt(row[0])
				return nil
			}, harvestBoxColumns+"INDEXED BY harvest_box_tenant WHERE tenant = ? AND mailbox > ? ORDER BY mailbox LIMIT ?", int64(t), last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// HarvestBox returns what is known of a mailbox.
func (s *Store) HarvestBox(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (b store.HarvestBox, err error) {
	b = store.HarvestBox{Tenant: t, Mailbox: m}
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, harvestBoxColumns+"WHERE mailbox = ? AND tenant = ?", int64(m), int64(t))
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			b = readHarvestBox(row, t)
		}
		return err
	})
	return b, err
}

// Marked returns marks with one of the sums.
func (s *Store) Marked(ctx context.Context, t doppelboden.TenantID, sums [][16]byte) (list []store.HarvestMark, err error) {
	err = s.read(ctx, func(c *conn) error {
		list = nil
		for _, sum := range sums {
			err := c.query(ctx, func(row []driver.Value) error {
				list = append(list, store.HarvestMark{Tenant: t, Sum: sum, Message: asID(row[0])})
				return nil
			}, "SELECT m.id FROM harvest_mark h CROSS JOIN message m ON m.num = h.message WHERE h.tenant = ? AND h.sum = ? ORDER BY h.message LIMIT 100",
				int64(t), sum[:])
			if err != nil {
				return err
			}
		}
		return nil
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
		row, err := c.one(ctx, "SELECT ifnull(max(num), 0) FROM message")
		if err != nil {
			return err
		}
		to := min(max(asInt(row[0]), after), after+unmarkedSpan)
		err = c.query(ctx, func(row []driver.Value) error {
			list = append(list, store.Unmarked{Number: asInt(row[len(row)-1]), Message: readMessage(row)})
			return nil
		}, "SELECT "+messageColumns+`, m.num FROM message m CROSS JOIN segment g ON g.num = m.segment
			WHERE m.num > ? AND m.num <= ? AND m.tenant = ? ORDER BY m.num LIMIT ?`, after, to, int64(t), int64(limit))
		if end = to; len(list) == limit {
			end = list[limit-1].Number
		}
		return err
	})
	return list, end, err
}

// Marking returns how far a tenant's messages have their marks.
func (s *Store) Marking(ctx context.Context, t doppelboden.TenantID) (m store.Marking, err error) {
	err = s.read(ctx, func(c *conn) error {
		m = store.Marking{}
		row, err := c.one(ctx, `SELECT number, sum_key, key_version, journal_first, journal_last, hairpin_first, hairpin_last
			FROM harvest_marked WHERE tenant = ?`, int64(t))
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			m = store.Marking{Number: asInt(row[0]), Key: asBlob(row[1]), KeyVersion: int(asInt(row[2])), JournalFirst: asTime(row[3]),
				JournalLast: asTime(row[4]), HairpinFirst: asTime(row[5]), HairpinLast: asTime(row[6])}
		}
		return err
	})
	return m, err
}

// CopiesOf returns where messages lie in a mailbox.
func (s *Store) CopiesOf(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) (list []doppelboden.Copy, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
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
	err = c.query(ctx, func(row []driver.Value) error {
		list = append(list, readCopy(row))
		return nil
	}, "SELECT "+copyColumns+` FROM message x CROSS JOIN copy c INDEXED BY copy_message ON c.mailbox = ?1 AND c.message = x.num `+copyJoins+`WHERE x.id = ?2 AND x.tenant = ?3 AND c.folder > 0
		UNION ALL SELECT `+impliedColumns+`FROM message m CROSS JOIN delivery d ON d.seq >= m.num AND d.seq < m.num + m.deliveries
		WHERE m.id = ?2 AND m.tenant = ?3 AND d.mailbox = ?1 AND d.inbox = 1 AND d.seq > `+looked+` ORDER BY 8`, int64(m), id[:], int64(t))
	return list, err
}

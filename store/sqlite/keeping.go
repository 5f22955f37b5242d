package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// A keeping is a mailbox while a transaction changes something in it.
type keeping struct {
	store.Keeping
	t      *tx
	looked int64 // how far somebody has looked into the inbox; see folder.looked
	next   int64 // n of the next copy; 0: not known yet
}

// keep makes a mailbox ready for a change. Where before is the token of a transaction that
// the same operation had run in, and that was committed after all, it returns nil.
func (t *tx) keep(tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, before int64) (*keeping, error) {
	k := &keeping{t: t, Keeping: store.Keeping{Tenant: tenant, Mailbox: mailbox, Folders: map[int64]*store.Folder{}, Touched: map[int64]bool{}}}
	row, err := t.c.one(background, "SELECT change, validity, folders, token FROM numbering WHERE mailbox = ?", int64(mailbox))
	switch {
	case errors.Is(err, errNoRow): // of a mailbox that the directory does not have
		k.Numbers = inboxNumber
	case err != nil:
		return nil, fmt.Errorf("read numbering: %w", err)
	case before != 0 && asInt(row[3]) == before:
		return nil, nil
	default:
		k.Change, k.Validity, k.Numbers = asInt(row[0]), asInt(row[1]), asInt(row[2])
	}
	k.Change++
	err = readFolders(background, t.c, tenant, mailbox, func(f store.Folder, looked int64) {
		k.Folders[f.Folder] = &f
		if f.Folder == inboxNumber {
			k.looked = looked
		}
	})
	return k, err
}

const foldersQuery = `SELECT number, name, use, subscribed, uid_validity, uid_next, total, unseen, change, looked
	FROM folder WHERE mailbox = ? AND tenant = ? ORDER BY number`

// readFolders reads the folders of a mailbox without what is fresh.
func readFolders(ctx context.Context, c *conn, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, each func(f store.Folder, looked int64)) error {
	err := c.query(ctx, func(row []driver.Value) error {
		each(store.Folder{Place: store.Place{Tenant: tenant, Mailbox: mailbox, Folder: asInt(row[0])}, Name: asText(row[1]),
			Use: store.Use(asText(row[2])), Subscribed: asInt(row[3]) != 0, Validity: uint32(asInt(row[4])), Next: uint32(asInt(row[5])),
			Total: asInt(row[6]), Unseen: asInt(row[7]), Change: asInt(row[8])}, asInt(row[9]))
		return nil
	}, foldersQuery, int64(mailbox), int64(tenant))
	if err != nil {
		return fmt.Errorf("read folders: %w", err)
	}
	return nil
}

// save writes the folders that were touched and the numbering.
func (k *keeping) save() error {
	for n := range k.Touched {
		f := k.Folders[n]
		looked := int64(0)
		if n == inboxNumber {
			looked = k.looked
		}
		_, err := k.t.c.exec(background, `INSERT INTO folder (tenant, mailbox, number, name, use, subscribed, uid_validity, uid_next, total, unseen, change, looked)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (mailbox, number) DO UPDATE SET name = excluded.name, use = excluded.use,
			subscribed = excluded.subscribed, uid_next = excluded.uid_next, total = excluded.total, unseen = excluded.unseen,
			change = excluded.change, looked = excluded.looked`,
			int64(k.Tenant), int64(k.Mailbox), n, f.Name, string(f.Use), f.Subscribed, int64(f.Validity), int64(f.Next), f.Total, f.Unseen, f.Change, looked)
		if err != nil {
			return fmt.Errorf("write folder: %w", err)
		}
	}
	_, err := k.t.c.exec(background, `INSERT INTO numbering (mailbox, tenant, change, validity, folders, token) VALUES (?,?,?,?,?,?)
		ON CONFLICT (mailbox) DO UPDATE SET change = excluded.change, validity = excluded.validity, folders = excluded.folders, token = excluded.token`,
		int64(k.Mailbox), int64(k.Tenant), k.Change, k.Validity, k.Numbers, k.t.token)
	if err != nil {
		return fmt.Errorf("write numbering: %w", err)
	}
	return nil
}

// lyingColumns are what readLying reads, with c for copy.
const lyingColumns = `c.n, c.message, c.id, c.size, c.scan, c.folder, c.uid, c.flags, c.date, c.change, c.known, c.deed, c.open,
	c.was_folder, c.was_use, c.was_flags, c.at`

// lyingWidth is the number of lyingColumns.
const lyingWidth = 17

// readLying reads lyingColumns.
func readLying(row []driver.Value) store.Lying {
	l := store.Lying{N: asInt(row[0]), Message: asInt(row[1]), ID: asID(row[2]), Size: asInt(row[3]), Scan: doppelboden.ScanState(asInt(row[4])),
		Folder: asInt(row[5]), UID: uint32(asInt(row[6])), Flags: uint32(asInt(row[7])), Date: asTime(row[8]), Change: asInt(row[9]),
		Known: asInt(row[10]), Number: asInt(row[11]), Open: asInt(row[12]) != 0, At: asTime(row[16])}
	if row[13] != nil {
		l.Was = &store.Spot{Folder: asText(row[13]), Use: store.Use(asText(row[14])), Flags: uint32(asInt(row[15]))}
	}
	return l
}

// load appends the rows that a query finds.
func (t *tx) load(rows []store.Lying, where string, args ...driver.Value) ([]store.Lying, error) {
	err := t.c.query(background, func(row []driver.Value) error {
		rows = append(rows, readLying(row))
		return nil
	}, "SELECT "+lyingColumns+" FROM copy c "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read copies: %w", err)
	}
	return rows, nil
}

const (
	loadUIDs   = "INDEXED BY copy_uid WHERE c.mailbox = ? AND c.folder = ? AND c.uid >= ? AND c.uid <= ? ORDER BY c.uid"
	loadFresh  = "INDEXED BY copy_fresh WHERE c.mailbox = ? AND c.folder = ? AND c.folder > 0 AND c.uid IS NULL ORDER BY c.n"
	loadOpen   = "INDEXED BY copy_owed WHERE c.mailbox = ? AND c.open = 1 ORDER BY c.deed"
	loadDeed   = "INDEXED BY copy_deed WHERE c.deed = ?"
	maxUID     = int64(1<<32 - 1)
	insertCopy = `INSERT INTO copy (mailbox, n, tenant, message, id, size, scan, folder, uid, flags, date, change, known, deed, open,
		was_folder, was_use, was_flags, at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	updateCopy = `UPDATE copy SET folder = ?, uid = ?, flags = ?, change = ?, known = ?, deed = ?, open = ?, was_folder = ?, was_use = ?,
		was_flags = ?, at = ? WHERE mailbox = ? AND n = ?`
)

// rowsIn returns all copies in a folder.
func (k *keeping) rowsIn(folder int64) ([]store.Lying, error) {
	rows, err := k.t.load(nil, loadUIDs, int64(k.Mailbox), folder, int64(0), maxUID)
	if err != nil {
		return nil, err
	}
	return k.t.load(rows, loadFresh, int64(k.Mailbox), folder)
}

// rowsOf returns the copies in a folder that have one of the UIDs, in their order.
func (k *keeping) rowsOf(folder int64, uids []uint32) (rows []store.Lying, err error) {
	for _, r := range store.Ranges(uids) {
		if rows, err = k.t.load(rows, loadUIDs, int64(k.Mailbox), folder, int64(r.From), int64(r.To)); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// put writes copies that are new or were changed.
func (k *keeping) put(rows []store.Lying) error {
	for i := range rows {
		if err := k.putOne(&rows[i]); err != nil {
			return fmt.Errorf("write copy of %s: %w", rows[i].ID, err)
		}
	}
	return nil
}

func (k *keeping) putOne(l *store.Lying) (err error) {
	switch {
	case l.Gone && l.N != 0:
		_, err = k.t.c.exec(background, "DELETE FROM copy WHERE mailbox = ? AND n = ?", int64(k.Mailbox), l.N)
		return err
	case l.Gone || !l.Dirty:
		return nil
	}
	if l.Open && l.Number == 0 {
		if l.Number, err = k.t.deed(); err != nil {
			return err
		}
	}
	var uid, deed, folder, use, flags driver.Value
	if l.UID != 0 {
		uid = int64(l.UID)
	}
	if l.Number != 0 {
		deed = l.Number
	}
	if l.Was != nil {
		folder, use, flags = l.Was.Folder, string(l.Was.Use), int64(l.Was.Flags)
	}
	if l.N != 0 {
		_, err = k.t.c.exec(background, updateCopy, l.Folder, uid, int64(l.Flags), l.Change, l.Known, deed, l.Open, folder, use, flags,
			micros(l.At), int64(k.Mailbox), l.N)
		return err
	}
	if l.N, err = k.n(); err != nil {
		return err
	}
	_, err = k.t.c.exec(background, insertCopy, int64(k.Mailbox), l.N, int64(k.Tenant), l.Message, l.ID[:], l.Size, int64(l.Scan), l.Folder, uid,
		int64(l.Flags), micros(l.Date), l.Change, l.Known, deed, l.Open, folder, use, flags, micros(l.At))
	return err
}

// n returns the n of the next new copy in the mailbox.
func (k *keeping) n() (int64, error) {
	if k.next == 0 {
		row, err := k.t.c.one(background, "SELECT max(n) FROM copy WHERE mailbox = ?", int64(k.Mailbox))
		if err != nil {
			return 0, err
		}
		k.next = asInt(row[0]) + 1
	}
	k.next++
	return k.next - 1, nil
}

// deed returns the number of the next deed.
func (t *tx) deed() (int64, error) {
	row, err := t.c.one(background, "UPDATE sequence SET next = next + 1 WHERE name = 'deed' RETURNING next - 1")
	if err != nil {
		return 0, fmt.Errorf("number deed: %w", err)
	}
	return asInt(row[0]), nil
}

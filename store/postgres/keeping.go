package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// A keeping is a mailbox while a transaction changes something in it. Its row of table
// numbering is ours until the commit, so that no other node changes anything in it.
type keeping struct {
	store.Keeping
	t      *tx
	looked int64 // how far somebody has looked into the inbox; see folder.looked
}

const (
	lockNumbering = "SELECT change, validity, folders, token FROM numbering WHERE mailbox = $1 FOR UPDATE"
	foldersQuery  = `SELECT number, name, use, subscribed, uid_validity, uid_next, total, unseen, change, looked
		FROM folder WHERE mailbox = $1 AND tenant = $2 ORDER BY number`
)

// keep makes a mailbox ready for a change. Where before is the token of a transaction that
// the same operation had run in, and that was committed after all, it returns nil.
func (t *tx) keep(tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, before int64) (*keeping, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	k := &keeping{t: t, Keeping: store.Keeping{Tenant: tenant, Mailbox: mailbox, Folders: map[int64]*store.Folder{}, Touched: map[int64]bool{}}}
	r, err := t.c.one(background, lockNumbering, int64(mailbox))
	if errors.Is(err, errNoRow) { // of a mailbox that the directory does not have
		_, err = t.c.exec(background, "INSERT INTO numbering (mailbox, tenant, change, validity, folders, token) VALUES ($1, $2, 0, 0, $3, 0) ON CONFLICT (mailbox) DO NOTHING",
			int64(mailbox), int64(tenant), int64(inboxNumber))
		if err == nil {
			r, err = t.c.one(background, lockNumbering, int64(mailbox))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read numbering: %w", err)
	}
	if before != 0 && asInt(r[3]) == before {
		return nil, nil
	}
	k.Change, k.Validity, k.Numbers = asInt(r[0])+1, asInt(r[1]), asInt(r[2])
	err = readFolders(background, t.c, tenant, mailbox, func(f store.Folder, looked int64) {
		k.Folders[f.Folder] = &f
		if f.Folder == inboxNumber {
			k.looked = looked
		}
	})
	return k, err
}

// readFolders reads the folders of a mailbox without what is fresh.
func readFolders(ctx context.Context, c *conn, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, each func(f store.Folder, looked int64)) error {
	err := c.query(ctx, func(r row) error {
		each(store.Folder{Place: store.Place{Tenant: tenant, Mailbox: mailbox, Folder: asInt(r[0])}, Name: asText(r[1]),
			Use: store.Use(asText(r[2])), Subscribed: asBool(r[3]), Validity: uint32(asInt(r[4])), Next: uint32(asInt(r[5])),
			Total: asInt(r[6]), Unseen: asInt(r[7]), Change: asInt(r[8])}, asInt(r[9]))
		return nil
	}, foldersQuery, int64(mailbox), int64(tenant))
	if err != nil {
		return fmt.Errorf("read folders: %w", err)
	}
	return nil
}

const (
	saveFolders = `INSERT INTO folder (tenant, mailbox, number, name, use, subscribed, uid_validity, uid_next, total, unseen, change, looked)
		SELECT $1, $2, u.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
			$11::bigint[], $12::bigint[]) u
		ON CONFLICT (mailbox, number) DO UPDATE SET name = excluded.name, use = excluded.use, subscribed = excluded.subscribed,
			uid_next = excluded.uid_next, total = excluded.total, unseen = excluded.unseen, change = excluded.change, looked = excluded.looked`
	saveNumbering = "UPDATE numbering SET change = $2, validity = $3, folders = $4, token = $5 WHERE mailbox = $1"
)

// save writes the folders that were touched and the numbering.
func (k *keeping) save() error {
	var columns []*column
	for _, n := range slices.Sorted(maps.Keys(k.Touched)) {
		f, looked := k.Folders[n], int64(0)
		if n == inboxNumber {
			looked = k.looked
		}
		put(&columns, []uint32{i, s, s, l, i, i, i, i, i, i}, n, f.Name, string(f.Use), f.Subscribed, int64(f.Validity), int64(f.Next), f.Total, f.Unseen,
			f.Change, looked)
	}
	list := []statement{{text: saveNumbering, args: []any{int64(k.Mailbox), k.Change, k.Validity, k.Numbers, k.t.token}}}
	if columns != nil {
		args := []any{int64(k.Tenant), int64(k.Mailbox)}
		for _, c := range columns {
			args = append(args, c)
		}
		list = append(list, statement{text: saveFolders, args: args})
	}
	if err := k.t.c.all(list); err != nil {
		return fmt.Errorf("write folders: %w", err)
	}
	return nil
}

// lyingColumns are what readLying reads, with c for copy.
const lyingColumns = `c.n, c.message, c.id, c.size, c.scan, c.folder, c.uid, c.flags, c.date, c.change, c.known, c.deed, c.open,
	c.was_folder, c.was_use, c.was_flags, c.at`

// lyingWidth is the number of lyingColumns.
const lyingWidth = 17

// readLying reads lyingColumns.
func readLying(r row) store.Lying {
	one := store.Lying{N: asInt(r[0]), Message: asInt(r[1]), ID: asID(r[2]), Size: asInt(r[3]), Scan: doppelboden.ScanState(asInt(r[4])),
		Folder: asInt(r[5]), UID: uint32(asInt(r[6])), Flags: uint32(asInt(r[7])), Date: asTime(r[8]), Change: asInt(r[9]),
		Known: asInt(r[10]), Number: asInt(r[11]), Open: asBool(r[12]), At: asTime(r[16])}
	if r[13] != nil {
		one.Was = &store.Spot{Folder: asText(r[13]), Use: store.Use(asText(r[14])), Flags: uint32(asInt(r[15]))}
	}
	return one
}

// load appends the rows that a query finds.
func (t *tx) load(rows []store.Lying, query string, args ...any) ([]store.Lying, error) {
	err := t.c.query(background, func(r row) error {
		rows = append(rows, readLying(r))
		return nil
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read copies: %w", err)
	}
	return rows, nil
}

const (
	loadRange = "SELECT " + lyingColumns + " FROM copy c WHERE c.mailbox = $1 AND c.folder = $2 AND c.uid >= $3 AND c.uid <= $4 ORDER BY c.uid"
	loadFresh = "SELECT " + lyingColumns + " FROM copy c WHERE c.mailbox = $1 AND c.folder = $2 AND c.folder > 0 AND c.uid IS NULL"
	loadOpen  = "SELECT " + lyingColumns + " FROM copy c WHERE c.mailbox = $1 AND c.mailbox + 0 IS NOT NULL AND c.open ORDER BY c.deed"
	// loadUIDs finds single ones, one by one: OFFSET 0 keeps the server from reading the
	// whole folder for them.
	loadUIDs = "SELECT " + lyingColumns + ` FROM unnest($3::bigint[]) u (uid)
		CROSS JOIN LATERAL (SELECT * FROM copy c WHERE c.mailbox = $1 AND c.folder = $2 AND c.uid = u.uid OFFSET 0) c ORDER BY c.uid`

	// What is written says its mailbox in every row, likewise.
	copyWritten = `u (mailbox, n, message, id, size, scan, folder, uid, flags, date, change, known, open, was_folder, was_use, was_flags, at)`
	copyArrays  = `unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
		$11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[], $15::text[], $16::text[], $17::bigint[], $18::bigint[]) `
	insertLying = `INSERT INTO copy (mailbox, tenant, message, id, size, scan, folder, uid, flags, date, change, known, deed, open, was_folder, was_use, was_flags, at)
		SELECT u.mailbox, $1, u.message, u.id, u.size, u.scan, u.folder, u.uid, u.flags, u.date, u.change, u.known,
			CASE WHEN u.open THEN nextval('deed') END, u.open, u.was_folder, u.was_use, u.was_flags, u.at FROM ` + copyArrays + copyWritten
	updateLying = `UPDATE copy c SET folder = u.folder, uid = u.uid, flags = u.flags, change = u.change, known = u.known,
			deed = CASE WHEN u.open AND c.deed IS NULL THEN nextval('deed') ELSE c.deed END, open = u.open, was_folder = u.was_folder, was_use = u.was_use,
			was_flags = u.was_flags, at = u.at
		FROM ` + copyArrays + copyWritten + ` WHERE c.mailbox = u.mailbox AND c.n = u.n AND c.tenant - 0 = $1`
	deleteLying = "DELETE FROM copy c USING unnest($1::bigint[], $2::bigint[]) u (mailbox, n) WHERE c.mailbox = u.mailbox AND c.n = u.n"
)

// lyingTypes are the types of copyArrays.
var lyingTypes = []uint32{i, i, i, b, i, i, i, i, i, i, i, i, l, s, s, i, i}

// maxUID is the greatest one.
const maxUID = int64(1<<32 - 1)

// rowsIn returns all copies in a folder.
func (k *keeping) rowsIn(folder int64) ([]store.Lying, error) {
	rows, err := k.t.load(nil, loadRange, int64(k.Mailbox), folder, int64(0), maxUID)
	if err != nil {
		return nil, err
	}
	return k.t.load(rows, loadFresh, int64(k.Mailbox), folder)
}

// rowsOf returns the copies in a folder that have one of the UIDs, in their order.
func (k *keeping) rowsOf(folder int64, uids []uint32) ([]store.Lying, error) {
	ranges := store.Ranges(uids)
	if len(ranges) == 1 {
		return k.t.load(nil, loadRange, int64(k.Mailbox), folder, int64(ranges[0].From), int64(ranges[0].To))
	}
	var single []int64
	for _, r := range ranges {
		for uid := int64(r.From); uid <= int64(r.To); uid++ {
			single = append(single, uid)
		}
	}
	if len(single) == 0 {
		return nil, nil
	}
	return k.t.load(nil, loadUIDs, int64(k.Mailbox), folder, single)
}

// put writes copies that are new or were changed.
func (k *keeping) put(rows []store.Lying) error {
	var made, changed, gone []*column
	for at := range rows {
		one := &rows[at]
		switch {
		case one.Gone && one.N != 0:
			put(&gone, []uint32{i, i}, int64(k.Mailbox), one.N)
		case one.Gone || !one.Dirty:
		case one.N != 0:
			k.putLying(&changed, one)
		default:
			k.putLying(&made, one)
		}
	}
	list := insert(nil, deleteLying, gone)
	for _, st := range insert(insert(nil, updateLying, changed), insertLying, made) {
		st.args = append([]any{int64(k.Tenant)}, st.args...)
		list = append(list, st)
	}
	if list == nil {
		return nil
	}
	if err := k.t.c.all(list); err != nil {
		return fmt.Errorf("write copies: %w", err)
	}
	return nil
}

// putLying appends a copy to columns.
func (k *keeping) putLying(columns *[]*column, one *store.Lying) {
	var uid, folder, use, flags any
	if one.UID != 0 {
		uid = int64(one.UID)
	}
	if one.Was != nil {
		folder, use, flags = one.Was.Folder, string(one.Was.Use), int64(one.Was.Flags)
	}
	put(columns, lyingTypes, int64(k.Mailbox), one.N, one.Message, one.ID[:], one.Size, int64(one.Scan), one.Folder, uid, int64(one.Flags), micros(one.Date),
		one.Change, one.Known, one.Open, folder, use, flags, micros(one.At))
}

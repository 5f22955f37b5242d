package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Folders returns the folders of a mailbox by number.
func (s *Store) Folders(ctx context.Context, tenant doppelboden.TenantID, m doppelboden.MailboxID) (list []store.Folder, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
		list = nil
		looked := int64(0)
		err := readFolders(ctx, c, tenant, m, func(f store.Folder, upTo int64) {
			if list = append(list, f); f.Folder == inboxNumber {
				looked = upTo
			}
		})
		if err != nil || len(list) == 0 {
			return err
		}
		fresh := map[int64]int64{}
		err = c.query(ctx, func(row []driver.Value) error {
			fresh[asInt(row[0])] += asInt(row[1])
			return nil
		}, `SELECT folder, count(*) FROM copy INDEXED BY copy_fresh WHERE mailbox = ?1 AND folder > 0 AND uid IS NULL AND flags & ?2 = 0 GROUP BY folder`,
			int64(m), int64(doppelboden.Hidden))
		if err != nil {
			return fmt.Errorf("count fresh copies: %w", err)
		}
		row, err := c.one(ctx, impliedCount, int64(m), looked, int64(tenant))
		if err != nil {
			return fmt.Errorf("count fresh mail: %w", err)
		}
		fresh[inboxNumber] += asInt(row[0])
		for i := range list {
			list[i].Fresh = fresh[list[i].Folder]
		}
		return nil
	})
	return list, err
}

// eachState joins a query for every state of a delivery, by which the index on boxes is
// sorted before it is by Seq.
func eachState(query, join string) string {
	var all []string
	for _, st := range doppelboden.States() {
		all = append(all, fmt.Sprintf(query, int(st)))
	}
	return strings.Join(all, join)
}

var (
	// impliedCount counts what the inbox of the mailbox ?1 of the tenant ?3 shows without a
	// row behind the delivery ?2.
	impliedCount = "SELECT " + eachState(`(SELECT count(*) FROM delivery INDEXED BY delivery_box
		WHERE box = ?1 AND state = %d AND seq > ?2 AND inbox = 1 AND tenant = ?3)`, " + ")
	// impliedRows reads the same, and other deliveries, which have inbox = 0.
	impliedRows = eachState(`SELECT d.seq, d.inbox, m.num, m.id, m.size + ifnull(length(m.prefix), 0), m.scan, m.received
		FROM delivery d INDEXED BY delivery_box CROSS JOIN message m ON m.num = d.seq - d.n
		WHERE d.box = ?1 AND d.state = %d AND d.seq > ?2 AND d.tenant = ?3`, " UNION ALL ")
)

// Look numbers what came into a folder.
func (s *Store) Look(ctx context.Context, at store.Place) (f store.Folder, err error) {
	f, fresh, err := s.glance(ctx, at)
	if err != nil || !fresh {
		return f, err
	}
	err = s.do(ctx, &op{synced: true, run: func(t *tx) error {
		k, err := t.keep(at.Tenant, at.Mailbox, 0)
		if err != nil {
			return err
		}
		if k.Folders[at.Folder] == nil {
			return &refusal{store.NoFolder()}
		}
		rows, err := k.t.load(nil, loadFresh, int64(at.Mailbox), at.Folder)
		if err == nil && at.Folder == inboxNumber {
			rows, err = k.implied(rows)
		}
		if err == nil && len(rows) > 0 {
			if err = k.Look(at.Folder, rows); err == nil {
				err = k.put(rows)
			}
			if err == nil {
				err = k.save()
			}
		}
		f = *k.Folders[at.Folder]
		return err
	}})
	return f, err
}

// glance returns a folder, and whether something in it has no number.
func (s *Store) glance(ctx context.Context, at store.Place) (f store.Folder, fresh bool, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
		looked := int64(0)
		err := readFolders(ctx, c, at.Tenant, at.Mailbox, func(one store.Folder, upTo int64) {
			if one.Folder == at.Folder {
				f, looked = one, upTo
			}
		})
		if err == nil && f.Folder == 0 {
			return store.NoFolder()
		}
		if err != nil {
			return err
		}
		row, err := c.one(ctx, "SELECT EXISTS (SELECT 1 FROM copy INDEXED BY copy_fresh WHERE mailbox = ? AND folder = ? AND folder > 0 AND uid IS NULL)",
			int64(at.Mailbox), at.Folder)
		fresh = err == nil && asInt(row[0]) != 0
		if err != nil || fresh || at.Folder != inboxNumber {
			return err
		}
		row, err = c.one(ctx, impliedCount, int64(at.Mailbox), looked, int64(at.Tenant))
		fresh = err == nil && asInt(row[0]) != 0
		return err
	})
	return f, fresh, err
}

// implied appends what the inbox shows without a row, and notes how far it has looked.
func (k *keeping) implied(rows []store.Lying) ([]store.Lying, error) {
	err := k.t.c.query(background, func(row []driver.Value) error {
		from := k.looked
		k.looked = max(from, asInt(row[0]))
		if asInt(row[1]) != 0 {
			rows = append(rows, store.Lying{Message: asInt(row[2]), ID: asID(row[3]), Size: asInt(row[4]),
				Scan: doppelboden.ScanState(asInt(row[5])), Date: asTime(row[6])})
		}
		return nil
	}, impliedRows, int64(k.Mailbox), k.looked, int64(k.Tenant))
	if err != nil {
		return nil, fmt.Errorf("read fresh mail: %w", err)
	}
	return rows, nil
}

const (
	shownColumns = "SELECT uid, id, message, flags, date, size, scan, change FROM copy "
	shownWhere   = `INDEXED BY copy_uid WHERE mailbox = ?1 AND folder = ?2 AND uid >= ?3 AND uid <= ?4 AND tenant = ?5 AND change > ?6 AND flags & ?7 = 0
		ORDER BY uid `
	shownRising  = shownColumns + shownWhere + "LIMIT ?8"
	shownFalling = shownColumns + shownWhere + "DESC LIMIT ?8"
	// shownMessage finds one message in a folder.
	shownMessage = shownColumns + `INDEXED BY copy_message WHERE message = (SELECT num FROM message WHERE id = ?8) AND mailbox = ?1 AND folder = ?2
		AND uid >= ?3 AND uid <= ?4 AND tenant = ?5 AND change > ?6 AND flags & ?7 = 0 ORDER BY uid`
)

// Shown yields mails of a folder that were numbered.
func (s *Store) Shown(ctx context.Context, at store.Place, f store.ShownFilter, yield func(store.Shown) error) error {
	return f.Walk(func(r store.UIDRange, limit int) ([]store.Shown, error) { return s.shown(ctx, at, &f, r, limit) }, yield)
}

// shown reads a page.
func (s *Store) shown(ctx context.Context, at store.Place, f *store.ShownFilter, r store.UIDRange, limit int) (page []store.Shown, err error) {
	hide, after := int64(doppelboden.Hidden), f.After
	if f.Hidden {
		hide = 0
	}
	if after == 0 {
		after = -1 // what came with a UID was never changed
	}
	args := []driver.Value{int64(at.Mailbox), at.Folder, int64(r.From), int64(r.To), int64(at.Tenant), after, hide, int64(limit)}
	text := shownRising
	switch {
	case !f.Message.IsZero():
		text, args[7] = shownMessage, f.Message[:]
	case f.Newest:
		text = shownFalling
	}
	err = s.read(ctx, func(c *conn) error {
		page = page[:0]
		return c.query(ctx, func(row []driver.Value) error {
			page = append(page, store.Shown{UID: uint32(asInt(row[0])), Message: asID(row[1]), Seq: asInt(row[2]), Flags: uint32(asInt(row[3])),
				Date: asTime(row[4]), Size: asInt(row[5]), Scan: doppelboden.ScanState(asInt(row[6])), Change: asInt(row[7])})
			return nil
		}, text, args...)
	})
	return page, err
}

// Change carries out changes in one mailbox.
func (s *Store) Change(ctx context.Context, list []store.Change) (done [][]store.Changed, err error) {
	if err := store.CheckChanges(list); err != nil || len(list) == 0 {
		return nil, err
	}
	err = s.inMailbox(ctx, list[0].Tenant, list[0].Mailbox, func(k *keeping) error {
		done = make([][]store.Changed, 0, len(list))
		for i := range list {
			rows, err := k.rowsOf(list[i].Folder, list[i].UIDs)
			if err != nil {
				return err
			}
			one, made, err := k.Carry(&list[i], rows)
			if err == nil {
				err = k.put(rows)
			}
			if err == nil {
				err = k.put(made)
			}
			if err != nil {
				return err
			}
			done = append(done, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// inMailbox runs a change of a mailbox, and not again when it was committed after all.
func (s *Store) inMailbox(ctx context.Context, tenant doppelboden.TenantID, m doppelboden.MailboxID, run func(k *keeping) error) error {
	before := int64(0)
	return s.do(ctx, &op{synced: true, run: func(t *tx) error {
		k, err := t.keep(tenant, m, before)
		if err != nil || k == nil {
			return err
		}
		before = t.token
		if err := run(k); err != nil {
			return err
		}
		return k.save()
	}})
}

// PutFolder makes or changes a folder.
func (s *Store) PutFolder(ctx context.Context, f store.Folder) (put store.Folder, err error) {
	err = s.inMailbox(ctx, f.Tenant, f.Mailbox, func(k *keeping) error {
		if len(k.Folders) == 0 {
			return store.NoFolder()
		}
		if f.At.IsZero() {
			f.At = k.t.at
		}
		if f.Folder == 0 {
			made, err := k.New(&f, k.t.at)
			if err == nil {
				put = *made
			}
			return err
		}
		rows, err := k.concerned(&f)
		if err != nil {
			return err
		}
		if err := k.Put(&f, rows); err != nil {
			return err
		}
		put = *k.Folders[f.Folder]
		return k.put(rows)
	})
	if err != nil {
		return store.Folder{}, err
	}
	return put, nil
}

// concerned returns the copies for which a new name of a folder means something.
func (k *keeping) concerned(f *store.Folder) (rows []store.Lying, err error) {
	switch mine := k.Folders[f.Folder]; {
	case mine == nil || mine.Name == f.Name:
		return nil, nil
	case !f.Deed:
		return k.t.load(nil, loadOpen, int64(k.Mailbox))
	}
	for _, n := range k.Below(f.Folder) {
		in, err := k.rowsIn(n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, in...)
	}
	return rows, nil
}

// DropFolder removes a folder with what lies in it.
func (s *Store) DropFolder(ctx context.Context, at store.Place, deed bool, when time.Time) error {
	if at.Folder == inboxNumber {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the inbox cannot be removed"}
	}
	return s.inMailbox(ctx, at.Tenant, at.Mailbox, func(k *keeping) error {
		if k.Folders[at.Folder] == nil {
			return nil
		}
		rows, err := k.rowsIn(at.Folder)
		if err != nil {
			return err
		}
		for i := range rows {
			k.Remove(&rows[i], deed, when)
		}
		if err := k.put(rows); err != nil {
			return err
		}
		delete(k.Touched, at.Folder)
		_, err = k.t.c.exec(background, "DELETE FROM folder WHERE mailbox = ? AND number = ?", int64(at.Mailbox), at.Folder)
		return err
	})
}

// Renumber gives folders another UIDVALIDITY.
func (s *Store) Renumber(ctx context.Context, tenant doppelboden.TenantID) error {
	return s.do(ctx, &op{synced: true, run: func(t *tx) error {
		for _, text := range [...]string{
			"UPDATE numbering SET validity = max(validity + 1, ?1), change = change + 1 WHERE ?2 = 0 OR tenant = ?2",
			`UPDATE folder SET uid_validity = n.validity + folder.number, change = n.change FROM numbering n
				WHERE n.mailbox = folder.mailbox AND (?2 = 0 OR n.tenant = ?2) AND ?1 = ?1`,
			"UPDATE numbering SET validity = validity + folders WHERE (?2 = 0 OR tenant = ?2) AND ?1 = ?1",
		} {
			if _, err := t.c.exec(background, text, t.at.Unix(), int64(tenant)); err != nil {
				return fmt.Errorf("renumber folders: %w", err)
			}
		}
		return nil
	}})
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Folders returns the folders of a mailbox by number.
func (s *Store) Folders(ctx context.Context, tenant doppelboden.TenantID, m doppelboden.MailboxID) (list []store.Folder, err error) {
	err = s.readAs(ctx, tenant, func(c *conn) error {
		list = nil
		upTo := int64(0)
		err := readFolders(ctx, c, tenant, m, func(f store.Folder, looked int64) {
			if list = append(list, f); f.Folder == inboxNumber {
				upTo = looked
			}
		})
		if err != nil || len(list) == 0 {
			return err
		}
		fresh := map[int64]int64{}
		err = c.query(ctx, func(r row) error {
			fresh[asInt(r[0])] += asInt(r[1])
			return nil
		}, freshQuery, int64(m), int64(doppelboden.Hidden))
		if err != nil {
			return fmt.Errorf("count fresh copies: %w", err)
		}
		r, err := c.one(ctx, impliedCount, int64(m), upTo, int64(tenant))
		if err != nil {
			return fmt.Errorf("count fresh mail: %w", err)
		}
		fresh[inboxNumber] += asInt(r[0])
		for n := range list {
			list[n].Fresh = fresh[list[n].Folder]
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

const (
	freshQuery = "SELECT folder, count(*) FROM copy WHERE mailbox = $1 AND folder > 0 AND uid IS NULL AND flags & $2 = 0 GROUP BY folder"
	anyFresh   = "SELECT EXISTS (SELECT FROM copy WHERE mailbox = $1 AND folder = $2 AND folder > 0 AND uid IS NULL)"
)

var (
	// impliedCount counts what the inbox of the mailbox $1 of the tenant $3 shows without a
	// row behind the delivery $2.
	impliedCount = "SELECT " + eachState(`(SELECT count(*) FROM delivery d
		WHERE d.box = $1 AND d.state = %d AND d.seq > $2 AND d.inbox AND d.tenant = $3)`, " + ")
	// impliedRows reads the same, and other deliveries, which have inbox = false.
	impliedRows = eachState(`(SELECT d.seq, d.inbox, m.num, m.id, m.size + coalesce(octet_length(m.prefix), 0), m.scan, m.received
		FROM delivery d JOIN message m ON m.num = d.seq - d.n
		WHERE d.box = $1 AND d.state = %d AND d.seq > $2 AND d.tenant = $3)`, " UNION ALL ")
)

// Look numbers what came into a folder.
func (s *Store) Look(ctx context.Context, at store.Place) (f store.Folder, err error) {
	f, fresh, err := s.glance(ctx, at)
	if err != nil || !fresh {
		return f, err
	}
	err = s.write(ctx, func(t *tx) error {
		k, err := t.keep(at.Tenant, at.Mailbox, 0)
		if err != nil {
			return err
		}
		if k.Folders[at.Folder] == nil {
			return &refusal{store.NoFolder()}
		}
		rows, err := t.load(nil, loadFresh, int64(at.Mailbox), at.Folder)
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
	})
	return f, err
}

// glance returns a folder, and whether something in it has no number.
func (s *Store) glance(ctx context.Context, at store.Place) (f store.Folder, fresh bool, err error) {
	err = s.readAs(ctx, at.Tenant, func(c *conn) error {
		upTo := int64(0)
		err := readFolders(ctx, c, at.Tenant, at.Mailbox, func(one store.Folder, looked int64) {
			if one.Folder == at.Folder {
				f, upTo = one, looked
			}
		})
		if err == nil && f.Folder == 0 {
			return store.NoFolder()
		}
		if err != nil {
			return err
		}
		r, err := c.one(ctx, anyFresh, int64(at.Mailbox), at.Folder)
		if err != nil || asBool(r[0]) || at.Folder != inboxNumber {
			fresh = err == nil && asBool(r[0])
			return err
		}
		r, err = c.one(ctx, impliedCount, int64(at.Mailbox), upTo, int64(at.Tenant))
		fresh = err == nil && asInt(r[0]) != 0
		return err
	})
	return f, fresh, err
}

// implied appends what the inbox shows without a row, and notes how far it has looked. All
// of it is one statement, so that nothing with a smaller Seq comes to be seen later.
func (k *keeping) implied(rows []store.Lying) ([]store.Lying, error) {
	err := k.t.c.query(background, func(r row) error {
		k.looked = max(k.looked, asInt(r[0]))
		if asBool(r[1]) {
			rows = append(rows, store.Lying{Message: asInt(r[2]), ID: asID(r[3]), Size: asInt(r[4]),
				Scan: doppelboden.ScanState(asInt(r[5])), Date: asTime(r[6])})
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
	shownWhere   = "WHERE mailbox = $1 AND folder = $2 AND uid >= $3 AND uid <= $4 AND tenant = $5 AND change > $6 AND flags & $7 = 0 ORDER BY uid "
	shownRising  = shownColumns + shownWhere + "LIMIT $8"
	shownFalling = shownColumns + shownWhere + "DESC LIMIT $8"
	// shownMessage finds one message in a folder.
	shownMessage = `SELECT c.uid, c.id, c.message, c.flags, c.date, c.size, c.scan, c.change FROM message m JOIN copy c ON c.message = m.num AND c.message + 0 IS NOT NULL AND c.mailbox - 0 = $1
		WHERE m.id = $8 AND c.folder - 0 = $2 AND coalesce(c.uid, 0) >= $3 AND coalesce(c.uid, 0) <= $4 AND c.tenant = $5 AND c.change > $6 AND c.flags & $7 = 0 ORDER BY c.uid`
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
	args := []any{int64(at.Mailbox), at.Folder, int64(r.From), int64(r.To), int64(at.Tenant), after, hide, int64(limit)}
	text := shownRising
	switch {
	case !f.Message.IsZero():
		text, args[7] = shownMessage, f.Message[:]
	case f.Newest:
		text = shownFalling
	}
	err = s.readAs(ctx, at.Tenant, func(c *conn) error {
		page = page[:0]
		return c.query(ctx, func(r row) error {
			page = append(page, store.Shown{UID: uint32(asInt(r[0])), Message: asID(r[1]), Seq: asInt(r[2]), Flags: uint32(asInt(r[3])),
				Date: asTime(r[4]), Size: asInt(r[5]), Scan: doppelboden.ScanState(asInt(r[6])), Change: asInt(r[7])})
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
		for n := range list {
			rows, err := k.rowsOf(list[n].Folder, list[n].UIDs)
			if err != nil {
				return err
			}
			one, made, err := k.Carry(&list[n], rows)
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
	return s.write(ctx, func(t *tx) error {
		k, err := t.keep(tenant, m, before)
		if err != nil || k == nil {
			return err
		}
		before = t.token
		if err := run(k); err != nil {
			return err
		}
		return k.save()
	})
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
		// Who puts mail into the folder holds its row: see tx.folder.
		_, err := k.t.c.exec(background, "SELECT FROM folder WHERE mailbox = $1 AND number = $2 FOR UPDATE", int64(at.Mailbox), at.Folder)
		if err != nil {
			return err
		}
		rows, err := k.rowsIn(at.Folder)
		if err != nil {
			return err
		}
		for n := range rows {
			k.Remove(&rows[n], deed, when)
		}
		if err := k.put(rows); err != nil {
			return err
		}
		delete(k.Touched, at.Folder)
		_, err = k.t.c.exec(background, "DELETE FROM folder WHERE mailbox = $1 AND number = $2", int64(at.Mailbox), at.Folder)
		return err
	})
}

// Renumber gives folders another UIDVALIDITY.
func (s *Store) Renumber(ctx context.Context, tenant doppelboden.TenantID) error {
	return s.write(ctx, func(t *tx) error {
		// All nodes in one order, so that no two wait for each other.
		err := t.query(nil, "SELECT FROM numbering WHERE $1 = 0 OR tenant = $1 ORDER BY mailbox FOR UPDATE", int64(tenant))
		if err == nil {
			_, err = t.exec("UPDATE numbering SET validity = greatest(validity + 1, $1), change = change + 1 WHERE $2 = 0 OR tenant = $2", t.at.Unix(), int64(tenant))
		}
		if err == nil {
			_, err = t.exec(`UPDATE folder f SET uid_validity = n.validity + f.number, change = n.change FROM numbering n
				WHERE n.mailbox = f.mailbox AND ($1 = 0 OR n.tenant = $1)`, int64(tenant))
		}
		if err == nil {
			_, err = t.exec("UPDATE numbering SET validity = validity + folders WHERE $1 = 0 OR tenant = $1", int64(tenant))
		}
		if err != nil {
			return fmt.Errorf("renumber folders: %w", err)
		}
		return nil
	})
}

// folder returns the number of a folder, which it makes if need be. It may be named by its
// use; see store.FolderFor. Until the commit nobody removes it.
func (t *tx) folder(tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, name string) (int64, error) {
	if name == doppelboden.Inbox {
		return inboxNumber, nil
	}
	use, usual, named := store.UseNamed(name)
	if named {
		r, err := t.c.one(background, folderByUse, int64(mailbox), string(use))
		if err == nil {
			return asInt(r[0]), nil
		}
		if !errors.Is(err, errNoRow) {
			return 0, fmt.Errorf("find folder: %w", err)
		}
		name = usual
	}
	r, err := t.c.one(background, folderByName, int64(mailbox), name)
	switch {
	case err == nil && (!named || asText(r[1]) != ""):
		return asInt(r[0]), nil
	case err != nil && !errors.Is(err, errNoRow):
		return 0, fmt.Errorf("find folder: %w", err)
	}
	k, err := t.keep(tenant, mailbox, 0)
	if err != nil {
		return 0, err
	}
	number := k.named(name, use)
	return number, k.save()
}

const (
	folderByUse  = "SELECT number FROM folder WHERE mailbox = $1 AND use = $2 FOR KEY SHARE"
	folderByName = "SELECT number, use FROM folder WHERE mailbox = $1 AND name = $2 FOR KEY SHARE"
)

// named returns the folder with a name, which it makes if need be; another node may have
// done so meanwhile. One without a use gets it.
func (k *keeping) named(name string, use store.Use) int64 {
	for n, f := range k.Folders {
		if f.Name == name || use != store.UseNone && f.Use == use {
			if f.Use == store.UseNone && use != store.UseNone {
				k.Use(n, use)
			}
			return n
		}
	}
	return k.Make(name, use, k.t.at).Folder
}

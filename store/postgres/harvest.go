package postgres

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// Harvest writes what was read from mailboxes of the groupware.
func (s *Store) Harvest(ctx context.Context, lease store.Lease, list []store.HarvestBatch) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		for i := range list {
			h := harvesting{tx: t, b: &list[i], folders: map[string]int64{}}
			if err := h.write(); err != nil {
				return fmt.Errorf("write what was read of mailbox %d: %w", list[i].Mailbox, err)
			}
		}
		return nil
	})
}

// A harvesting writes one batch.
type harvesting struct {
	*tx
	b       *store.HarvestBatch
	folders map[string]int64 // numbers of folders by name
}

func (h *harvesting) write() error {
	if b := h.b.Box; b != nil {
		_, err := h.exec(`INSERT INTO harvest_box (mailbox, tenant, began, at, trouble, tried, vanished, confirm, restored)
			VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8) ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, began = excluded.began,
			at = excluded.at, trouble = excluded.trouble, tried = excluded.tried, vanished = excluded.vanished, restored = excluded.restored`,
			int64(h.b.Mailbox), int64(h.b.Tenant), micros(b.Began), micros(b.At), b.Trouble, micros(b.Tried), b.Vanished, micros(b.Restored))
		if err != nil {
			return err
		}
	}
	if is := h.b.Confirm; is != nil {
		_, err := h.exec(`INSERT INTO harvest_box (mailbox, tenant, trouble, vanished, confirm) VALUES ($1, $2, '', 0, $3)
			ON CONFLICT (mailbox) DO UPDATE SET confirm = excluded.confirm`, int64(h.b.Mailbox), int64(h.b.Tenant), *is)
		if err != nil {
			return err
		}
	}
	for i := range h.b.Folders {
		if err := h.putFolder(&h.b.Folders[i]); err != nil {
			return err
		}
	}
	if err := h.putMails(); err != nil {
		return err
	}
	for _, m := range h.b.Ended {
		_, err := h.exec(`DELETE FROM harvest_mail WHERE mailbox = $1 AND validity = $3 AND uid = $4
			AND folder = (SELECT number FROM harvest_folder WHERE mailbox = $1 AND name = $2)`,
			int64(h.b.Mailbox), m.Folder, int64(m.Validity), int64(m.UID))
		if err != nil {
			return err
		}
	}
	for i := range h.b.Copies {
		if err := h.lay(&h.b.Copies[i]); err != nil {
			return err
		}
	}
	return h.putMarks(h.b.Marks)
}

// folderOf returns the number of a folder of the groupware, which becomes known if need be.
func (h *harvesting) folderOf(name string) (int64, error) {
	if n := h.folders[name]; n != 0 {
		return n, nil
	}
	_, err := h.exec(`INSERT INTO harvest_folder (mailbox, number, tenant, name, use, ours, validity, next, low, filled, modseq, total, gone)
		SELECT $1, coalesce(max(number), 0) + 1, $2, $3, '', 0, 0, 0, 0, false, 0, 0, false FROM harvest_folder WHERE mailbox = $1
		ON CONFLICT (mailbox, name) DO NOTHING`, int64(h.b.Mailbox), int64(h.b.Tenant), name)
	if err != nil {
		return 0, err
	}
	r, err := h.one("SELECT number FROM harvest_folder WHERE mailbox = $1 AND name = $2", int64(h.b.Mailbox), name)
	if err != nil {
		return 0, err
	}
	h.folders[name] = asInt(r[0])
	return h.folders[name], nil
}

// putFolder replaces what is known of a folder.
func (h *harvesting) putFolder(f *store.HarvestFolder) error {
	number, err := h.folderOf(f.Name)
	if err != nil {
		return err
	}
	_, err = h.exec(`UPDATE harvest_folder SET use = $1, ours = $2, validity = $3, next = $4, low = $5, filled = $6, modseq = $7,
		total = $8, flags = $9, since = $10, at = $11, gone = $12 WHERE mailbox = $13 AND number = $14`,
		string(f.Use), f.Ours, int64(f.Validity), int64(f.Next), int64(f.Low), f.Filled, int64(f.ModSeq),
		int64(f.Exists), micros(f.Flags), micros(f.Since), micros(f.At), f.Gone, int64(h.b.Mailbox), number)
	return err
}

// putMails notes where the groupware has messages that are there. Of two notes about one
// place the later one counts; rows of an array keep their order.
func (h *harvesting) putMails() error {
	var rows []*column
	for i := range h.b.Mails {
		m := &h.b.Mails[i]
		number, err := h.folderOf(m.Folder)
		if err != nil {
			return err
		}
		put(&rows, []uint32{oidBigintArray, oidBigintArray, oidBigintArray, oidByteaArray, oidBigintArray, oidBigintArray},
			number, int64(m.Validity), int64(m.UID), m.Message[:], int64(m.Flags), micros(m.Gone))
	}
	if rows == nil {
		return nil
	}
	_, err := h.exec(`INSERT INTO harvest_mail (mailbox, folder, validity, uid, tenant, message, flags, gone)
		SELECT $1, u.folder, u.validity, u.uid, $2, m.num, u.flags, u.gone FROM (SELECT DISTINCT ON (folder, validity, uid) *
			FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[], $8::bigint[])
			WITH ORDINALITY v (folder, validity, uid, id, flags, gone, place) ORDER BY folder, validity, uid, place DESC) u
		JOIN message m ON m.id = u.id WHERE m.tenant = $2
		ON CONFLICT (mailbox, folder, validity, uid) DO UPDATE SET message = excluded.message, flags = excluded.flags, gone = excluded.gone`,
		int64(h.b.Mailbox), int64(h.b.Tenant), rows[0], rows[1], rows[2], rows[3], rows[4], rows[5])
	return err
}

// lay lets a message lie in a folder, unless it does already.
func (h *harvesting) lay(c *doppelboden.Copy) error {
	if err := h.flush(); err != nil {
		return err
	}
	h.forget()
	there, err := copiesOf(background, h.c, h.b.Tenant, h.b.Mailbox, c.Message)
	if err != nil {
		return err
	}
	for i := range there {
		if there[i].Folder == c.Folder {
			return nil
		}
	}
	num, err := h.numOf(c.Message)
	if err != nil || num == 0 {
		return err
	}
	r, err := h.one("SELECT tenant FROM message WHERE num = $1", num)
	if err != nil || doppelboden.TenantID(asInt(r[0])) != h.b.Tenant {
		return err
	}
	one := *c
	one.Mailbox = h.b.Mailbox
	return h.putCopies(h.b.Tenant, num, []*doppelboden.Copy{&one})
}

// putMarks notes marks of messages that are there.
func (t *tx) putMarks(list []store.HarvestMark) error {
	var rows []*column
	for i := range list {
		m := &list[i]
		put(&rows, []uint32{oidBigintArray, oidByteaArray, oidByteaArray}, int64(m.Tenant), m.Sum[:], m.Message[:])
	}
	if rows == nil {
		return nil
	}
	_, err := t.exec(`INSERT INTO harvest_mark (tenant, sum, message) SELECT u.tenant, u.sum, m.num
		FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) u (tenant, sum, id) JOIN message m ON m.id = u.id
		WHERE m.tenant = u.tenant ON CONFLICT DO NOTHING`, rows[0], rows[1], rows[2])
	if err != nil {
		return fmt.Errorf("write marks: %w", err)
	}
	return nil
}

// PutMarking notes marks, and how far a tenant's messages have theirs.
func (s *Store) PutMarking(ctx context.Context, lease store.Lease, tenant doppelboden.TenantID, m store.Marking, marks []store.HarvestMark) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		if err := t.putMarks(marks); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO harvest_marked
			(tenant, number, sum_key, key_version, journal_first, journal_last, hairpin_first, hairpin_last) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (tenant) DO UPDATE SET number = excluded.number, sum_key = excluded.sum_key, key_version = excluded.key_version,
			journal_first = excluded.journal_first, journal_last = excluded.journal_last,
			hairpin_first = excluded.hairpin_first, hairpin_last = excluded.hairpin_last`,
			int64(tenant), m.Number, blob(m.Key), int64(m.KeyVersion), micros(m.JournalFirst), micros(m.JournalLast), micros(m.HairpinFirst), micros(m.HairpinLast))
		return err
	})
}

// forgetHarvest removes what is known of messages that go.
func (t *tx) forgetHarvest(gone []int64) error {
	for _, text := range [...]string{
		"DELETE FROM harvest_mail WHERE message = ANY ($1::bigint[])",
		"DELETE FROM harvest_mark WHERE message = ANY ($1::bigint[])",
	} {
		if _, err := t.exec(text, gone); err != nil {
			return fmt.Errorf("forget what was read: %w", err)
		}
	}
	return nil
}

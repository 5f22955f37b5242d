package sqlite

import (
	"context"
	"errors"
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
		_, err := h.c.exec(background, `INSERT INTO harvest_box (mailbox, tenant, began, at, trouble, tried, vanished, confirm, restored)
			VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, began = excluded.began,
			at = excluded.at, trouble = excluded.trouble, tried = excluded.tried, vanished = excluded.vanished, restored = excluded.restored`,
			int64(h.b.Mailbox), int64(h.b.Tenant), micros(b.Began), micros(b.At), b.Trouble, micros(b.Tried), b.Vanished, micros(b.Restored))
		if err != nil {
			return err
		}
	}
	if is := h.b.Confirm; is != nil {
		_, err := h.c.exec(background, `INSERT INTO harvest_box (mailbox, tenant, trouble, vanished, confirm) VALUES (?, ?, '', 0, ?)
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
	for i := range h.b.Mails {
		if err := h.putMail(&h.b.Mails[i]); err != nil {
			return err
		}
	}
	for _, m := range h.b.Ended {
		_, err := h.c.exec(background, `DELETE FROM harvest_mail WHERE mailbox = ?1 AND validity = ?3 AND uid = ?4
			AND folder = (SELECT number FROM harvest_folder WHERE mailbox = ?1 AND name = ?2)`,
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

// known returns the number of a folder of the groupware, which becomes known if need be.
func (h *harvesting) known(name string) (int64, error) {
	if n := h.folders[name]; n != 0 {
		return n, nil
	}
	_, err := h.c.exec(background, `INSERT INTO harvest_folder (mailbox, number, tenant, name, use, ours, validity, next, low, filled, modseq, total, gone)
		SELECT ?1, ifnull(max(number), 0) + 1, ?2, ?3, '', 0, 0, 0, 0, 0, 0, 0, 0 FROM harvest_folder WHERE mailbox = ?1
		ON CONFLICT (mailbox, name) DO NOTHING`, int64(h.b.Mailbox), int64(h.b.Tenant), name)
	if err != nil {
		return 0, err
	}
	row, err := h.c.one(background, "SELECT number FROM harvest_folder WHERE mailbox = ? AND name = ?", int64(h.b.Mailbox), name)
	if err != nil {
		return 0, err
	}
	h.folders[name] = asInt(row[0])
	return h.folders[name], nil
}

// putFolder replaces what is known of a folder.
func (h *harvesting) putFolder(f *store.HarvestFolder) error {
	number, err := h.known(f.Name)
	if err != nil {
		return err
	}
	_, err = h.c.exec(background, `UPDATE harvest_folder SET use = ?, ours = ?, validity = ?, next = ?, low = ?, filled = ?, modseq = ?,
		total = ?, flags = ?, since = ?, at = ?, gone = ? WHERE mailbox = ? AND number = ?`,
		string(f.Use), f.Ours, int64(f.Validity), int64(f.Next), int64(f.Low), f.Filled, int64(f.ModSeq),
		int64(f.Exists), micros(f.Flags), micros(f.Since), micros(f.At), f.Gone, int64(h.b.Mailbox), number)
	return err
}

// putMail notes where the groupware has a message that is there.
func (h *harvesting) putMail(m *store.Harvest) error {
	number, err := h.known(m.Folder)
	if err != nil {
		return err
	}
	_, err = h.c.exec(background, `INSERT INTO harvest_mail (mailbox, folder, validity, uid, tenant, message, flags, gone)
		SELECT ?1, ?2, ?3, ?4, tenant, num, ?6, ?7 FROM message WHERE id = ?5 AND tenant = ?8
		ON CONFLICT (mailbox, folder, validity, uid) DO UPDATE SET message = excluded.message, flags = excluded.flags, gone = excluded.gone`,
		int64(h.b.Mailbox), number, int64(m.Validity), int64(m.UID), m.Message[:], int64(m.Flags), micros(m.Gone), int64(h.b.Tenant))
	return err
}

// lay lets a message lie in a folder, unless it does already.
func (h *harvesting) lay(c *doppelboden.Copy) error {
	row, err := h.c.one(background, "SELECT num FROM message WHERE id = ? AND tenant = ?", c.Message[:], int64(h.b.Tenant))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	num := asInt(row[0])
	there, err := copiesOf(background, h.c, h.b.Tenant, h.b.Mailbox, c.Message)
	if err != nil {
		return err
	}
	for i := range there {
		if there[i].Folder == c.Folder {
			return nil
		}
	}
	one := *c
	one.Mailbox = h.b.Mailbox
	return h.addCopies(&doppelboden.Message{ID: c.Message, Tenant: h.b.Tenant}, num, []*doppelboden.Copy{&one})
}

// putMarks notes marks of messages that are there.
func (t *tx) putMarks(list []store.HarvestMark) error {
	for i := range list {
		m := &list[i]
		_, err := t.c.exec(background, `INSERT INTO harvest_mark (tenant, sum, message) SELECT tenant, ?2, num FROM message
			WHERE id = ?3 AND tenant = ?1 ON CONFLICT DO NOTHING`, int64(m.Tenant), m.Sum[:], m.Message[:])
		if err != nil {
			return fmt.Errorf("write mark: %w", err)
		}
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
		_, err := t.c.exec(background, `INSERT INTO harvest_marked
			(tenant, number, sum_key, key_version, journal_first, journal_last, hairpin_first, hairpin_last) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant) DO UPDATE SET number = excluded.number, sum_key = excluded.sum_key, key_version = excluded.key_version,
			journal_first = excluded.journal_first, journal_last = excluded.journal_last,
			hairpin_first = excluded.hairpin_first, hairpin_last = excluded.hairpin_last`,
			int64(tenant), m.Number, blob(m.Key), int64(m.KeyVersion), micros(m.JournalFirst), micros(m.JournalLast), micros(m.HairpinFirst), micros(m.HairpinLast))
		return err
	})
}

// forgetHarvest removes what is known of a message that goes.
func (t *tx) forgetHarvest(num int64) error {
	for _, text := range [...]string{
		"DELETE FROM harvest_mail WHERE (mailbox, folder, validity, uid) IN (SELECT mailbox, folder, validity, uid FROM harvest_mail INDEXED BY harvest_mail_message WHERE message = ?)",
		"DELETE FROM harvest_mark WHERE (tenant, sum, message) IN (SELECT tenant, sum, message FROM harvest_mark INDEXED BY harvest_mark_message WHERE message = ?)",
	} {
		if _, err := t.c.exec(background, text, num); err != nil {
			return fmt.Errorf("forget what was read: %w", err)
		}
	}
	return nil
}

package sqlite

import (
	"context"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// Flags of a message's row.
const (
	flagSMTPUTF8  = 1
	flagEightBit  = 2
	flagConfirmed = 4
)

// inboxNumber is the number of the folder that every mailbox has.
const inboxNumber = 1

// Accept makes a message durable. A message with this id that is there already stays
// as it is.
func (s *Store) Accept(ctx context.Context, m *doppelboden.Message) (copies int, err error) {
	if err := store.Acceptable(m); err != nil {
		return 0, &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage,
			Cause: fmt.Errorf("message %s: %w", m.ID, err)}
	}
	var num int64
	err = s.write(ctx, func(t *tx) (err error) {
		num, err = t.make(m)
		return err
	})
	if err != nil {
		return 0, err
	}
	placed(m, num)
	return 1, nil
}

// placed tells a message that was written where its deliveries stand.
func placed(m *doppelboden.Message, num int64) {
	for i := range m.Deliveries {
		m.Deliveries[i].Seq = num + int64(i)
		m.Deliveries[i].Box = store.BoxOf(&m.Deliveries[i])
	}
}

const insertMessage = `INSERT INTO message (num, tenant, id, receipt, received, deliveries, recipients, expanded, merged,
	flags, scan, class, segment, offset, size, key_version, body_key, sum, door, peer, helo, sender, ret, envid, prefix)
	VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING`

// make writes a message as accept does, and its entries.
func (t *tx) make(m *doppelboden.Message) (num int64, err error) {
	num, added, err := t.accept(m)
	if added {
		t.entries = append(t.entries, store.Entries(m)...)
	}
	return num, err
}

// accept writes a message with its deliveries and copies and returns its num, and whether
// it was not there before.
func (t *tx) accept(m *doppelboden.Message) (num int64, added bool, err error) {
	segment, err := t.segment(m.Body.Segment)
	if err != nil {
		return 0, false, err
	}
	b := &m.Body
	num = t.next
	rows, err := t.c.exec(background, insertMessage,
		num, int64(m.Tenant), m.ID[:], m.Receipt[:], micros(m.Received), int64(len(m.Deliveries)), int64(m.Recipients),
		int64(m.Expanded), int64(m.Merged), flagsOf(m), int64(m.Scan), m.Class, segment, b.Offset, b.Size, int64(b.KeyVersion), blob(b.Key), b.Sum[:],
		m.Door, m.Peer, m.Helo, address(m.Sender), m.Ret, m.EnvID, blob(m.Prefix))
	if err != nil {
		return 0, false, fmt.Errorf("write message %s: %w", m.ID, err)
	}
	if rows == 0 {
		row, err := t.c.one(background, "SELECT num FROM message WHERE id = ?", m.ID[:])
		if err != nil {
			return 0, false, fmt.Errorf("find message %s: %w", m.ID, err)
		}
		return asInt(row[0]), false, nil
	}
	t.next += max(1, int64(len(m.Deliveries)))
	inbox, copies := store.ImpliedCopies(m)
	if err := t.addDeliveries(m, num, inbox); err != nil {
		return 0, false, err
	}
	if err := t.addCopies(m, num, copies); err != nil {
		return 0, false, err
	}
	if err := t.addAbout(m, num); err != nil {
		return 0, false, err
	}
	return num, true, nil
}

// flagsOf returns the flags of a message's row.
func flagsOf(m *doppelboden.Message) (flags int64) {
	if m.SMTPUTF8 {
		flags |= flagSMTPUTF8
	}
	if m.EightBit {
		flags |= flagEightBit
	}
	if m.Confirmed {
		flags |= flagConfirmed
	}
	return flags
}

// addDeliveries writes the deliveries of a new message.
func (t *tx) addDeliveries(m *doppelboden.Message, num int64, inbox []bool) error {
	for i := range m.Deliveries {
		d := &m.Deliveries[i]
		seq := num + int64(i)
		_, err := t.c.exec(background, `INSERT INTO delivery
			(seq, n, tenant, mailbox, box, inbox, state, attempts, next, changed, recipient, notify, orcpt, reply)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			seq, int64(i), int64(m.Tenant), int64(d.Mailbox), int64(store.BoxOf(d)), inbox[i], int64(d.State), int64(d.Attempts), micros(d.Next),
			micros(d.Changed), address(d.Recipient), d.Notify, d.ORcpt, d.Reply)
		if err != nil {
			return fmt.Errorf("write delivery %d of %s: %w", i, m.ID, err)
		}
		t.count(m.Tenant, d.State, 1, seq)
		if d.State == doppelboden.Held {
			if err := t.hold(seq, m.Tenant, store.BoxOf(d), store.HoldOf(d), d.Reply, d.Recipient, m.Received.UnixMicro()); err != nil {
				return err
			}
		}
		if d.State == doppelboden.Delivered && d.Attempts > 0 { // a next server took it meanwhile
			if _, err := t.c.exec(background, "UPDATE delivery SET handed = changed WHERE seq = ?", seq); err != nil {
				return fmt.Errorf("write delivery %d of %s: %w", i, m.ID, err)
			}
		}
	}
	return nil
}

// copyOf writes a copy of the message ?3 into the folder ?4 of the mailbox ?1, unless it lies
// there already. at is when the message was received: only what was made here needs it.
const copyOf = `INSERT INTO copy (mailbox, n, tenant, message, id, size, scan, folder, uid, flags, date, change, known, deed, open, at)
	SELECT ?1, 1 + ifnull((SELECT max(n) FROM copy WHERE mailbox = ?1), 0), ?2, m.num, m.id, m.size + ifnull(length(m.prefix), 0), m.scan,
		?4, ?5, ?6, ?7, 0, 0, ?8, ?8 IS NOT NULL, CASE WHEN ?8 IS NOT NULL THEN m.received END
	FROM message m WHERE m.num = ?3 AND NOT EXISTS (SELECT 1 FROM copy c WHERE c.message = ?3 AND c.mailbox = ?1 AND c.folder = ?4)`

// addCopies writes copies of a message.
func (t *tx) addCopies(m *doppelboden.Message, num int64, rows []*doppelboden.Copy) error {
	for _, c := range rows {
		folder, err := t.folder(m.Tenant, c.Mailbox, c.Folder)
		if err != nil {
			return err
		}
		if err := t.addCopy(m.Tenant, num, folder, c); err != nil {
			return fmt.Errorf("write copy of %s: %w", m.ID, err)
		}
	}
	return nil
}

// addCopy writes one.
func (t *tx) addCopy(tenant doppelboden.TenantID, num, folder int64, c *doppelboden.Copy) (err error) {
	var uid, deed any
	if c.UID != 0 {
		uid = int64(c.UID)
	}
	if c.New {
		if deed, err = t.deed(); err != nil {
			return err
		}
	}
	added, err := t.c.exec(background, copyOf, int64(c.Mailbox), int64(tenant), num, folder, uid, int64(c.Flags), micros(c.Date), deed)
	if err != nil || added == 0 || c.UID == 0 {
		return err
	}
	_, err = t.c.exec(background, `UPDATE folder SET uid_next = max(uid_next, ?3 + 1), total = total + (?4 & ?5 = 0), unseen = unseen + (?4 & (?5 | ?6) = 0)
		WHERE mailbox = ?1 AND number = ?2`, int64(c.Mailbox), folder, int64(c.UID), int64(c.Flags), int64(doppelboden.Hidden), int64(doppelboden.Seen))
	return err
}

// folder returns the number of a folder, which it makes if need be. It may be named by its
// use; see store.FolderFor.
func (t *tx) folder(tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, name string) (int64, error) {
	if name == doppelboden.Inbox {
		return inboxNumber, nil
	}
	use, usual, named := store.UseNamed(name)
	if named {
		row, err := t.c.one(background, "SELECT number FROM folder WHERE mailbox = ? AND use = ?", int64(mailbox), string(use))
		if err == nil {
			return asInt(row[0]), nil
		}
		if !errors.Is(err, errNoRow) {
			return 0, fmt.Errorf("find folder: %w", err)
		}
		name = usual
	}
	row, err := t.c.one(background, "SELECT number, use FROM folder WHERE mailbox = ? AND name = ?", int64(mailbox), name)
	found := err == nil
	switch {
	case found && (!named || asText(row[1]) != ""):
		return asInt(row[0]), nil
	case !found && !errors.Is(err, errNoRow):
		return 0, fmt.Errorf("find folder: %w", err)
	}
	number := int64(0)
	if found {
		number = asInt(row[0])
	}
	k, err := t.keep(tenant, mailbox, 0)
	if err != nil {
		return 0, err
	}
	return k.named(number, name, use)
}

// named gives a folder a use, or makes it (0).
func (k *keeping) named(number int64, name string, use store.Use) (int64, error) {
	if number == 0 {
		number = k.Make(name, use, k.t.at).Folder
	} else {
		k.Use(number, use)
	}
	return number, k.save()
}

package sqlite

import (
	"context"
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

// addCopies writes copies of a new message.
func (t *tx) addCopies(m *doppelboden.Message, num int64, rows []*doppelboden.Copy) error {
	for _, c := range rows {
		folder, err := t.folder(m.Tenant, c.Mailbox, c.Folder)
		if err != nil {
			return err
		}
		var uid any
		if c.UID != 0 {
			uid = int64(c.UID)
		}
		_, err = t.c.exec(background, `INSERT INTO copy (mailbox, message, folder, tenant, uid, flags, date)
			VALUES (?,?,?,?,?,?,?) ON CONFLICT (mailbox, message, folder) DO NOTHING`,
			int64(c.Mailbox), num, folder, int64(m.Tenant), uid, int64(c.Flags), micros(c.Date))
		if err != nil {
			return fmt.Errorf("write copy of %s: %w", m.ID, err)
		}
	}
	return nil
}

// folder returns the number of a folder, which it makes if need be.
func (t *tx) folder(tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, name string) (int64, error) {
	if name == doppelboden.Inbox {
		return inboxNumber, nil
	}
	// UIDVALIDITY is the second in which the folder was made: RFC 9051, section 2.3.1.1.
	_, err := t.c.exec(background, `INSERT INTO folder (tenant, mailbox, number, name, uid_next, uid_validity)
		SELECT ?1, ?2, max(ifnull(max(number), 0), ?5) + 1, ?3, 1, ?4 FROM folder WHERE mailbox = ?2
		ON CONFLICT (mailbox, name) DO NOTHING`,
		int64(tenant), int64(mailbox), name, t.at.Unix(), int64(inboxNumber))
	if err != nil {
		return 0, fmt.Errorf("make folder: %w", err)
	}
	row, err := t.c.one(background, "SELECT number FROM folder WHERE mailbox = ? AND name = ?", int64(mailbox), name)
	if err != nil {
		return 0, fmt.Errorf("find folder: %w", err)
	}
	return asInt(row[0]), nil
}

package postgres

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// inboxNumber is the number of the folder that every mailbox has.
const inboxNumber = 1

// Accept makes a message durable. A message with this id that is there already stays as
// it is.
func (s *Store) Accept(ctx context.Context, m *doppelboden.Message) (copies int, err error) {
	if err := store.Acceptable(m); err != nil {
		return 0, &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage,
			Cause: fmt.Errorf("message %s: %w", m.ID, err)}
	}
	var num int64
	err = s.do(ctx, &op{messages: []*doppelboden.Message{m}, run: func(t *tx) (err error) {
		num, _, err = t.accept(m, true)
		return err
	}})
	if err != nil {
		return 0, err
	}
	placed(m, num)
	return 1, nil
}

// placed tells a message that was written where its deliveries stand.
func placed(m *doppelboden.Message, num int64) {
	for n := range m.Deliveries {
		m.Deliveries[n].Seq = num + int64(n)
		m.Deliveries[n].Box = store.BoxOf(&m.Deliveries[n])
	}
}

// accept writes a message with its deliveries and copies and returns its num, and whether
// it is new. recorded says that the ledger gets entries for it.
func (t *tx) accept(m *doppelboden.Message, recorded bool) (num int64, added bool, err error) {
	if err := t.sequence(); err != nil {
		return 0, false, err
	}
	num, err = t.numOf(m.ID)
	if err != nil || num != 0 {
		return num, false, err
	}
	num = t.next
	t.next += max(1, int64(len(m.Deliveries)))
	t.known[m.ID] = num
	inbox, copies := store.ImpliedCopies(m)
	t.putMessage(m, num)
	t.putDeliveries(m, num, inbox)
	if err := t.putCopies(m.Tenant, num, copies); err != nil {
		return 0, false, fmt.Errorf("write copies of %s: %w", m.ID, err)
	}
	for _, ref := range m.About {
		put(&t.rows.notices, noticeTypes, ref.Message[:], int64(ref.N), num, int64(m.Tenant))
	}
	if recorded {
		t.entries = append(t.entries, store.Entries(m)...)
	}
	return num, true, nil
}

// putCopies gathers the rows of copies of a message.
func (t *tx) putCopies(tenant doppelboden.TenantID, num int64, copies []*doppelboden.Copy) error {
	for _, c := range copies {
		folder, err := t.folder(tenant, c.Mailbox, c.Folder)
		if err != nil {
			return err
		}
		t.putCopy(tenant, num, folder, c)
	}
	return nil
}

// putCopy gathers one.
func (t *tx) putCopy(tenant doppelboden.TenantID, num, folder int64, c *doppelboden.Copy) {
	at := spot{num, int64(c.Mailbox), folder}
	if t.rows.copied[at] {
		return
	}
	if t.rows.copied == nil {
		t.rows.copied = map[spot]bool{}
	}
	t.rows.copied[at] = true
	var uid any
	if c.UID != 0 {
		uid, t.rows.numbered = int64(c.UID), true
	}
	put(&t.rows.copies, copyTypes, int64(c.Mailbox), num, folder, int64(tenant), uid, int64(c.Flags), micros(c.Date), c.New)
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"doppelboden"
)

// messageColumns are what readMessage reads, with m for message and g for segment.
const messageColumns = `m.id, m.tenant, m.receipt, m.received, m.recipients, m.expanded, m.merged, m.flags, m.scan, m.class,
	g.name, m.offset, m.size, m.key_version, m.body_key, m.sum, m.door, m.peer, m.helo, m.sender, m.ret, m.envid, m.prefix,
	m.scanned`

// deliveryColumns are what readDelivery reads, with d for delivery and m for message.
const deliveryColumns = `d.seq, m.id, d.n, d.tenant, d.mailbox, d.state, d.attempts, d.next, d.changed, d.recipient,
	d.notify, d.orcpt, d.reply, d.box`

// deliveryWidth is the number of deliveryColumns.
const deliveryWidth = 14

// readMessage reads messageColumns.
func readMessage(row []driver.Value) *doppelboden.Message {
	m := &doppelboden.Message{
		ID: asID(row[0]), Tenant: doppelboden.TenantID(asInt(row[1])), Received: asTime(row[3]),
		Recipients: int(asInt(row[4])), Expanded: int(asInt(row[5])), Merged: int(asInt(row[6])),
		SMTPUTF8: asInt(row[7])&flagSMTPUTF8 != 0, EightBit: asInt(row[7])&flagEightBit != 0,
		Confirmed: asInt(row[7])&flagConfirmed != 0,
		Scan:      doppelboden.ScanState(asInt(row[8])), Class: asText(row[9]),
		Body: doppelboden.Body{Segment: asText(row[10]), Offset: asInt(row[11]), Size: asInt(row[12]),
			KeyVersion: int(asInt(row[13])), Key: asBlob(row[14]), Sum: asSum(row[15])},
		Door: asText(row[16]), Peer: asText(row[17]), Helo: asText(row[18]), Sender: asAddress(row[19]),
		Ret: asText(row[20]), EnvID: asText(row[21]), Prefix: asBlob(row[22]),
		Scanned: asTime(row[23]),
	}
	copy(m.Receipt[:], asBlob(row[2]))
	return m
}

// readDelivery reads deliveryColumns.
func readDelivery(row []driver.Value) doppelboden.Delivery {
	return doppelboden.Delivery{
		Seq: asInt(row[0]), Message: asID(row[1]), N: int(asInt(row[2])), Tenant: doppelboden.TenantID(asInt(row[3])),
		Mailbox: doppelboden.MailboxID(asInt(row[4])), State: doppelboden.State(asInt(row[5])),
		Attempts: int(asInt(row[6])), Next: asTime(row[7]), Changed: asTime(row[8]), Recipient: asAddress(row[9]),
		Notify: asText(row[10]), ORcpt: asText(row[11]), Reply: asText(row[12]), Box: doppelboden.BoxID(asInt(row[13])),
	}
}

// notFound is the answer when there is none.
func notFound(what string) error {
	return &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such " + what}
}

// Message returns one message with all its deliveries and copies.
func (s *Store) Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error) {
	var m *doppelboden.Message
	err := s.snapshot(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT "+messageColumns+`, m.num, m.deliveries FROM message m
			CROSS JOIN segment g ON g.num = m.segment WHERE m.id = ?`, id[:])
		if errors.Is(err, errNoRow) {
			return notFound("message")
		}
		if err != nil {
			return err
		}
		m = readMessage(row)
		num, deliveries := asInt(row[len(row)-2]), asInt(row[len(row)-1])
		err = c.query(ctx, func(row []driver.Value) error {
			m.Deliveries = append(m.Deliveries, readDelivery(row))
			return nil
		}, "SELECT "+deliveryColumns+` FROM delivery d CROSS JOIN message m ON m.num = d.seq - d.n
			WHERE d.seq >= ? AND d.seq < ? ORDER BY d.seq`, num, num+deliveries)
		if err != nil {
			return err
		}
		err = c.query(ctx, func(row []driver.Value) error {
			m.Copies = append(m.Copies, readCopy(row))
			return nil
		}, copiesOfMessage, num, num+deliveries)
		if err != nil || m.Class != doppelboden.ClassNotice {
			return err
		}
		m.About, err = about(ctx, c, num)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// A receipt names an hour, and its message was received about then. receiptBefore and
// receiptAfter are how far beside that hour it may be: longer than the door lets a
// transaction last.
const (
	receiptBefore = time.Hour
	receiptAfter  = 6 * time.Hour
)

// receiptStep is how much of a day one short read looks through: with 50,000 messages in
// an hour some milliseconds.
const receiptStep = 10 * time.Minute

// ByReceipt returns the id of the message with this receipt. It looks through the hour
// that the receipt names, and then around it.
func (s *Store) ByReceipt(ctx context.Context, r doppelboden.Receipt) (doppelboden.ID, error) {
	hour := hourOf(r)
	for _, part := range [][2]time.Time{{hour, hour.Add(time.Hour)}, {hour.Add(time.Hour), hour.Add(time.Hour + receiptAfter)},
		{hour.Add(-receiptBefore), hour}} {
		for from := part[0]; from.Before(part[1]); from = from.Add(receiptStep) {
			id, err := s.receivedWith(ctx, r, from, from.Add(receiptStep))
			if !errors.Is(err, errNoRow) {
				return id, err
			}
		}
	}
	return doppelboden.ID{}, notFound("receipt number")
}

// hourOf returns the hour in which a receipt was made: its first 20 bits.
func hourOf(r doppelboden.Receipt) time.Time {
	hours := int64(r[0])<<12 | int64(r[1])<<4 | int64(r[2])>>4
	return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours) * time.Hour)
}

// receivedWith looks for a receipt among the messages of some minutes.
func (s *Store) receivedWith(ctx context.Context, r doppelboden.Receipt, from, to time.Time) (id doppelboden.ID, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, `SELECT id FROM message INDEXED BY message_received
			WHERE received >= ? AND received < ? AND receipt = ? LIMIT 1`, from.UnixMicro(), to.UnixMicro(), r[:])
		if err == nil {
			id = asID(row[0])
		}
		return err
	})
	return id, err
}

// copyColumns are what readCopy reads.
const copyColumns = `c.mailbox, ifnull(f.name, 'INBOX'), c.id, c.uid, c.flags, c.date, c.open = 1 AND c.was_folder IS NULL, c.message, c.n `

// impliedColumns are the same of a copy that has no row: see delivery.inbox.
const impliedColumns = `d.mailbox, 'INBOX', m.id, NULL, 0, m.received, 0, m.num, d.seq `

// looked says how far somebody has looked into the inbox of a delivery d.
const looked = "ifnull((SELECT looked FROM folder WHERE mailbox = d.mailbox AND number = 1), 0)"

// copiesOfMessage finds all copies of the message ?1, whose deliveries end before ?2.
const copiesOfMessage = "SELECT " + copyColumns + ", c.folder FROM copy c INDEXED BY copy_message " + copyJoins + `WHERE c.message = ?1 AND c.folder > 0
	UNION ALL SELECT ` + impliedColumns + `, 1 FROM delivery d CROSS JOIN message m ON m.num = ?1
	WHERE d.seq >= ?1 AND d.seq < ?2 AND d.inbox = 1 AND d.seq > ` + looked + `
	ORDER BY 1, 10, 9`

// impliedOfMailbox returns the query for at most ?4 copies without a row in the mailbox ?1
// of the tenant ?3 that came with deliveries behind ?2.
func impliedOfMailbox() string {
	return eachState("SELECT * FROM (SELECT "+impliedColumns+`
		FROM delivery d INDEXED BY delivery_box CROSS JOIN message m ON m.num = d.seq - d.n
		WHERE d.box = ?1 AND d.state = %d AND d.seq > max(?2, ifnull((SELECT looked FROM folder WHERE mailbox = ?1 AND number = 1), 0))
		AND d.inbox = 1 AND d.tenant = ?3 ORDER BY d.seq LIMIT ?4)`, " UNION ALL ") + " ORDER BY 9 LIMIT ?4"
}

// rowsOfMailbox finds at most ?4 copies with a row behind n ?2.
const rowsOfMailbox = "SELECT " + copyColumns + "FROM copy c " + copyJoins + `WHERE c.mailbox = ?1 AND c.n > ?2 AND c.tenant = ?3 AND c.folder > 0
	ORDER BY c.n LIMIT ?4`

// copyJoins joins what copyColumns need. A mailbox that is not in the directory has no row
// for its INBOX.
const copyJoins = "LEFT JOIN folder f ON f.mailbox = c.mailbox AND f.number = c.folder "

// readCopy reads copyColumns.
func readCopy(row []driver.Value) doppelboden.Copy {
	return doppelboden.Copy{Mailbox: doppelboden.MailboxID(asInt(row[0])), Folder: asText(row[1]), Message: asID(row[2]),
		UID: uint32(asInt(row[3])), Flags: uint32(asInt(row[4])), Date: asTime(row[5]), New: asInt(row[6]) != 0}
}

// pageRows is how many rows a walk reads at once before it yields them.
const pageRows = 256

// Copies yields the copies in one mailbox: those without a row, and then the others.
func (s *Store) Copies(ctx context.Context, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, yield func(doppelboden.Copy) error) error {
	for _, text := range [...]string{impliedOfMailbox(), rowsOfMailbox} {
		last := int64(0)
		err := walk(func() (page []doppelboden.Copy, err error) {
			err = s.read(ctx, func(c *conn) error {
				return c.query(ctx, func(row []driver.Value) error {
					page, last = append(page, readCopy(row)), asInt(row[8])
					return nil
				}, text, int64(mailbox), last, int64(tenant), int64(pageRows))
			})
			return page, err
		}, yield)
		if err != nil {
			return err
		}
	}
	return nil
}

// walk yields page by page until a page is empty, with no read open meanwhile.
func walk[T any](page func() ([]T, error), yield func(T) error) error {
	for {
		items, err := page()
		if err != nil || len(items) == 0 {
			return err
		}
		for _, item := range items {
			if err := yield(item); err != nil {
				return err
			}
		}
	}
}

package postgres

import (
	"context"
	"errors"
	"time"

	"doppelboden"
)

// messageColumns are what readMessage reads, with m for message.
const messageColumns = `m.id, m.tenant, m.receipt, m.received, m.recipients, m.expanded, m.merged, m.flags, m.scan, m.class,
	m.segment, m.start, m.size, m.key_version, m.body_key, m.sum, m.door, m.peer, m.helo, m.sender, m.ret, m.envid, m.prefix,
	m.scanned`

// deliveryColumns are what readDelivery reads, with d for delivery and m for message.
const deliveryColumns = `d.seq, m.id, d.n, d.tenant, d.mailbox, d.state, d.attempts, d.next, d.changed, d.recipient,
	d.notify, d.orcpt, d.reply, d.box`

// deliveryWidth is the number of deliveryColumns.
const deliveryWidth = 14

// readMessage reads messageColumns.
func readMessage(r row) *doppelboden.Message {
	m := &doppelboden.Message{
		ID: asID(r[0]), Tenant: doppelboden.TenantID(asInt(r[1])), Received: asTime(r[3]),
		Recipients: int(asInt(r[4])), Expanded: int(asInt(r[5])), Merged: int(asInt(r[6])),
		SMTPUTF8: asInt(r[7])&flagSMTPUTF8 != 0, EightBit: asInt(r[7])&flagEightBit != 0,
		Confirmed: asInt(r[7])&flagConfirmed != 0,
		Scan:      doppelboden.ScanState(asInt(r[8])), Class: asText(r[9]),
		Body: doppelboden.Body{Segment: asText(r[10]), Offset: asInt(r[11]), Size: asInt(r[12]), KeyVersion: int(asInt(r[13])),
			Key: asBlob(r[14]), Sum: asSum(r[15])},
		Door: asText(r[16]), Peer: asText(r[17]), Helo: asText(r[18]), Sender: asAddress(r[19]),
		Ret: asText(r[20]), EnvID: asText(r[21]), Prefix: asBlob(r[22]),
		Scanned: asTime(r[23]),
	}
	copy(m.Receipt[:], r[2])
	return m
}

// readDelivery reads deliveryColumns.
func readDelivery(r row) doppelboden.Delivery {
	return doppelboden.Delivery{
		Seq: asInt(r[0]), Message: asID(r[1]), N: int(asInt(r[2])), Tenant: doppelboden.TenantID(asInt(r[3])),
		Mailbox: doppelboden.MailboxID(asInt(r[4])), State: doppelboden.State(asInt(r[5])),
		Attempts: int(asInt(r[6])), Next: asTime(r[7]), Changed: asTime(r[8]), Recipient: asAddress(r[9]),
		Notify: asText(r[10]), ORcpt: asText(r[11]), Reply: asText(r[12]), Box: doppelboden.BoxID(asInt(r[13])),
	}
}

// notFound is the answer when there is none.
func notFound(what string) error {
	return &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such " + what}
}

// Message returns one message with all its deliveries and copies.
func (s *Store) Message(ctx context.Context, id doppelboden.ID) (m *doppelboden.Message, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
		r, err := c.one(ctx, "SELECT "+messageColumns+", m.num, m.deliveries FROM message m WHERE m.id = $1", id[:])
		if errors.Is(err, errNoRow) {
			return notFound("message")
		}
		if err != nil {
			return err
		}
		m = readMessage(r)
		num, deliveries := asInt(r[len(r)-2]), asInt(r[len(r)-1])
		err = c.query(ctx, func(r row) error {
			m.Deliveries = append(m.Deliveries, readDelivery(r))
			return nil
		}, "SELECT "+deliveryColumns+` FROM delivery d JOIN message m ON m.num = d.seq - d.n
			WHERE d.seq >= $1 AND d.seq < $2 ORDER BY d.seq`, num, num+deliveries)
		if err != nil {
			return err
		}
		err = c.query(ctx, func(r row) error {
			m.Copies = append(m.Copies, readCopy(r))
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

// about reads what the notice num is about.
func about(ctx context.Context, c *conn, num int64) (refs []doppelboden.Ref, err error) {
	err = c.query(ctx, func(r row) error {
		refs = append(refs, doppelboden.Ref{Message: asID(r[0]), N: int(asInt(r[1]))})
		return nil
	}, `SELECT m.id, d.n FROM notice n JOIN delivery d ON d.seq = n.about
		JOIN message m ON m.num = d.seq - d.n WHERE n.message = $1 ORDER BY n.about`, num)
	return refs, err
}

// A receipt names an hour, and its message was received about then. receiptBefore and
// receiptAfter are how far beside that hour it may be: longer than the door lets a
// transaction last.
const (
	receiptBefore = time.Hour
	receiptAfter  = 6 * time.Hour
)

// receiptStep is how much of a day one short read looks through.
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
		found, err := c.one(ctx, "SELECT id FROM message WHERE received >= $1 AND received < $2 AND receipt = $3 LIMIT 1",
			from.UnixMicro(), to.UnixMicro(), r[:])
		if err == nil {
			id = asID(found[0])
		}
		return err
	})
	return id, err
}

// copyColumns are what readCopy reads.
const copyColumns = `c.mailbox, coalesce(f.name, 'INBOX') AS name, c.id, c.uid, c.flags, c.date, c.open AND c.was_folder IS NULL, c.message, c.n `

// impliedColumns are the same of a copy that has no row: see delivery.inbox.
const impliedColumns = `d.mailbox, 'INBOX', m.id, NULL::bigint, 0::bigint, m.received, false, m.num, d.seq `

// looked says how far somebody has looked into the inbox of a delivery d.
const looked = "coalesce((SELECT i.looked FROM folder i WHERE i.mailbox = d.mailbox AND i.number = 1 OFFSET 0), 0)"

// copyJoins joins what copyColumns need. A mailbox that is not in the directory has no row
// for its INBOX.
const copyJoins = "LEFT JOIN folder f ON f.mailbox = c.mailbox AND f.number = c.folder "

// copiesOfMessage finds all copies of the message $1, whose deliveries end before $2.
const copiesOfMessage = "SELECT " + copyColumns + ", c.folder FROM copy c " + copyJoins + `WHERE c.message = $1 AND c.message + 0 IS NOT NULL AND c.folder - 0 > 0
	UNION ALL SELECT ` + impliedColumns + `, 1::bigint FROM delivery d JOIN message m ON m.num = $1
	WHERE d.seq >= $1 AND d.seq < $2 AND d.inbox AND d.seq > ` + looked + `
	ORDER BY 1, 10, 9`

// impliedOfMailbox returns the query for at most $4 copies without a row in the mailbox $1
// of the tenant $3 that came with deliveries behind $2. The index has them by the
// delivery's state, so each state is asked for.
func impliedOfMailbox() string {
	return eachState("(SELECT "+impliedColumns+`FROM delivery d JOIN message m ON m.num = d.seq - d.n
		WHERE d.box = $1 AND d.state = %d AND d.seq > greatest($2, coalesce((SELECT i.looked FROM folder i WHERE i.mailbox = $1 AND i.number = 1), 0))
		AND d.inbox AND d.tenant = $3 ORDER BY d.seq LIMIT $4)`, " UNION ALL ") + " ORDER BY 9 LIMIT $4"
}

// rowsOfMailbox finds at most $4 copies with a row behind n $2.
const rowsOfMailbox = "SELECT " + copyColumns + "FROM copy c " + copyJoins + `WHERE c.mailbox = $1 AND c.n > $2 AND c.tenant = $3 AND c.folder - 0 > 0
	ORDER BY c.n LIMIT $4`

// readCopy reads copyColumns.
func readCopy(r row) doppelboden.Copy {
	return doppelboden.Copy{Mailbox: doppelboden.MailboxID(asInt(r[0])), Folder: asText(r[1]), Message: asID(r[2]),
		UID: uint32(asInt(r[3])), Flags: uint32(asInt(r[4])), Date: asTime(r[5]), New: asBool(r[6])}
}

// Copies yields the copies in one mailbox: those without a row, and then the others.
func (s *Store) Copies(ctx context.Context, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, yield func(doppelboden.Copy) error) error {
	for _, text := range [...]string{impliedOfMailbox(), rowsOfMailbox} {
		last := int64(0)
		err := walk(func() (page []doppelboden.Copy, err error) {
			err = s.readAs(ctx, tenant, func(c *conn) error {
				return c.query(ctx, func(r row) error {
					page, last = append(page, readCopy(r)), asInt(r[8])
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

package postgres

import (
	"doppelboden"
	"doppelboden/store"
)

// Flags of a message's row.
const (
	flagSMTPUTF8  = 1
	flagEightBit  = 2
	flagConfirmed = 4
)

// rows are what is gathered to be inserted, column by column; nil: nothing is.
type rows struct {
	messages, deliveries, copies, notices, links []*column

	copied   map[spot]bool // what is among copies
	numbered bool          // some of copies have a UID
}

// A spot is a folder in which a message lies.
type spot struct{ message, mailbox, folder int64 }

// Types of the columns, in the order of the statements below.
const (
	b = oidByteaArray
	i = oidBigintArray
	s = oidTextArray
	l = oidBoolArray
)

var (
	messageTypes  = []uint32{i, i, b, b, i, i, i, i, i, i, i, i, s, s, i, i, i, b, b, s, s, s, s, s, s, b}
	deliveryTypes = []uint32{i, i, i, i, i, l, i, i, i, i, i, s, s, s, s}
	copyTypes     = []uint32{i, i, i, i, i, i, i, l}
	noticeTypes   = []uint32{b, i, i, i}
	linkTypes     = []uint32{s, i, i, b, b, b, b}
)

const (
	insertMessages = `INSERT INTO message (num, tenant, id, receipt, received, deliveries, recipients, expanded, merged,
		flags, scan, scanned, class, segment, start, size, key_version, body_key, sum, door, peer, helo, sender, ret, envid, prefix)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[],
		$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::bigint[],
		$16::bigint[], $17::bigint[], $18::bytea[], $19::bytea[], $20::text[], $21::text[], $22::text[], $23::text[],
		$24::text[], $25::text[], $26::bytea[])`
	insertDeliveries = `INSERT INTO delivery (seq, n, tenant, mailbox, box, inbox, state, attempts, next, changed, handed,
		recipient, notify, orcpt, reply)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bigint[],
		$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[])`
	// insertCopies passes over what lies there already.
	insertCopies = `INSERT INTO copy (mailbox, tenant, message, id, size, scan, folder, uid, flags, date, change, known, deed, open, at)
		SELECT u.mailbox, u.tenant, m.num, m.id, m.size + coalesce(octet_length(m.prefix), 0), m.scan, u.folder, u.uid, u.flags, u.date, 0, 0,
			CASE WHEN u.made THEN nextval('deed') END, u.made, CASE WHEN u.made THEN m.received END
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[])
			u (mailbox, message, folder, tenant, uid, flags, date, made) JOIN message m ON m.num = u.message
		WHERE NOT EXISTS (SELECT FROM copy c WHERE c.message = u.message AND c.message + 0 IS NOT NULL AND c.mailbox - 0 = u.mailbox AND c.folder - 0 = u.folder OFFSET 0)`
	// insertNumbered does so with copies of which some have a UID already.
	insertNumbered = "WITH added AS (" + insertCopies + ` RETURNING mailbox, folder, uid, flags)
		UPDATE folder f SET uid_next = greatest(f.uid_next, a.last + 1), total = f.total + a.total, unseen = f.unseen + a.unseen
		FROM (SELECT mailbox, folder, max(uid) AS last, count(*) FILTER (WHERE flags & 2147483648 = 0) AS total,
				count(*) FILTER (WHERE flags & 2147483649 = 0) AS unseen FROM added WHERE uid IS NOT NULL GROUP BY mailbox, folder) a
		WHERE f.mailbox = a.mailbox AND f.number = a.folder`
	// insertNotices passes over deliveries that are not there any more.
	insertNotices = `INSERT INTO notice (about, message, tenant)
		SELECT m.num + u.n, u.message, u.tenant FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) u (id, n, message, tenant)
		JOIN message m ON m.id = u.id WHERE u.n >= 0 AND u.n < m.deliveries ON CONFLICT DO NOTHING`
)

const insertLinks = `INSERT INTO link (chain, number, at, prev, root, hash, entries)
	SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])`

// put appends a row to columns, which it makes for the first one.
func put(columns *[]*column, types []uint32, values ...any) {
	if *columns == nil {
		for _, t := range types {
			*columns = append(*columns, newColumn(t))
		}
	}
	for at, v := range values {
		(*columns)[at].add(v)
	}
}

// insert appends the statement that inserts columns, if there are any.
func insert(list []statement, text string, columns []*column) []statement {
	if columns == nil {
		return list
	}
	st := statement{text: text}
	for _, c := range columns {
		st.args = append(st.args, c)
	}
	return append(list, st)
}

// gathered returns the statements that write what was gathered, and gathers anew.
func (t *tx) gathered() []statement {
	list := insert(nil, insertMessages, t.rows.messages)
	list = insert(list, insertDeliveries, t.rows.deliveries)
	if t.rows.numbered {
		list = insert(list, insertNumbered, t.rows.copies)
	} else {
		list = insert(list, insertCopies, t.rows.copies)
	}
	list = insert(list, insertNotices, t.rows.notices)
	list = insert(list, insertLinks, t.rows.links)
	list = append(list, t.updates()...)
	list = append(list, t.holdings()...)
	t.rows, t.changed, t.held = rows{}, nil, nil
	return list
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

// putMessage gathers a message's row.
func (t *tx) putMessage(m *doppelboden.Message, num int64) {
	body := &m.Body
	put(&t.rows.messages, messageTypes,
		num, int64(m.Tenant), m.ID[:], m.Receipt[:], micros(m.Received), int64(len(m.Deliveries)), int64(m.Recipients),
		int64(m.Expanded), int64(m.Merged), flagsOf(m), int64(m.Scan), micros(m.Scanned), m.Class, body.Segment, body.Offset,
		body.Size, int64(body.KeyVersion), blob(body.Key), body.Sum[:], m.Door, m.Peer, m.Helo, address(m.Sender), m.Ret,
		m.EnvID, blob(m.Prefix))
}

// putDeliveries gathers the rows of a message's deliveries.
func (t *tx) putDeliveries(m *doppelboden.Message, num int64, inbox []bool) {
	for n := range m.Deliveries {
		d := &m.Deliveries[n]
		var handed any
		switch {
		case d.State == doppelboden.Held:
			t.hold(num+int64(n), m.Tenant, store.BoxOf(d), store.HoldOf(d), d.Reply, d.Recipient, m.Received)
		case d.State == doppelboden.Delivered && d.Attempts > 0: // a next server took it meanwhile
			handed = micros(d.Changed)
		}
		put(&t.rows.deliveries, deliveryTypes,
			num+int64(n), int64(n), int64(m.Tenant), int64(d.Mailbox), int64(store.BoxOf(d)), inbox[n], int64(d.State),
			int64(d.Attempts), micros(d.Next), micros(d.Changed), handed, address(d.Recipient), d.Notify, d.ORcpt, d.Reply)
		t.count(m.Tenant, d.State, 1)
	}
}

// putLink gathers a link.
func (t *tx) putLink(k *doppelboden.Link) {
	put(&t.rows.links, linkTypes, k.Chain, k.Number, k.At.UnixMicro(), k.Prev[:], k.Root[:], k.Hash[:], blob(k.Entries))
}

package landing

import (
	"encoding/binary"
	"errors"
	"time"

	"doppelboden"
)

// codecVersion begins every payload. A later version must go on reading this one: what
// landed before an update is drained after it.
const codecVersion = 2

// codecFirst is the oldest version that is read. It knew nothing of Copy.New.
const codecFirst = 1

// usualLength is what a message for one recipient takes at most without its prefix, in bytes.
const usualLength = 384

// appendMessage appends m as decoder.message reads it. Times are microseconds since 1970,
// numbers are varints, texts have their length before them.
func appendMessage(b []byte, m *doppelboden.Message) []byte {
	b = append(b, m.ID[:]...)
	b = append(b, m.Receipt[:]...)
	b = append(b, m.Body.Sum[:]...)
	b = appendInts(b, int64(m.Tenant), micros(m.Received), flags(m), int64(m.Scan), micros(m.Scanned),
		m.Body.Offset, m.Body.Size, int64(m.Body.KeyVersion),
		int64(m.Recipients), int64(m.Expanded), int64(m.Merged))
	b = appendTexts(b, m.Door, m.Peer, m.Helo, m.Sender.Local, m.Sender.Domain, m.Ret, m.EnvID, m.Class, m.Body.Segment)
	b = appendBytes(b, m.Body.Key)
	b = appendBytes(b, m.Prefix)
	b = appendInts(b, int64(len(m.Deliveries)), int64(len(m.Copies)), int64(len(m.About)))
	for i := range m.Deliveries {
		d := &m.Deliveries[i]
		b = appendInts(b, int64(d.N), int64(d.Tenant), int64(d.Mailbox), int64(d.Box), int64(d.State), int64(d.Attempts), micros(d.Next), micros(d.Changed))
		b = appendTexts(b, d.Recipient.Local, d.Recipient.Domain, d.Notify, d.ORcpt, d.Reply)
	}
	for i := range m.Copies {
		c := &m.Copies[i]
		b = append(b, c.Message[:]...)
		b = appendInts(b, int64(c.Mailbox), int64(c.UID), int64(c.Flags), micros(c.Date), number(c.New))
		b = appendTexts(b, c.Folder)
	}
	for _, r := range m.About {
		b = append(b, r.Message[:]...)
		b = appendInts(b, int64(r.N))
	}
	return b
}

// Flags of a message in the journal.
const (
	flagSMTPUTF8 = 1 << iota
	flagEightBit
	flagConfirmed
)

func flags(m *doppelboden.Message) (f int64) {
	if m.SMTPUTF8 {
		f |= flagSMTPUTF8
	}
	if m.EightBit {
		f |= flagEightBit
	}
	if m.Confirmed {
		f |= flagConfirmed
	}
	return f
}

// number writes a truth.
func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// noTime stands for the zero time.
const noTime = -1 << 63

func micros(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixMicro()
}

func timeOf(us int64) time.Time {
	if us == noTime {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func appendInts(b []byte, all ...int64) []byte {
	for _, n := range all {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func appendTexts(b []byte, all ...string) []byte {
	for _, s := range all {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func appendBytes(b, p []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(p)))
	return append(b, p...)
}

// errPayload says that a payload is not what appendMessage or appendLanded made although
// its checksum is right: another version wrote it.
var errPayload = errors.New("the record cannot be read; it was written by another version")

// A decoder reads a payload. After its first error everything is zero.
type decoder struct {
	b       []byte
	version byte // of the payload
	err     error
}

func (d *decoder) fail() { d.b, d.err = nil, errPayload }

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

// count reads how many items follow, of which each takes at least one byte.
func (d *decoder) count() int {
	n := d.int()
	if n < 0 || n > int64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// bytes returns a piece of the payload, nil when it is empty.
func (d *decoder) bytes() []byte {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)-size) {
		d.fail()
		return nil
	}
	p := d.b[size : size+int(n) : size+int(n)]
	d.b = d.b[size+int(n):]
	if len(p) == 0 {
		return nil
	}
	return p
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) time() time.Time { return timeOf(d.int()) }

func (d *decoder) fixed(into []byte) {
	if len(d.b) < len(into) {
		d.fail()
		return
	}
	d.b = d.b[copy(into, d.b):]
}

// message reads what appendMessage wrote.
func (d *decoder) message() *doppelboden.Message {
	m := &doppelboden.Message{}
	d.fixed(m.ID[:])
	d.fixed(m.Receipt[:])
	d.fixed(m.Body.Sum[:])
	m.Tenant, m.Received = doppelboden.TenantID(d.int()), d.time()
	f := d.int()
	m.SMTPUTF8, m.EightBit, m.Confirmed = f&flagSMTPUTF8 != 0, f&flagEightBit != 0, f&flagConfirmed != 0
	m.Scan, m.Scanned = doppelboden.ScanState(d.int()), d.time()
	m.Body.Offset, m.Body.Size, m.Body.KeyVersion = d.int(), d.int(), int(d.int())
	m.Recipients, m.Expanded, m.Merged = int(d.int()), int(d.int()), int(d.int())
	m.Door, m.Peer, m.Helo = d.text(), d.text(), d.text()
	m.Sender = doppelboden.Address{Local: d.text(), Domain: d.text()}
	m.Ret, m.EnvID, m.Class, m.Body.Segment = d.text(), d.text(), d.text(), d.text()
	m.Body.Key, m.Prefix = d.bytes(), d.bytes()
	deliveries, copies, about := d.count(), d.count(), d.count()
	m.Deliveries = make([]doppelboden.Delivery, 0, deliveries)
	for range deliveries {
		m.Deliveries = append(m.Deliveries, d.delivery(m.ID))
	}
	for range copies {
		m.Copies = append(m.Copies, d.copy())
	}
	for range about {
		var r doppelboden.Ref
		d.fixed(r.Message[:])
		r.N = int(d.int())
		m.About = append(m.About, r)
	}
	return m
}

func (d *decoder) delivery(id doppelboden.ID) doppelboden.Delivery {
	return doppelboden.Delivery{
		Message: id,
		N:       int(d.int()), Tenant: doppelboden.TenantID(d.int()), Mailbox: doppelboden.MailboxID(d.int()),
		Box: doppelboden.BoxID(d.int()), State: doppelboden.State(d.int()), Attempts: int(d.int()),
		Next: d.time(), Changed: d.time(),
		Recipient: doppelboden.Address{Local: d.text(), Domain: d.text()},
		Notify:    d.text(), ORcpt: d.text(), Reply: d.text(),
	}
}

func (d *decoder) copy() doppelboden.Copy {
	var c doppelboden.Copy
	d.fixed(c.Message[:])
	c.Mailbox, c.UID, c.Flags, c.Date = doppelboden.MailboxID(d.int()), uint32(d.int()), uint32(d.int()), d.time()
	if d.version > codecFirst {
		c.New = d.int() != 0
	}
	c.Folder = d.text()
	return c
}

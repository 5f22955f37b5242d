package city

import (
	"encoding/binary"
	"strings"
	"time"

	"doppelboden"
)

// A card is a mailbox as a Directory keeps it. A doppelboden.Mailbox takes 256 bytes, most
// of them for fields that are empty or the same in thousands of others; a card takes a
// fifth of that, which is what an idle node's memory consists of. It never changes.
type card struct {
	id     doppelboden.MailboxID
	common *common
	packed string // see pack
}

// A common is what many mailboxes have in common.
type common struct {
	tenant     doppelboden.TenantID
	kind       doppelboden.MailboxKind
	priority   int
	closed     bool
	department string
	building   string
	source     string
}

// A press makes cards. It holds each common once.
type press map[common]*common

// card returns the card of a mailbox.
func (p press) card(b doppelboden.Mailbox) card {
	c := common{tenant: b.Tenant, kind: b.Kind, priority: b.Priority, closed: b.Closed,
		department: b.Department, building: b.Building, source: b.Source}
	held := p[c]
	if held == nil {
		// What a file was read into would live as long as a part of it does.
		c.department, c.building, c.source = strings.Clone(c.department), strings.Clone(c.building), strings.Clone(c.source)
		held = new(common)
		*held = c
		p[c] = held
	}
	return card{id: b.ID, common: held, packed: pack(b)}
}

// pack writes what a mailbox has for itself: address, name, telephone, what its source calls
// it, since when it is gone, aliases and members. Texts have their length in front.
func pack(b doppelboden.Mailbox) string {
	text := func(to []byte, s string) []byte {
		return append(binary.AppendUvarint(to, uint64(len(s))), s...)
	}
	address := func(to []byte, a doppelboden.Address) []byte { return text(to, a.Local+"@"+a.Domain) }
	packed := address(make([]byte, 0, 64), b.Address)
	packed = text(packed, b.Name)
	packed = text(packed, string(b.Phone))
	packed = text(packed, b.External)
	if b.Gone.IsZero() {
		packed = append(packed, 0)
	} else {
		packed = binary.AppendVarint(append(packed, 1), b.Gone.UnixMicro())
	}
	for _, list := range [][]doppelboden.Address{b.Aliases, b.Members} {
		packed = binary.AppendUvarint(packed, uint64(len(list)))
		for _, a := range list {
			packed = address(packed, a)
		}
	}
	return string(packed)
}

// mailbox returns the mailbox. Its texts are parts of the card; its time is in UTC and in
// microseconds, as stores have it.
func (c card) mailbox() doppelboden.Mailbox {
	u := unpacker(c.packed)
	b := doppelboden.Mailbox{ID: c.id, Tenant: c.common.tenant, Kind: c.common.kind, Priority: c.common.priority, Closed: c.common.closed,
		Department: c.common.department, Building: c.common.building, Source: c.common.source}
	b.Address = u.address()
	b.Name = u.text()
	b.Phone = doppelboden.Phone(u.text())
	b.External = u.text()
	if u.uvarint() != 0 {
		b.Gone = time.UnixMicro(u.varint()).UTC()
	}
	b.Aliases = u.addresses()
	b.Members = u.addresses()
	return b
}

// address returns the mailbox's address.
func (c card) address() doppelboden.Address {
	u := unpacker(c.packed)
	return u.address()
}

// written returns the address as the card has it: its Key in nearly all cases.
func (c card) written() string {
	u := unpacker(c.packed)
	return u.text()
}

// An unpacker reads what pack has written, from the front.
type unpacker string

func (u *unpacker) uvarint() uint64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := (*u)[0]
		*u = (*u)[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (u *unpacker) varint() int64 {
	n := u.uvarint() // as encoding/binary has it: the sign is the last bit
	return int64(n>>1) ^ -int64(n&1)
}

func (u *unpacker) text() string {
	n := u.uvarint()
	s := (*u)[:n]
	*u = (*u)[n:]
	return string(s)
}

func (u *unpacker) address() doppelboden.Address {
	s := u.text()
	at := strings.LastIndexByte(s, '@') // a local part may hold one, a domain does not
	return doppelboden.Address{Local: s[:at], Domain: s[at+1:]}
}

func (u *unpacker) addresses() []doppelboden.Address {
	n := u.uvarint()
	if n == 0 {
		return nil
	}
	list := make([]doppelboden.Address, n)
	for i := range list {
		list[i] = u.address()
	}
	return list
}

package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"doppelboden"
)

// The encoding of a link's entries: one byte of version, the salt, the number of
// entries, and each entry with its length before it. An entry is its kind, a set of
// bits that names the fields that are not zero, the time, and these fields in the order
// of the bits. Every value has exactly one encoding: the decoder refuses all others, so
// that equal facts always have equal hashes.
const (
	entriesVersion = 1

	// saltSize keeps somebody who knows a hash from guessing the entry behind it.
	saltSize = 16

	// maxText bounds By and Note. They are names and one-line remarks.
	maxText = 1000
)

// The bits of an entry, in the order in which their fields are written.
const (
	hasTenant = 1 << iota
	hasMessage
	hasRecipients
	hasDeliveries
	hasExpanded
	hasMerged
	hasGenerated // the bit is the value
	hasSum
	hasHere
	hasN
	hasState
	hasBy
	hasNote
	allBits = 1<<iota - 1
)

// errEntry is what every complaint of the decoder wraps.
var errEntry = errors.New("bad entry")

// Times that can be written as RFC 3339; others are moved to the nearer end.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC).UnixMicro()
)

// micros returns t as the ledger keeps it.
func micros(t time.Time) int64 { return min(max(t.UnixMicro(), firstTime), lastTime) }

// encodeEntries returns the encoding of entries with their salt.
func encodeEntries(salt [saltSize]byte, entries []doppelboden.Entry) []byte {
	b := make([]byte, 0, 1+saltSize+4+96*len(entries))
	b = append(b, entriesVersion)
	b = append(b, salt[:]...)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	var one [128]byte
	for i := range entries {
		e := appendEntry(one[:0], &entries[i])
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = append(b, e...)
	}
	return b
}

// appendEntry appends the encoding of e to b. Text that is not UTF-8 is mended and text
// beyond maxText is cut, because the ledger must be able to write every entry.
func appendEntry(b []byte, e *doppelboden.Entry) []byte {
	by, note := tidy(e.By), tidy(e.Note)
	bits := bitsOf(e)
	if by != "" {
		bits |= hasBy
	}
	if note != "" {
		bits |= hasNote
	}
	b = append(b, byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(bits))
	b = binary.AppendVarint(b, micros(e.At))
	if bits&hasTenant != 0 {
		b = binary.AppendVarint(b, int64(e.Tenant))
	}
	if bits&hasMessage != 0 {
		b = append(b, e.Message[:]...)
	}
	for i, v := range [...]int{e.Recipients, e.Deliveries, e.Expanded, e.Merged} {
		if bits&(hasRecipients<<i) != 0 {
			b = binary.AppendVarint(b, int64(v))
		}
	}
	if bits&hasSum != 0 {
		b = append(b, e.Sum[:]...)
	}
	if bits&hasHere != 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Here)))
		for _, n := range e.Here {
			b = binary.AppendVarint(b, int64(n))
		}
	}
	if bits&hasN != 0 {
		b = binary.AppendVarint(b, int64(e.N))
	}
	if bits&hasState != 0 {
		b = binary.AppendVarint(b, int64(e.State))
	}
	for i, s := range [...]string{by, note} {
		if bits&(hasBy<<i) != 0 {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// bitsOf names the fields of e that are not zero, without the texts.
func bitsOf(e *doppelboden.Entry) int {
	bits := 0
	set := func(bit int, is bool) {
		if is {
			bits |= bit
		}
	}
	set(hasTenant, e.Tenant != 0)
	set(hasMessage, !e.Message.IsZero())
	set(hasRecipients, e.Recipients != 0)
	set(hasDeliveries, e.Deliveries != 0)
	set(hasExpanded, e.Expanded != 0)
	set(hasMerged, e.Merged != 0)
	set(hasGenerated, e.Generated)
	set(hasSum, e.Sum != [32]byte{})
	set(hasHere, len(e.Here) != 0)
	set(hasN, e.N != 0)
	set(hasState, e.State != 0)
	return bits
}

// tidy returns s as valid UTF-8 of at most maxText bytes.
func tidy(s string) string {
	if len(s) <= maxText && utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// Decode returns the entries of a link. It returns none when they have expired.
func Decode(l doppelboden.Link) ([]doppelboden.Entry, error) {
	if len(l.Entries) == 0 {
		return nil, nil
	}
	_, list, err := splitEntries(l.Entries)
	if err != nil {
		return nil, err
	}
	out := make([]doppelboden.Entry, len(list))
	for i, raw := range list {
		if err := decodeEntry(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return out, nil
}

// splitEntries returns the salt and the raw entries of a link, which point into b.
func splitEntries(b []byte) (salt [saltSize]byte, list [][]byte, err error) {
	var next func() ([]byte, bool, error)
	salt, n, next, err := walkEntries(b)
	if err != nil {
		return salt, nil, err
	}
	list = make([][]byte, 0, n)
	for {
		raw, more, err := next()
		if err != nil || !more {
			return salt, list, err
		}
		list = append(list, raw)
	}
}

// walkEntries reads the head of a link's entries and returns a function that gives one
// raw entry after the other. It allocates nothing that depends on the input.
func walkEntries(b []byte) (salt [saltSize]byte, n int, next func() ([]byte, bool, error), err error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != entriesVersion {
		return salt, 0, nil, fmt.Errorf("%w: version %d is unknown", errEntry, v)
	}
	copy(salt[:], d.bytes(saltSize))
	n = d.count(2) // an entry has at least its length and a byte
	if d.err != nil {
		return salt, 0, nil, d.err
	}
	left := n
	return salt, n, func() ([]byte, bool, error) {
		if left == 0 {
			return nil, false, d.end()
		}
		left--
		raw := d.bytes(d.count(1))
		return raw, d.err == nil, d.err
	}, nil
}

// eachEntry calls f with every entry of a link, in one Entry that is used again. It is
// for walks over millions of entries; f must not keep the Entry or its Here.
func eachEntry(b []byte, e *doppelboden.Entry, f func(*doppelboden.Entry) error) error {
	_, _, next, err := walkEntries(b)
	if err != nil {
		return err
	}
	for {
		raw, more, err := next()
		if err != nil || !more {
			return err
		}
		if err := decodeEntry(raw, e); err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// decodeEntry reads one raw entry into e, whose Here is used again.
func decodeEntry(raw []byte, e *doppelboden.Entry) error {
	here := e.Here[:0]
	*e = doppelboden.Entry{}
	d := decoder{b: raw}
	e.Kind = doppelboden.EntryKind(d.byte())
	bits := d.uvarint()
	if bits > allBits {
		d.fail("unknown fields")
	}
	at := d.varint()
	if at < firstTime || at > lastTime {
		d.fail("a time out of range")
	}
	e.At = time.UnixMicro(at).UTC()
	if bits&hasTenant != 0 {
		e.Tenant = doppelboden.TenantID(d.varint())
	}
	if bits&hasMessage != 0 {
		copy(e.Message[:], d.bytes(16))
	}
	for i, v := range [...]*int{&e.Recipients, &e.Deliveries, &e.Expanded, &e.Merged} {
		if bits&(hasRecipients<<i) != 0 {
			*v = d.int()
		}
	}
	e.Generated = bits&hasGenerated != 0
	if bits&hasSum != 0 {
		copy(e.Sum[:], d.bytes(32))
	}
	if bits&hasHere != 0 {
		for range d.count(1) {
			here = append(here, d.int())
		}
		e.Here = here
	}
	if bits&hasN != 0 {
		e.N = d.int()
	}
	if bits&hasState != 0 {
		e.State = doppelboden.State(d.int())
	}
	if bits&hasBy != 0 {
		e.By = d.text()
	}
	if bits&hasNote != 0 {
		e.Note = d.text()
	}
	if err := d.end(); err != nil {
		return err
	}
	if !sameBits(int(bits), e) {
		return fmt.Errorf("%w: a field is there and zero", errEntry)
	}
	return nil
}

// sameBits reports whether exactly the fields named by bits are not zero.
func sameBits(bits int, e *doppelboden.Entry) bool {
	got := bitsOf(e)
	if e.By != "" {
		got |= hasBy
	}
	if e.Note != "" {
		got |= hasNote
	}
	return got == bits
}

// A decoder reads values from b. After the first error it returns zeros.
type decoder struct {
	b   []byte // what is left
	err error  // the first error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errEntry, what)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it ends too early")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.b) {
		d.fail("it ends too early")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// uvarint refuses numbers that are written longer than they need be.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail("not a number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) int() int {
	v := d.varint()
	if v < math.MinInt || v > math.MaxInt {
		d.fail("a number out of range")
		return 0
	}
	return int(v)
}

// count reads how many things follow that have at least size bytes each.
func (d *decoder) count(size int) int {
	v := d.uvarint()
	if v > uint64(len(d.b)/size) {
		d.fail("more is announced than there is")
		return 0
	}
	return int(v)
}

// courier is what By says for nearly every settlement; one string serves them all.
const courier = "courier"

func (d *decoder) text() string {
	b := d.bytes(d.count(1))
	if len(b) > maxText || !utf8.Valid(b) {
		d.fail("a text that is too long or not UTF-8")
		return ""
	}
	if string(b) == courier {
		return courier
	}
	return string(b)
}

// end complains about bytes that are left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail("something follows it")
	}
	return d.err
}

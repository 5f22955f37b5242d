package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"doppelboden"
)

// Numbers of PostgreSQL's types, as its catalogue has them.
const (
	oidBool   = 16
	oidBytea  = 17
	oidBigint = 20
	oidText   = 25

	oidBoolArray   = 1000
	oidByteaArray  = 1001
	oidTextArray   = 1009
	oidBigintArray = 1016
)

// arguments are what a statement gets, as PostgreSQL reads it.
type arguments struct {
	oids   []uint32 // 0: let the server find out
	values [][]byte // nil: NULL
}

// encode writes arguments: nil, bool, int64, string, []byte, a column, []int64, []string
// and [][]byte.
func encode(args []any) (*arguments, error) {
	a := &arguments{oids: make([]uint32, len(args)), values: make([][]byte, len(args))}
	for i, v := range args {
		switch v := v.(type) {
		case nil:
		case bool:
			a.oids[i], a.values[i] = oidBool, []byte{0}
			if v {
				a.values[i][0] = 1
			}
		case int64:
			a.oids[i], a.values[i] = oidBigint, binary.BigEndian.AppendUint64(nil, uint64(v))
		case string:
			a.oids[i], a.values[i] = oidText, []byte(escape(v))
		case []byte:
			a.oids[i], a.values[i] = oidBytea, v
		case *column:
			a.oids[i], a.values[i] = v.array, v.bytes()
		case []int64:
			a.oids[i], a.values[i] = oidBigintArray, columnOf(v).bytes()
		case []string:
			a.oids[i], a.values[i] = oidTextArray, columnOf(v).bytes()
		case [][]byte:
			a.oids[i], a.values[i] = oidByteaArray, columnOf(v).bytes()
		default:
			return nil, fmt.Errorf("argument %d is a %T, which no column holds", i+1, v)
		}
	}
	return a, nil
}

// A column is an array of values that go into one column of several rows.
type column struct {
	array, element uint32 // types
	rows           int
	nulls          bool
	buf            []byte // the header's place and then the elements
}

// columnHeader is the length of what precedes the elements of an array of one dimension.
const columnHeader = 20

// newColumn makes an empty one.
func newColumn(array uint32) *column {
	element := map[uint32]uint32{oidBoolArray: oidBool, oidByteaArray: oidBytea, oidTextArray: oidText, oidBigintArray: oidBigint}
	return &column{array: array, element: element[array], buf: make([]byte, columnHeader, 512)}
}

// columnOf makes a full one.
func columnOf[T int64 | string | []byte](values []T) *column {
	var c *column
	switch any(values).(type) {
	case []int64:
		c = newColumn(oidBigintArray)
	case []string:
		c = newColumn(oidTextArray)
	default:
		c = newColumn(oidByteaArray)
	}
	for _, v := range values {
		c.add(v)
	}
	return c
}

// add appends a value of the column's type, or nil for NULL.
func (c *column) add(v any) {
	c.rows++
	switch v := v.(type) {
	case nil:
		c.nulls = true
		c.buf = binary.BigEndian.AppendUint32(c.buf, 0xffffffff)
	case bool:
		b := byte(0)
		if v {
			b = 1
		}
		c.buf = append(binary.BigEndian.AppendUint32(c.buf, 1), b)
	case int64:
		c.buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(c.buf, 8), uint64(v))
	case string:
		v = escape(v)
		c.buf = append(binary.BigEndian.AppendUint32(c.buf, uint32(len(v))), v...)
	case []byte:
		c.buf = append(binary.BigEndian.AppendUint32(c.buf, uint32(len(v))), v...)
	default:
		panic(fmt.Sprintf("a column was given a %T", v))
	}
}

// bytes returns the array as PostgreSQL reads it.
func (c *column) bytes() []byte {
	h := c.buf[:0]
	dimensions, flags := uint32(1), uint32(0)
	if c.nulls {
		flags = 1
	}
	for _, v := range [...]uint32{dimensions, flags, c.element, uint32(c.rows), 1} {
		h = binary.BigEndian.AppendUint32(h, v)
	}
	return c.buf
}

// A row is what a statement gave, column by column; nil is NULL.
type row [][]byte

// clone copies a row, so that it outlives the next one.
func (r row) clone() row {
	size := 0
	for _, v := range r {
		size += len(v)
	}
	buf, all := make([]byte, 0, size), make(row, len(r))
	for i, v := range r {
		if v != nil {
			start := len(buf)
			buf = append(buf, v...)
			all[i] = buf[start:len(buf):len(buf)]
		}
	}
	return all
}

// micros is t as the database keeps it: microseconds, and NULL for the zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// kept is a time as it comes back from the database.
func kept(v time.Time) time.Time {
	if v.IsZero() {
		return v
	}
	return time.UnixMicro(v.UnixMicro()).UTC()
}

// blob is b as the database keeps it; nothing is NULL.
func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// address is a as the database keeps it. A domain holds no "@", so the last one parts.
func address(a doppelboden.Address) string {
	if a.IsNull() {
		return ""
	}
	return a.Local + "@" + a.Domain
}

// asInt reads a bigint, an integer or a boolean; NULL is 0.
func asInt(v []byte) int64 {
	switch len(v) {
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 1:
		return int64(v[0])
	}
	return 0
}

// asBool reads a boolean; NULL is false.
func asBool(v []byte) bool { return len(v) == 1 && v[0] != 0 }

// asText reads a text; NULL is empty.
func asText(v []byte) string { return unescape(string(v)) }

// asBlob reads bytes; NULL, and none, are nil.
func asBlob(v []byte) []byte {
	if len(v) == 0 {
		return nil
	}
	return slices.Clone(v)
}

// asSum reads 32 bytes.
func asSum(v []byte) (sum [32]byte) { copy(sum[:], v); return sum }

// asID reads a message's id.
func asID(v []byte) (id doppelboden.ID) { copy(id[:], v); return id }

// asTime reads what micros wrote.
func asTime(v []byte) time.Time {
	if v == nil {
		return time.Time{}
	}
	return time.UnixMicro(asInt(v)).UTC()
}

// asAddress reads what address wrote.
func asAddress(v []byte) doppelboden.Address {
	s := asText(v)
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return doppelboden.Address{}
	}
	return doppelboden.Address{Local: s[:at], Domain: s[at+1:]}
}

// PostgreSQL's text holds neither NUL nor what is not UTF-8, and mail brings both. Such a
// byte is written as escapeMark with two hexadecimal digits, and so is escapeMark itself,
// SUBSTITUTE of US-ASCII, which stands for a character that cannot be shown. So one text
// has one spelling, and an ordinary text is stored as it is.
const escapeMark = '\x1a'

const hexDigits = "0123456789abcdef"

// escape makes s fit for a text.
func escape(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 && strings.IndexByte(s, escapeMark) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, width := utf8.DecodeRuneInString(s[i:])
		if r == 0 || r == escapeMark || r == utf8.RuneError && width == 1 {
			b.Write([]byte{escapeMark, hexDigits[s[i]>>4], hexDigits[s[i]&15]})
		} else {
			b.WriteString(s[i : i+width])
		}
		i += width
	}
	return b.String()
}

// unescape reads what escape wrote.
func unescape(s string) string {
	if strings.IndexByte(s, escapeMark) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == escapeMark && i+2 < len(s) {
			if high, low := doppelboden.Unhex(s[i+1]), doppelboden.Unhex(s[i+2]); high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

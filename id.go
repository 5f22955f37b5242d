package doppelboden

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// An ID names a message. It is a UUID of version 7 (RFC 9562, section 5.7): the first
// 48 bits are the time of acceptance in milliseconds, so ids sort by time.
type ID [16]byte

// String returns the id as 36 lower-case characters, RFC 9562, section 4.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// MarshalText returns the id as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote. Its error has the code Invalid.
func (id *ID) UnmarshalText(text []byte) error {
	got, err := ParseID(string(text))
	if err == nil {
		*id = got
	}
	return err
}

// Time returns the millisecond in which the id was made, in UTC.
func (id ID) Time() time.Time {
	ms := binary.BigEndian.Uint64(append([]byte{0, 0}, id[0:6]...))
	return time.UnixMilli(int64(ms)).UTC()
}

// IsZero reports whether id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads the 36 characters of String, in either case. Its error has the code
// Invalid.
func ParseID(s string) (ID, error) {
	var id ID
	bad := &Error{Code: Invalid, Public: "not a message id (expected 36 characters such as 019aaaaa-0000-7000-8000-000000000000)"}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, bad
	}
	compact := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(id[:], []byte(compact)); err != nil {
		return ID{}, bad
	}
	return id, nil
}

// FirstIDAt returns the smallest id that could have been made at t or later. It bounds
// a range of ids by time; it is not a valid id of a message.
func FirstIDAt(t time.Time) ID {
	var id ID
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	if ms < 0 {
		return id
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms)<<16)
	copy(id[0:6], b[0:6])
	return id
}

// IDs makes ids that are strictly increasing within one process, also when the clock
// stands still or goes back. The zero value is ready for use by several goroutines.
type IDs struct {
	mu   sync.Mutex
	last uint64 // 48 bits of milliseconds and, below them, 12 bits of counter
}

// New returns an id for the time now. RFC 9562, section 6.2, method 1: the twelve bits
// of rand_a count what falls into one millisecond; an overflow borrows from the next.
func (g *IDs) New(now time.Time) ID {
	var id ID
	rand.Read(id[8:]) // never fails: crypto/rand ends the program instead
	g.mu.Lock()
	tick := uint64(now.UnixMilli()) << 12
	if tick <= g.last {
		tick = g.last + 1
	}
	g.last = tick
	g.mu.Unlock()
	binary.BigEndian.PutUint64(id[0:8], tick>>12<<16|0x7000|tick&0x0fff)
	id[8] = id[8]&0x3f | 0x80
	return id
}

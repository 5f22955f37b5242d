package doppelboden

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"
)

// A Receipt is the public number that a sender gets with the 250 and can look up. It
// is not the message's id: it carries 80 random bits, so that nobody can guess one.
//
// The first 20 bits count the hours since 2020, which keeps a database index on
// receipts growing at its end instead of everywhere; the time is no secret from the
// person who sent the mail. Bits beyond 100 are zero.
type Receipt [13]byte

const receiptEpoch = 1577836800 // 2020-01-01T00:00:00Z in seconds

// crockford is the alphabet of Douglas Crockford's base 32: no I, L, O and U, so that
// a number can be read out on the telephone.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewReceipt returns a fresh receipt for the hour of now.
func NewReceipt(now time.Time) Receipt {
	var r Receipt
	rand.Read(r[2:]) // never fails: crypto/rand ends the program instead
	hours := uint32((now.Unix() - receiptEpoch) / 3600)
	r[0], r[1] = byte(hours>>12), byte(hours>>4)
	r[2] = byte(hours<<4) | r[2]&0x0f
	r[12] &= 0xf0
	return r
}

// IsZero reports whether r was never set.
func (r Receipt) IsZero() bool { return r == Receipt{} }

// String returns the receipt as people see it: five groups of four characters.
func (r Receipt) String() string {
	flat := base32.NewEncoding(crockford).WithPadding(base32.NoPadding).EncodeToString(r[:])[:20]
	return flat[0:4] + "-" + flat[4:8] + "-" + flat[8:12] + "-" + flat[12:16] + "-" + flat[16:20]
}

// MarshalText returns the receipt as String does.
func (r Receipt) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote. Its error has the code Invalid.
func (r *Receipt) UnmarshalText(text []byte) error {
	got, err := ParseReceipt(string(text))
	if err == nil {
		*r = got
	}
	return err
}

// ParseReceipt reads a receipt as people type it: in either case, with or without
// hyphens and spaces, with O for 0 and I or L for 1. Its error has the code Invalid.
func ParseReceipt(s string) (Receipt, error) {
	var r Receipt
	flat := strings.Map(func(c rune) rune {
		switch c {
		case ' ', '-', '\t':
			return -1
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return c
	}, strings.ToUpper(s))
	enc := base32.NewEncoding(crockford).WithPadding(base32.NoPadding)
	b, err := enc.DecodeString(flat + "0")
	if len(flat) != 20 || err != nil {
		return r, &Error{Code: Invalid, Public: "not a receipt number (expected 20 letters and digits)"}
	}
	copy(r[:], b)
	return r, nil
}

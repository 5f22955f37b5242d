package account

import (
	"crypto/rand"
	"strings"
)

// alphabet is Douglas Crockford's base 32: no I, L, O and U, so that a code can be read
// out on the telephone.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// codeSize is how many characters a code has: 17 that nobody can guess (85 bits), and one
// that finds slips of the hand. Six groups of three are read and typed without losing the
// place.
const (
	codeSize  = 18
	codeGroup = 3
)

// newCode makes a code as people see it.
func newCode() string {
	var raw [codeSize - 1]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	digits := make([]byte, codeSize)
	for i, b := range raw {
		digits[i] = b & 31
	}
	digits[codeSize-1] = checkDigit(digits[:codeSize-1])
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && i%codeGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[d])
	}
	return b.String()
}

// ParseCode reads a code as people type it: in either case, with or without hyphens and
// spaces, with O for 0 and I or L for 1. ok is false when it cannot be one, because of its
// length or its last character, which finds every wrong character and every two that
// changed places.
func ParseCode(s string) (code string, ok bool) {
	flat := plainCode(s)
	if len(flat) != codeSize {
		return "", false
	}
	digits := make([]byte, codeSize)
	for i := range flat {
		d := strings.IndexByte(alphabet, flat[i])
		if d < 0 {
			return "", false
		}
		digits[i] = byte(d)
	}
	return flat, checkDigit(digits[:codeSize-1]) == digits[codeSize-1]
}

// plainCode takes from a code what people write for themselves.
func plainCode(s string) string {
	if len(s) > 200 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '\t', '\r', '\n', '.', '–', '\u00a0':
			return -1
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return r
	}, strings.ToUpper(s))
}

// checkDigit returns the sum of the digits, each times another power of a generator of the
// field with 32 elements: a single wrong digit changes it, and so do two that changed places.
func checkDigit(digits []byte) byte {
	var sum byte
	for i := len(digits) - 1; i >= 0; i-- {
		sum = double(sum ^ digits[i])
	}
	return sum
}

// double multiplies by x modulo x^5+x^2+1.
func double(d byte) byte {
	d <<= 1
	if d&32 != 0 {
		d ^= 0b100101
	}
	return d
}

// newAppPassword makes a password for a program: 130 random bits in groups of four.
func newAppPassword() string {
	text := rand.Text() // RFC 4648's alphabet, 26 characters
	var b strings.Builder
	for i := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(text[i])
	}
	return strings.ToLower(b.String())
}

// plainAppPassword takes from an app password what people write for themselves. ok says
// that it may be one.
func plainAppPassword(s string) (plain string, ok bool) {
	if len(s) > 60 {
		return "", false
	}
	plain = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(s))
	if len(plain) != 26 {
		return "", false
	}
	for _, r := range plain {
		if !(r >= 'A' && r <= 'Z' || r >= '2' && r <= '7') {
			return "", false
		}
	}
	return plain, true
}

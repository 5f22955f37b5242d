package doppelboden

import "strings"

// Xtext encodes s as RFC 3461, section 4, has it: printable US-ASCII without space, "+"
// and "=", and every other octet as "+" with two hexadecimal digits.
func Xtext(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < '!' || c > '~' || c == '+' || c == '=' {
			b.Write([]byte{'+', hex[c>>4], hex[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// FromXtext decodes xtext. What is none comes back as it is.
func FromXtext(s string) string {
	if strings.IndexByte(s, '+') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return s
		}
		high, low := Unhex(s[i+1]), Unhex(s[i+2])
		if high < 0 || low < 0 {
			return s
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String()
}

// Unhex returns the value of a hexadecimal digit in either case, or -1.
func Unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f': // RFC 3461 wants capitals; some write others
		return int(c-'a') + 10
	}
	return -1
}

package smtpd

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// nextParam takes an esmtp-param from the front of s: RFC 5321, section 4.1.2. The
// keyword comes back in upper case; value is nil when there is no "=". When s is at its
// end, key is empty.
func nextParam(s []byte) (key string, value, rest []byte, ok bool) {
	if len(s) == 0 {
		return "", nil, nil, true
	}
	if s[0] != ' ' {
		return "", nil, nil, false
	}
	s = bytes.TrimLeft(s, " ")
	if len(s) == 0 {
		return "", nil, nil, true
	}
	word, rest := s, s[len(s):]
	if i := bytes.IndexByte(s, ' '); i >= 0 {
		word, rest = s[:i], s[i:]
	}
	name, value, has := bytes.Cut(word, []byte("="))
	if !isKeyword(name) || has && len(value) == 0 {
		return "", nil, nil, false
	}
	if !has {
		value = nil
	}
	return keyword(name), value, rest, true
}

// keyword returns the name of a parameter we know without making a new string for it,
// else in upper case.
func keyword(name []byte) string {
	for _, known := range [...]string{"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT"} {
		if len(name) == len(known) && strings.EqualFold(string(name), known) {
			return known
		}
	}
	return strings.ToUpper(string(name))
}

// isKeyword checks an esmtp-keyword.
func isKeyword(s []byte) bool {
	for i, c := range s {
		if !isAlnum(c) && (c != '-' || i == 0) {
			return false
		}
	}
	return len(s) > 0
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// parseSize reads the value of SIZE: RFC 1870, section 6.1, up to 20 digits. What does
// not fit is larger than everything.
func parseSize(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// isXtext checks RFC 3461, section 4; with utf8 also RFC 6533, section 3, which lets
// UTF-8 stand as it is.
func isXtext(s []byte, allowUTF8 bool) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			if !allowUTF8 {
				return false
			}
		case c == '+':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
			i += 2
		case c < '!' || c > '~' || c == '=':
			return false
		}
	}
	return len(s) > 0 && utf8.Valid(s)
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

// isNotify checks the value of NOTIFY: RFC 3461, section 4.1.
func isNotify(s []byte) bool {
	if bytes.EqualFold(s, []byte("NEVER")) {
		return true
	}
	seen := 0
	for _, word := range bytes.Split(s, []byte(",")) {
		bit := 0
		switch strings.ToUpper(string(word)) {
		case "SUCCESS":
			bit = 1
		case "FAILURE":
			bit = 2
		case "DELAY":
			bit = 4
		}
		if bit == 0 || seen&bit != 0 {
			return false
		}
		seen |= bit
	}
	return true
}

// isORcpt checks the value of ORCPT: RFC 3461, section 4.2, at most 500 octets.
func isORcpt(s []byte, allowUTF8 bool) bool {
	kind, address, ok := bytes.Cut(s, []byte(";"))
	return ok && len(s) <= 500 && isKeyword(kind) && isXtext(address, allowUTF8)
}

package doppelboden

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// An Address is a mailbox of RFC 5321, section 4.1.2, extended by RFC 6531: a local
// part as it was written, without quotes, and a domain in lower case with A-labels.
// The zero value is the null reverse-path.
type Address struct {
	Local  string // unquoted, at most 64 octets, without CR, LF and NUL
	Domain string // lower case, A-labels or an address literal in brackets
}

// IsNull reports whether a is the null reverse-path "<>".
func (a Address) IsNull() bool { return a == Address{} }

// String returns the address as SMTP writes it, with the local part quoted where it
// must be, or "" for the null reverse-path.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	if a.Domain == "" {
		return quoteLocal(a.Local)
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// Key returns what two spellings of one mailbox of ours have in common: the local part
// in lower case and Unicode NFC. Strangers' local parts may differ by case (RFC 5321,
// section 2.4); those of a city's own mailboxes do not.
func (a Address) Key() string {
	return strings.ToLower(norm.NFC.String(a.Local)) + "@" + a.Domain
}

// IsASCII reports whether the address can be sent without SMTPUTF8 (RFC 6531).
func (a Address) IsASCII() bool {
	for i := range len(a.Local) {
		if a.Local[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// ParseAddress reads local@domain as RFC 5321, section 4.1.2, has it, without angle
// brackets and source routes. A domain in U-labels is turned into A-labels. Every
// error has the code Invalid.
func ParseAddress(s string) (Address, error) {
	bad := func(why string) (Address, error) {
		return Address{}, &Error{Code: Invalid, Public: "not a mail address: " + why}
	}
	if len(s) > 254 { // RFC 5321, section 4.5.3.1.3, less the angle brackets
		return bad("longer than 254 octets")
	}
	if !utf8.ValidString(s) {
		return bad("not UTF-8")
	}
	local, rest, ok := cutLocal(s)
	if !ok {
		return bad("local part is malformed")
	}
	if len(local) > 64 { // RFC 5321, section 4.5.3.1.1
		return bad("local part longer than 64 octets")
	}
	domain, ok := parseDomain(rest)
	if !ok {
		return bad("domain is malformed")
	}
	return Address{Local: local, Domain: domain}, nil
}

// cutLocal takes the local part from the front of s and returns what follows the "@".
func cutLocal(s string) (local, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		return cutQuoted(s[1:])
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 {
		return "", "", false
	}
	local, rest = s[:at], s[at+1:]
	for _, atom := range strings.Split(local, ".") {
		if atom == "" {
			return "", "", false
		}
		for _, r := range atom {
			if !isAtext(r) {
				return "", "", false
			}
		}
	}
	return local, rest, true
}

// cutQuoted reads the rest of a quoted string whose first quote is gone.
func cutQuoted(s string) (local, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] >= ' ' && s[i+1] < 0x7f:
			i++
			b.WriteByte(s[i])
		case c == '"':
			rest, ok = strings.CutPrefix(s[i+1:], "@")
			return b.String(), rest, ok && b.Len() > 0
		case c < ' ' || c == 0x7f || c == '\\':
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// isAtext reports whether r may stand in an atom: RFC 5322, section 3.2.3, and, above
// US-ASCII, RFC 6532, section 3.2.
func isAtext(r rune) bool {
	if r >= utf8.RuneSelf {
		return r != utf8.RuneError && r > 0x9f // C1 controls are nobody's name
	}
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// parseDomain returns a domain, or an address literal. A dot at the end is left out.
func parseDomain(s string) (string, bool) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	return ParseDomain(strings.TrimSuffix(s, "."))
}

// ParseDomain returns a domain in lower case with A-labels (RFC 5890), of at most 253
// octets. Labels hold letters, digits, hyphens and underscores; there is no dot at the end.
func ParseDomain(s string) (string, bool) {
	// A letter takes four octets at most, and one of an A-label at least. To write more of them
	// as an A-label would take long: the square of how many there are.
	if len(s) > 4*253 {
		return "", false
	}
	ascii, err := idna.Lookup.ToASCII(s)
	if err != nil {
		// Underscores and such appear in real host names; take plain LDH plus "_".
		ascii = strings.ToLower(s)
	}
	if ascii == "" || len(ascii) > 253 {
		return "", false
	}
	for _, label := range strings.Split(ascii, ".") {
		if label == "" || len(label) > 63 {
			return "", false
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return "", false
			}
		}
	}
	return ascii, true
}

// parseLiteral checks an address literal, RFC 5321, section 4.1.3, by its characters.
func parseLiteral(s string) (string, bool) {
	if len(s) < 3 || !strings.HasSuffix(s, "]") {
		return "", false
	}
	for i := 1; i < len(s)-1; i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == ':' || c == '-') {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// quoteLocal returns local as it is when it is a dot-string, else as a quoted string.
func quoteLocal(local string) string {
	plain := local != ""
	for _, atom := range strings.Split(local, ".") {
		if atom == "" {
			plain = false
		}
		for _, r := range atom {
			plain = plain && isAtext(r)
		}
	}
	if plain {
		return local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
}

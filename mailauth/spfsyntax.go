package mailauth

import (
	"net/netip"
	"strconv"
	"strings"
)

// isSPF reports whether a TXT record is an SPF record: RFC 7208, section 4.5.
func isSPF(text string) bool {
	return len(text) >= 6 && strings.EqualFold(text[:6], "v=spf1") && (len(text) == 6 || text[6] == ' ')
}

// brokenSPF stands for a record with a syntax error: a mechanism that nobody knows.
const brokenSPF = "v=spf1 broken"

// validSPF checks the syntax of a whole SPF record: RFC 7208, section 12. Section 4.6
// wants a mistake anywhere to be found, also behind a mechanism that matches.
func validSPF(text string) bool {
	seen := map[string]bool{}
	for _, term := range strings.Split(text[6:], " ") {
		if term != "" && !validTerm(term, seen) {
			return false
		}
	}
	return true
}

// validTerm checks a directive or modifier. seen holds the modifiers so far.
func validTerm(term string, seen map[string]bool) bool {
	for i := range len(term) {
		if c := term[i]; c < 0x21 || c > 0x7e {
			return false
		}
	}
	if i := strings.IndexAny(term, "=:/"); i >= 0 && term[i] == '=' {
		return validModifier(strings.ToLower(term[:i]), term[i+1:], seen)
	}
	if strings.IndexByte("+-?~", term[0]) >= 0 {
		term = term[1:]
	}
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	name, rest := strings.ToLower(term[:end]), term[end:]
	spec, hasSpec := strings.CutPrefix(rest, ":")
	switch name {
	case "all":
		return rest == ""
	case "include", "exists":
		return hasSpec && validDomainSpec(spec)
	case "ptr":
		return rest == "" || hasSpec && validDomainSpec(spec)
	case "a", "mx":
		bare, ok := cutCIDR(rest)
		spec, hasSpec = strings.CutPrefix(bare, ":")
		return ok && (bare == "" || hasSpec && validDomainSpec(spec))
	case "ip4", "ip6":
		return hasSpec && validNetwork(name == "ip4", spec)
	}
	return false
}

// validModifier checks name=value. "redirect" and "exp" may stand once.
func validModifier(name, value string, seen map[string]bool) bool {
	if name == "redirect" || name == "exp" {
		twice := seen[name]
		seen[name] = true
		return !twice && validDomainSpec(value)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')) {
			return false
		}
	}
	_, ok := cutMacros(value)
	return name != "" && ok
}

// validNetwork checks an address with or without the length of its prefix.
func validNetwork(is4 bool, s string) bool {
	addr, length, has := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" || a.Is4() != is4 {
		return false
	}
	return !has || validLength(length, a.BitLen())
}

// validLength checks the length of a prefix: digits without a leading zero.
func validLength(s string, most int) bool {
	n, err := strconv.ParseUint(s, 10, 8)
	return err == nil && int(n) <= most && (s[0] != '0' || len(s) == 1)
}

// cutCIDR cuts dual-cidr-length from the end of s: [ "/" n ] [ "//" n ].
func cutCIDR(s string) (rest string, ok bool) {
	if i := strings.LastIndex(s, "//"); i >= 0 && isDigits(s[i+2:]) {
		if !validLength(s[i+2:], 128) {
			return "", false
		}
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 && isDigits(s[i+1:]) {
		return s[:i], validLength(s[i+1:], 32)
	}
	return s, true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// validDomainSpec checks a domain-spec: macros and text that end in a macro, or in a
// label that a top-level domain can have.
func validDomainSpec(s string) bool {
	text, ok := cutMacros(s)
	if !ok || s == "" {
		return false
	}
	if text == "" { // it ends in a macro
		return true
	}
	text = strings.TrimSuffix(text, ".")
	dot := strings.LastIndexByte(text, '.')
	return dot >= 0 && isTopLabel(text[dot+1:])
}

// cutMacros checks a macro-string: RFC 7208, section 7.1. It returns the text behind the
// last macro.
func cutMacros(s string) (text string, ok bool) {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return s, true
		}
		s = s[i+1:]
		switch {
		case s == "":
			return "", false
		case s[0] == '%' || s[0] == '_' || s[0] == '-':
			s = s[1:]
		case s[0] == '{':
			end := strings.IndexByte(s, '}')
			if end < 0 || !validMacro(s[1:end]) {
				return "", false
			}
			s = s[end+1:]
		default:
			return "", false
		}
	}
}

// validMacro checks what stands between the braces: a letter, transformers, delimiters.
func validMacro(s string) bool {
	if s == "" || strings.IndexByte("slodiphvSLODIPHV", s[0]) < 0 { // c, r and t belong to explanations
		return false
	}
	rest := strings.TrimLeft(s[1:], "0123456789")
	if digits := s[1 : len(s)-len(rest)]; digits != "" && strings.Trim(digits, "0") == "" {
		return false
	}
	if rest != "" && (rest[0] == 'r' || rest[0] == 'R') {
		rest = rest[1:]
	}
	return strings.Trim(rest, ".-+,/_=") == ""
}

// isTopLabel checks toplabel: letters and digits, not digits alone, hyphens inside.
func isTopLabel(s string) bool {
	other := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			other = true
		case c == '-' && i > 0 && i < len(s)-1:
			other = true
		default:
			return false
		}
	}
	return other
}

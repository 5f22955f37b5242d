package dsn

import (
	"bytes"
	"mime/quotedprintable"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"

	"doppelboden"
)

const (
	// maxWords bounds what is quoted of a next server, in characters: RFC 5321, section
	// 4.5.3.1.5, has 512 octets for a reply line, and the first one says it.
	maxWords = 500
	// foldAt is where a field of the machine-readable part is folded, in octets: RFC
	// 5322, section 2.1.1.
	foldAt = 78
)

// plain reduces hostile text to one line of visible characters, at most n of them. What
// could end a line, hide, or change the direction of writing becomes a space.
func plain(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// ascii is plain for what must be US-ASCII.
func ascii(s string, n int) string {
	s = strings.TrimSuffix(plain(s, n), "…")
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

// hostname keeps the characters of host names and address literals.
func hostname(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (isAlnum(byte(r)) || strings.ContainsRune("-._:[]", r)) {
			return r
		}
		return -1
	}, s[:min(len(s), 255)])
}

// host returns the host of host:port, or all of s.
func host(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	}
	return hostname(s)
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf || !isAlnum(byte(r)) && r != '-' })
}

// decodeUTF8Type decodes the \x{…} of the address type utf-8: RFC 6533, section 3. What
// is malformed comes back as it is.
func decodeUTF8Type(s string) string {
	var b strings.Builder
	for s != "" {
		before, rest, found := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !found {
			break
		}
		digits, after, closed := strings.Cut(rest, "}")
		r := rune(0)
		for i := range len(digits) {
			d := doppelboden.Unhex(digits[i])
			if d < 0 || len(digits) > 6 {
				closed = false
				break
			}
			r = r<<4 | rune(d)
		}
		if !closed || digits == "" || !utf8.ValidRune(r) {
			b.WriteString(`\x{`)
			s = rest
			continue
		}
		b.WriteRune(r)
		s = after
	}
	return b.String()
}

// fold breaks a field at spaces so that its lines are short where that is possible, and
// never longer than 998 octets (RFC 5322, section 2.1.1). It ends in CRLF.
func fold(field string) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Split(field, " ") {
		for len(word) > 900 {
			cut := 900
			for cut > 0 && !utf8.RuneStart(word[cut]) {
				cut--
			}
			b.WriteString("\r\n " + word[:cut])
			word, length = word[cut:], foldAt
		}
		switch {
		case i == 0:
		case length+1+len(word) > foldAt && length > 0:
			b.WriteString("\r\n ")
			length = 1
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	b.WriteString("\r\n")
	return b.String()
}

// quoted encodes lines that end in CRLF: RFC 2045, section 6.7.
func quoted(text []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write(text) // a bytes.Buffer takes everything
	w.Close()
	return b.Bytes()
}

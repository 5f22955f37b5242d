package letter

import (
	"encoding/base64"
	"strings"
)

// decodeWords decodes the encoded words of a header value: RFC 2047. What is no whole
// encoded word stays as it is. Characters that were cut between two words come together
// again, which section 5 forbids and mailers do.
func decodeWords(s string) string {
	last := len(s) - strings.LastIndex(s, "?=") // where the last word can end, from the end of s
	if last > len(s) || !strings.Contains(s, "=?") {
		return s
	}
	var out strings.Builder
	var pending []byte // bytes of words in one charset
	charset := ""
	flush := func() {
		if len(pending) > 0 {
			text, _ := decodeCharset(pending, charset)
			out.WriteString(text)
			pending = nil
		}
	}
	after := false // an encoded word came right before
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 || len(s)-i < last { // what never ends is not looked through for each word that begins
			break
		}
		w, ok := cutWord(s[i:])
		if !ok {
			flush()
			out.WriteString(s[:i+2])
			s, after = s[i+2:], false
			continue
		}
		// RFC 2047, section 6.2: white space between two words is not shown.
		if gap := s[:i]; !after || strings.Trim(gap, " \t") != "" {
			flush()
			out.WriteString(gap)
		}
		if !strings.EqualFold(w.charset, charset) {
			flush()
		}
		charset, pending, after = w.charset, append(pending, w.text...), true
		s = w.rest
	}
	flush()
	out.WriteString(s)
	return out.String()
}

// A word is one encoded word.
type word struct {
	charset string
	text    []byte
	rest    string // what follows it
}

// cutWord takes an encoded word from the front of s, which begins with "=?".
func cutWord(s string) (word, bool) {
	charset, rest, ok := strings.Cut(s[2:], "?")
	if !ok || charset == "" || len(charset) > 60 || strings.ContainsAny(charset, " \t=") || len(rest) < 3 || rest[1] != '?' {
		return word{}, false
	}
	decode := unq
	switch rest[0] {
	case 'q', 'Q':
	case 'b', 'B':
		decode = unbase64
	default:
		return word{}, false
	}
	text, rest, ok := strings.Cut(rest[2:], "?=")
	if !ok {
		return word{}, false
	}
	return word{charset, decode(text), rest}, true
}

// unq decodes the "Q" encoding: RFC 2047, section 4.2.
func unq(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// unbase64 decodes as much as can be decoded.
func unbase64(s string) []byte {
	kept := make([]byte, 0, len(s))
	for i := range len(s) {
		if isBase64(s[i]) {
			kept = append(kept, s[i])
		}
	}
	if len(kept)%4 == 1 { // a single letter says nothing
		kept = kept[:len(kept)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(kept)))
	n, _ := base64.RawStdEncoding.Decode(out, kept) // it holds letters of base64 alone
	return out[:n]
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

package letter

import (
	"slices"
	"strconv"
	"strings"
)

// understand reads what the header of a part says about the part.
func (n *node) understand() {
	n.kind, n.params = splitParams(n.raw("content-type"))
	if major, minor, ok := strings.Cut(n.kind, "/"); !ok || major == "" || minor == "" || strings.ContainsAny(n.kind, " \t\"<>") {
		n.kind = "text/plain" // RFC 2045, section 5.2
		if up := n.up; up != nil && up.kind == "multipart/digest" {
			n.kind = "message/rfc822" // RFC 2046, section 5.1.5
		}
	}
	if n.kind == "image/jpg" || n.kind == "image/pjpeg" {
		n.kind = "image/jpeg"
	}
	place, params := splitParams(n.raw("content-disposition"))
	switch {
	case place == "inline":
		n.place = place
	case place != "": // RFC 2183, section 2.8: what we do not know is an attachment
		n.place = "attachment"
	}
	name := params["filename"]
	if name == "" {
		name = n.params["name"]
	}
	n.name = FileName(name)
	n.cid = oneLine(strings.Trim(n.raw("content-id"), " <>"))
	encoding, _, _ := strings.Cut(n.raw("content-transfer-encoding"), ";")
	n.encoding = strings.ToLower(strings.TrimSpace(encoding))
	if strings.HasPrefix(n.kind, "multipart/") {
		if n.boundary = strings.TrimRight(n.params["boundary"], " \t"); n.boundary == "" {
			n.kind = "text/plain" // nobody can tell what is in it
		}
	}
}

// splitParams reads a field value with parameters: RFC 2045, section 5.1, with those of RFC
// 2231, and what mailers make of both. Of several parameters with one name the first
// counts. Names and the value before them are in lower case.
func splitParams(s string) (value string, params map[string]string) {
	value, s, _ = strings.Cut(s, ";")
	value = strings.ToLower(strings.TrimSpace(value))
	var pieces []piece
	for s != "" && len(pieces) < 100 {
		var name, text string
		var ok bool
		if i := strings.IndexAny(s, "=;"); i >= 0 && s[i] == '=' {
			name, s, ok = strings.ToLower(strings.TrimSpace(s[:i])), s[i+1:], true
		}
		text, s = cutValue(s)
		if ok && name != "" {
			pieces = append(pieces, newPiece(name, text))
		}
	}
	return value, joinPieces(pieces)
}

// cutValue takes the value of a parameter from the front of s, and what follows its ";".
func cutValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '"':
			_, rest, _ = strings.Cut(s[i+1:], ";")
			return b.String(), rest
		default: // a backslash before anything else is that of a Windows path
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// A piece is one parameter as it is written, perhaps a part of a longer one: RFC 2231.
type piece struct {
	name    string
	n       int // position; -1: the whole, in the plain way
	encoded bool
	text    string
}

// newPiece reads "name", "name*", "name*0" or "name*0*".
func newPiece(name, text string) piece {
	p := piece{name: name, n: -1, text: text}
	base, rest, ok := strings.Cut(name, "*")
	if !ok {
		return p
	}
	number, encoded := strings.CutSuffix(rest, "*")
	if rest == "" {
		return piece{base, 0, true, text}
	}
	if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < 100 {
		return piece{base, n, encoded, text}
	}
	return p
}

// joinPieces puts parameters together.
func joinPieces(pieces []piece) map[string]string {
	params := make(map[string]string, len(pieces))
	for i := range pieces {
		name := pieces[i].name
		if _, done := params[name]; done {
			continue
		}
		var parts []piece
		for _, p := range pieces[i:] {
			if p.name == name && p.n >= 0 {
				parts = append(parts, p)
			}
		}
		if len(parts) == 0 {
			params[name] = decodeWords(pieces[i].text)
			continue
		}
		// RFC 2231, section 4.1: the longer way wins over the plain one.
		slices.SortStableFunc(parts, func(a, b piece) int { return a.n - b.n })
		params[name] = joinParts(parts)
	}
	return params
}

// joinParts decodes the parts of one parameter.
func joinParts(parts []piece) string {
	charset, encoded := "", false
	var raw []byte
	for i, p := range parts {
		if !p.encoded {
			raw = append(raw, p.text...)
			continue
		}
		text := p.text
		if i == 0 {
			if f := strings.SplitN(text, "'", 3); len(f) == 3 { // RFC 2231, section 4
				charset, text = f[0], f[2]
			}
		}
		encoded = true
		raw = append(raw, unpercent(text)...)
	}
	if !encoded {
		return decodeWords(string(raw))
	}
	text, _ := decodeCharset(raw, charset)
	return text
}

// unpercent decodes %XX; what is no such thing stays.
func unpercent(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(v))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return out
}

package imapd

import (
	"bytes"
	"strings"

	"doppelboden"
)

// Limits of what is looked at in a mail. Real mail has some twenty parts, ten deep; what is
// beyond is the content of the part around it.
const (
	mostDepth  = 32
	mostParts  = 2000
	mostParams = 100
	mostHeader = 256 << 10 // of one part, in bytes
)

// A part is a part of a mail: RFC 2045, section 2.4. It refers to the bytes of the mail.
type part struct {
	header   []byte // with the empty line at its end
	body     []byte
	kind     string // media type in lower case
	subtype  string
	params   map[string]string
	children []*part // of a multipart
	message  *part   // of a message/rfc822
}

// A scan takes one mail apart.
type scan struct{ left int }

// parse takes a mail apart.
func parse(mail []byte) *part {
	s := &scan{left: mostParts}
	return s.part(mail, 0, "text", "plain")
}

// part reads a part that has, without a Content-Type, the given one.
func (s *scan) part(b []byte, depth int, kind, subtype string) *part {
	s.left--
	p := &part{}
	p.header, p.body = cutHeader(b)
	p.kind, p.subtype = kind, subtype
	if value := fieldOf(p.header, "content-type"); value != "" {
		whole, params := parameters(value)
		p.params = params
		p.kind, p.subtype, _ = strings.Cut(strings.ToLower(whole), "/")
		if !isToken(p.kind) || !isToken(p.subtype) { // RFC 2045, section 5.2
			p.kind, p.subtype, p.params = "text", "plain", nil
		}
	}
	if depth >= mostDepth {
		return p.leaf()
	}
	switch {
	case p.kind == "multipart":
		s.multipart(p, depth)
	case p.kind == "message" && (p.subtype == "rfc822" || p.subtype == "global") && s.left > 0 && plainEncoding(p.header):
		p.message = s.part(p.body, depth+1, "text", "plain")
	}
	return p
}

// leaf is a part that nobody looks into.
func (p *part) leaf() *part {
	if p.kind == "multipart" || p.kind == "message" {
		p.kind, p.subtype, p.params = "application", "octet-stream", nil
	}
	return p
}

// plainEncoding reports whether a part is as it is: RFC 2046, section 5.2.1, allows no other
// for messages.
func plainEncoding(header []byte) bool {
	switch strings.ToLower(strings.TrimSpace(fieldOf(header, "content-transfer-encoding"))) {
	case "", "7bit", "8bit", "binary":
		return true
	}
	return false
}

// multipart reads the parts of a multipart: RFC 2046, section 5.1.
func (s *scan) multipart(p *part, depth int) {
	boundary := p.params["boundary"]
	kind, subtype := "text", "plain"
	if p.subtype == "digest" {
		kind, subtype = "message", "rfc822"
	}
	if boundary != "" && len(boundary) <= 1000 {
		for _, b := range split(p.body, boundary, s.left) {
			if s.left <= 0 {
				break
			}
			p.children = append(p.children, s.part(b, depth+1, kind, subtype))
		}
	}
	if len(p.children) == 0 { // it has none: it is a text
		p.kind, p.subtype, p.params = "text", "plain", nil
	}
}

// split cuts a body at the lines of a boundary, into at most n parts.
func split(body []byte, boundary string, n int) (parts [][]byte) {
	mark := []byte("--" + boundary)
	start := -1
	for at := 0; at < len(body) && len(parts) < n; {
		end := bytes.IndexByte(body[at:], '\n')
		next := at + end + 1
		if end < 0 {
			next = len(body)
		}
		line := body[at:next]
		if bytes.HasPrefix(line, mark) {
			rest := bytes.TrimRight(line[len(mark):], " \t\r\n")
			if len(rest) == 0 || bytes.HasPrefix(rest, []byte("--")) {
				if start >= 0 {
					parts = append(parts, lessLineEnd(body[start:at]))
				}
				if len(rest) > 0 {
					return parts
				}
				start = next
			}
		}
		at = next
	}
	if start >= 0 && len(parts) < n && start < len(body) {
		parts = append(parts, body[start:])
	}
	return parts
}

// lessLineEnd leaves out the line end before a boundary, which belongs to it.
func lessLineEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// cutHeader cuts a part into its header section, with the empty line, and its body.
func cutHeader(b []byte) (header, body []byte) {
	if end := headerEnd(b); end >= 0 {
		return b[:end], b[end:]
	}
	return b, nil
}

// headerEnd returns where the header section of b ends, or -1 while it goes on.
func headerEnd(b []byte) int {
	for at := 0; at < len(b); {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			return -1
		}
		if end == 0 || end == 1 && b[at] == '\r' {
			return at + end + 1
		}
		at += end + 1
	}
	return -1
}

// eachField yields the fields of a header section as they stand there, folded lines
// included, until yield says no: RFC 5322, section 2.2.
func eachField(header []byte, yield func(name, field []byte) bool) {
	if len(header) > mostHeader {
		header = header[:mostHeader]
	}
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		colon := bytes.IndexByte(field, ':')
		if colon <= 0 {
			continue
		}
		if !yield(bytes.TrimRight(field[:colon], " \t"), field) {
			return
		}
	}
}

// fieldOf returns the first field of a name in one line, or "".
func fieldOf(header []byte, name string) (value string) {
	eachField(header, func(n, field []byte) bool {
		if len(n) != len(name) || !strings.EqualFold(string(n), name) {
			return true
		}
		value = unfold(field[bytes.IndexByte(field, ':')+1:])
		return false
	})
	return value
}

// unfold makes one line of a field's value: RFC 5322, section 2.2.3. What no line may hold
// is left out.
func unfold(b []byte) string {
	value := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, valid(string(b)))
	return strings.TrimSpace(value)
}

// valid returns a text as UTF-8: what is none is read as the Latin-1 that old programs write.
func valid(s string) string {
	if strings.ToValidUTF8(s, "") == s {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// isToken reports whether s is a token: RFC 2045, section 5.1.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	})
}

// parameters reads "value; name=value …": RFC 2045, section 5.1. Values stay encoded as
// RFC 2231 has them: programs decode them. Comments are left out.
func parameters(text string) (value string, params map[string]string) {
	value, rest := cutSemicolon(text)
	value = strings.TrimSpace(stripComments(value))
	for rest != "" && len(params) < mostParams {
		var one string
		one, rest = cutSemicolon(rest)
		name, v, ok := strings.Cut(one, "=")
		name = strings.ToLower(strings.TrimSpace(stripComments(name)))
		if !ok || !isToken(name) {
			continue
		}
		v = strings.TrimSpace(v)
		if strings.HasPrefix(v, `"`) {
			v = unquote(v)
		} else {
			v = strings.TrimSpace(stripComments(v))
		}
		if params == nil {
			params = map[string]string{}
		}
		if _, twice := params[name]; !twice {
			params[name] = v
		}
	}
	return value, params
}

// cutSemicolon cuts at the first semicolon that stands in no quotes.
func cutSemicolon(s string) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote reads a quoted string at the front of s.
func unquote(s string) string {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// stripComments leaves out comments: RFC 5322, section 3.2.2.
func stripComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				b.WriteByte(c)
				b.WriteByte(s[i+1])
			}
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// at returns the part that a path names: RFC 9051, section 6.4.5.1; nil for none.
func (p *part) at(path []int) *part {
	for i, n := range path {
		if i > 0 {
			switch {
			case p.message != nil:
				p = p.message
			case len(p.children) == 0:
				return nil // nothing is below a leaf
			}
		}
		switch {
		case len(p.children) > 0 && n >= 1 && n <= len(p.children):
			p = p.children[n-1]
		case len(p.children) == 0 && n == 1:
			// A mail that is no multipart has itself as its only part.
		default:
			return nil
		}
	}
	return p
}

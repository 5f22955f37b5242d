package mailauth

import (
	"strings"
)

// FieldName is the name of the header field that Format writes.
const FieldName = "Authentication-Results"

// mostValue bounds a property's value: the longest domain. A sender chose it.
const mostValue = 255

// Format writes results as header lines that end in CRLF: RFC 8601, section 2.2. Each
// result has a line of its own. What is not US-ASCII, or a control character, becomes
// "?"; what is not a plain word is quoted.
func Format(authservID string, results []Result) []byte {
	b := make([]byte, 0, 512)
	b = append(b, FieldName...)
	b = append(b, ": "...)
	b = appendValue(b, authservID)
	if len(results) == 0 {
		return append(b, "; none\r\n"...)
	}
	for _, r := range results {
		b = append(b, ";\r\n\t"...)
		b = append(b, r.Method...)
		b = append(b, '=')
		b = append(b, r.Value...)
		if r.Reason != "" {
			b = append(b, " reason="...)
			b = appendQuoted(b, r.Reason)
		}
		for _, p := range r.Props {
			if p.Value == "" {
				continue
			}
			b = append(b, ' ')
			b = append(b, p.Type...)
			b = append(b, '.')
			b = append(b, p.Name...)
			b = append(b, '=')
			b = appendValue(b, p.Value)
		}
	}
	return append(b, "\r\n"...)
}

// appendValue writes a pvalue: as it is when it is a word, a domain or a plain address,
// else as a quoted string.
func appendValue(b []byte, s string) []byte {
	if s == "" || len(s) > mostValue {
		return appendQuoted(b, s)
	}
	for i := range len(s) {
		if !plain(s[i]) {
			return appendQuoted(b, s)
		}
	}
	return append(b, s...)
}

// plain reports whether c may stand outside of quotes: what RFC 2045, section 5.1, lets
// into a token, and "@", "/" and ":", which RFC 8601 has in pvalues (section 2.2:
// addresses) or which occur in practice (base64, IPv6 addresses).
func plain(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("-_.+@/!#$%&'*^`{|}~:", c) >= 0
}

// appendQuoted writes a quoted string: RFC 5322, section 3.2.4.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s[:min(len(s), mostValue)] {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r >= 0x7f:
			b = append(b, '?')
		default:
			b = append(b, byte(r))
		}
	}
	return append(b, '"')
}

// Bounds of what Parse reads. What exceeds them was not written to be read.
const (
	mostFieldOctets = 32 << 10
	mostResults     = 100
	mostProps       = 20
)

// Parse reads the value of an Authentication-Results field, or the whole field with its
// name: RFC 8601, section 2.2. ok is false for what does not keep to the form; who
// believes results must not guess.
func Parse(field []byte) (authservID string, results []Result, ok bool) {
	if len(field) > mostFieldOctets {
		return "", nil, false
	}
	s := string(field)
	if len(s) > len(FieldName) && strings.EqualFold(s[:len(FieldName)], FieldName) {
		s = strings.TrimLeft(s[len(FieldName):], " \t")
		if s, ok = strings.CutPrefix(s, ":"); !ok {
			return "", nil, false
		}
	}
	p := &parser{rest: s}
	if authservID, ok = p.value(";"); !ok || authservID == "" {
		return "", nil, false
	}
	if c, more := p.peek(); more && c >= '0' && c <= '9' {
		// RFC 8601, section 2.5: version 1 is the only one.
		if v := p.word(";"); v != "1" {
			return "", nil, false
		}
	}
	for !p.end() {
		if !p.take(';') {
			return "", nil, false
		}
		if p.end() {
			break // a last semicolon is no error in practice
		}
		r, empty, ok := p.result()
		if !ok || len(results) == mostResults {
			return "", nil, false
		}
		if !empty {
			results = append(results, r)
		}
	}
	return authservID, results, !p.open
}

// A parser reads tokens with comments and white space between them.
type parser struct {
	rest string
	open bool // a comment never ended
}

// skip passes white space and comments: RFC 5322, section 3.2.2.
func (p *parser) skip() {
	depth := 0
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth > 0, c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			p.rest = p.rest[i:]
			return
		}
	}
	p.rest, p.open = "", p.open || depth > 0
}

// end reports whether nothing is left.
func (p *parser) end() bool { p.skip(); return p.rest == "" }

// peek returns the next octet without taking it.
func (p *parser) peek() (byte, bool) {
	if p.end() {
		return 0, false
	}
	return p.rest[0], true
}

// take passes one octet if it is c.
func (p *parser) take(c byte) bool {
	if got, ok := p.peek(); !ok || got != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// word takes what stands before white space, a comment, a quote or an octet of stop.
func (p *parser) word(stop string) string {
	p.skip()
	end := strings.IndexAny(p.rest, " \t\r\n(\""+stop)
	if end < 0 {
		end = len(p.rest)
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

// value takes a word or a quoted string.
func (p *parser) value(stop string) (string, bool) {
	if c, ok := p.peek(); !ok || c != '"' {
		w := p.word(stop)
		return w, w != ""
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case '\\':
			if i++; i < len(p.rest) {
				b.WriteByte(p.rest[i])
			}
		case '\r', '\n': // folding
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// result takes one resinfo; empty says that it was "none".
func (p *parser) result() (r Result, empty, ok bool) {
	method := strings.ToLower(p.word("=;/"))
	if method == "" {
		return r, false, false
	}
	if p.take('/') && p.word("=;") == "" { // the method's version
		return r, false, false
	}
	if !p.take('=') {
		c, more := p.peek()
		return r, true, method == "none" && (!more || c == ';')
	}
	value := strings.ToLower(p.word(";="))
	if value == "" {
		return r, false, false
	}
	r = Result{Method: method, Value: Value(value)}
	for {
		c, more := p.peek()
		if !more || c == ';' {
			return r, false, true
		}
		if len(r.Props) == mostProps || !p.property(&r) {
			return r, false, false
		}
	}
}

// property takes one propspec or reason.
func (p *parser) property(r *Result) bool {
	name := strings.ToLower(p.word("=;."))
	if name == "" {
		return false
	}
	ptype := ""
	if p.take('.') {
		ptype, name = name, strings.ToLower(p.word("=;"))
	}
	if name == "" || !p.take('=') {
		return false
	}
	v, ok := p.value(";")
	if !ok {
		return false
	}
	if ptype == "" {
		if name == "reason" {
			r.Reason = v
		}
		return true // "action" and others of old versions
	}
	r.Props = append(r.Props, Property{Type: ptype, Name: name, Value: v})
	return true
}

// Found returns the results of all fields in header that carry our name. header is what
// we put above a mail ourselves; in what came with a mail anybody could have written it.
func Found(header []byte, authservID string) []Result {
	var all []Result
	for _, f := range fields(header) {
		if !f.named(strings.ToLower(FieldName)) {
			continue
		}
		if id, results, ok := Parse(f); ok && strings.EqualFold(id, authservID) {
			all = append(all, results...)
		}
	}
	return all
}

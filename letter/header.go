package letter

import (
	"bytes"
	"strings"
)

// A field is one header field, unfolded and not decoded.
type field struct {
	name  string // in lower case
	value string
}

// raw returns the value of the first field of a name (in lower case), or "".
func (n *node) raw(name string) string {
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return ""
}

// all returns the values of all fields of a name, in their order.
func (n *node) all(name string) (values []string) {
	for i := range n.fields {
		if n.fields[i].name == name {
			values = append(values, n.fields[i].value)
		}
	}
	return values
}

// maxJunk is how many lines before a mail's header are passed over that do not belong there.
const maxJunk = 3

// header reads the fields that begin at s.pos, and leaves s.pos behind the empty line that
// ends them, or at the first line that cannot belong to a header.
func (s *scanner) header(n *node) {
	begin, full, junk := s.pos, false, 0
	name, value := "", []byte(nil)
	defer func() { n.add(name, value) }()
	for first := true; s.pos < len(s.data); first = false {
		line, next := s.line()
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case len(text) == 0:
			s.pos = next
			return
		case text[0] == ' ' || text[0] == '\t':
			// RFC 5322, section 2.2.3. What is folded behind nothing is nobody's.
			if name != "" && !full {
				value = append(append(value, ' '), bytes.TrimLeft(text, " \t")...)
			}
		case s.boundary(line) != 0:
			return // the part ends within its header
		case first && (bytes.HasPrefix(text, []byte("From ")) || bytes.HasPrefix(text, []byte(">From "))):
			// What a mailbox of mbox's kind puts before a mail.
		default:
			key, rest, ok := bytes.Cut(text, []byte(":"))
			key = bytes.TrimRight(key, " \t")
			if !ok || !isFieldName(key) {
				if n.up == nil && name == "" && junk < maxJunk {
					junk++ // before the header of a mail
					break
				}
				return // somebody forgot the empty line
			}
			if !full {
				n.add(name, value)
				name, value = strings.ToLower(string(key)), bytes.Clone(bytes.Trim(rest, " \t"))
			}
		}
		s.pos = next
		if !full && (len(n.fields) >= s.limits.Fields || s.pos-begin > s.limits.Header) {
			full = true
			s.leave(LeftHeader)
		}
	}
}

// isFieldName reports whether b can name a header field: RFC 5322, section 3.6.8.
func isFieldName(b []byte) bool {
	if len(b) == 0 || len(b) > 200 {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// add adds a field that was read to its end. RFC 6532 has it be UTF-8; what is not was
// written by a program that knows no other world than Windows-1252.
func (n *node) add(name string, value []byte) {
	if name != "" {
		n.fields = append(n.fields, field{name, fromUnknown(value)})
	}
}

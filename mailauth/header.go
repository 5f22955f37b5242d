package mailauth

import (
	"bytes"
	"strings"

	"doppelboden"
)

// A field is one header field as it came, with its folded lines and its last CRLF.
type field []byte

// name returns the field's name in lower case, or "" for a line that is no field.
// White space before the colon is obsolete (RFC 5322, section 4.5) and still understood.
func (f field) name() string {
	i := bytes.IndexByte(f, ':')
	if i < 0 {
		return ""
	}
	return string(bytes.ToLower(bytes.TrimRight(f[:i], " \t")))
}

// named reports whether the field has a name, given in lower case.
func (f field) named(name string) bool {
	if len(f) <= len(name) || !strings.EqualFold(string(f[:len(name)]), name) {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(f[len(name):], " \t"), []byte(":"))
}

// value returns what follows the colon.
func (f field) value() string {
	_, v, _ := bytes.Cut(f, []byte(":"))
	return string(v)
}

// fields cuts a header section into its fields.
func fields(header []byte) []field {
	all := make([]field, 0, 32)
	for len(header) > 0 {
		var one []byte
		one, header = doppelboden.NextField(header)
		all = append(all, field(one))
	}
	return all
}

// mostAuthors bounds the domains of all From fields together. RFC 5322 allows many;
// nobody writes like that.
const mostAuthors = 4

// authors returns the domains of all addresses in all From fields, each once, in the
// order in which they stand. ok is false when there are none, too many, or one that
// cannot be read: RFC 9989 leaves such mail to the receiver.
func authors(all []field) (domains []string, ok bool) {
	bad := false
	for _, f := range all {
		if !f.named("from") {
			continue
		}
		for _, spec := range addresses(f.value()) {
			a, err := doppelboden.ParseAddress(spec)
			switch {
			case err != nil || strings.HasPrefix(a.Domain, "["):
				bad = true // the others are judged all the same
			case contains(domains, a.Domain):
			case len(domains) == mostAuthors:
				return domains, false
			default:
				domains = append(domains, a.Domain)
			}
		}
	}
	return domains, !bad && len(domains) > 0
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// addresses returns the addr-specs of an address list: RFC 5322, section 3.4. It is
// lenient with names, which people's programs write in every way, and strict with what
// an address is: what stands in the angle brackets, else all that is no comment.
func addresses(value string) []string {
	var found []string
	var bare strings.Builder // of the current entry, outside of comments
	angle, inAngle := "", false
	flush := func() {
		switch spec := strings.TrimSpace(bare.String()); {
		case angle != "":
			found = append(found, angle)
		case spec != "":
			found = append(found, strings.Join(strings.Fields(spec), ""))
		}
		bare.Reset()
		angle, inAngle = "", false
	}
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case c == '(' && !inAngle:
			i += comment(value[i:])
			continue
		case c == '"':
			n := quotedString(value[i:])
			bare.WriteString(value[i : i+n])
			i += n
			continue
		case c == '<':
			inAngle = true
			bare.Reset()
		case c == '>' && inAngle:
			// The last one counts in no program that we know of; a second is kept apart.
			if angle != "" {
				found = append(found, angle)
			}
			angle, inAngle = strings.Join(strings.Fields(bare.String()), ""), false
			bare.Reset()
		case c == ':' && !inAngle && angle == "": // the name of a group
			bare.Reset()
		case (c == ',' || c == ';') && !inAngle:
			flush()
		default:
			bare.WriteByte(c)
		}
		i++
	}
	flush()
	return found
}

// comment returns the length of the comment that s begins with.
func comment(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case '\\':
			i++
		}
	}
	return len(s)
}

// quotedString returns the length of the quoted string that s begins with.
func quotedString(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(s)
}

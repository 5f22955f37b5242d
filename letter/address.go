package letter

import "strings"

// maxPeople is how many people of one header field are looked at.
const maxPeople = 1000

// People returns whom a header field (such as "reply-to") names.
func (l *Letter) People(name string) (people []Person) {
	for _, value := range l.root.all(strings.ToLower(name)) {
		people = append(people, parsePeople(value)...)
		if len(people) >= maxPeople {
			return people[:maxPeople]
		}
	}
	return people
}

// parsePeople reads a list of addresses: RFC 5322, section 3.4, and what mailers make of
// it. What is no address becomes a name without one, so that nothing is hidden.
func parsePeople(s string) (people []Person) {
	p := addressReader{rest: s}
	for len(people) < maxPeople && p.next() {
		if one := p.person(); one != (Person{}) {
			people = append(people, one)
		}
	}
	return people
}

// An addressReader reads one entry of a list after the other.
type addressReader struct {
	rest    string
	phrase  strings.Builder // outside of comments and angle brackets
	comment strings.Builder
	angle   string
	angled  bool
	group   string // name of the group that is open
	inGroup bool
	members int // of that group
}

// next reads an entry, and reports whether there was one.
func (p *addressReader) next() bool {
	p.phrase.Reset()
	p.comment.Reset()
	p.angle, p.angled = "", false
	if p.rest == "" {
		return false
	}
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch c {
		case '"':
			p.quoted()
		case '(':
			p.inComment()
		case '<':
			p.angle, p.rest, p.angled = cutAngle(p.rest)
		case ':':
			if p.angled || p.inGroup || strings.Contains(p.phrase.String(), "@") {
				p.phrase.WriteByte(c)
				continue
			}
			p.group, p.inGroup, p.members = p.phrase.String(), true, 0
			p.phrase.Reset()
		case ';':
			if p.inGroup {
				p.endGroup()
			}
			return true
		case ',':
			return true
		default:
			p.phrase.WriteByte(c)
		}
	}
	return true
}

// endGroup ends a group; one without members stands for itself, as in
// "undisclosed-recipients:;".
func (p *addressReader) endGroup() {
	if p.members == 0 && strings.TrimSpace(p.phrase.String()) == "" && !p.angled {
		p.phrase.Reset()
		p.phrase.WriteString(p.group)
	}
	p.inGroup = false
}

// quoted reads the rest of a quoted string.
func (p *addressReader) quoted() {
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\' && i+1 < len(p.rest):
			i++
			p.phrase.WriteByte(p.rest[i])
		case c == '"':
			p.rest = p.rest[i+1:]
			return
		default:
			p.phrase.WriteByte(c)
		}
	}
	p.rest = ""
}

// inComment reads the rest of a comment; comments may hold comments.
func (p *addressReader) inComment() {
	depth := 1
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\' && i+1 < len(p.rest):
			i++
			p.comment.WriteByte(p.rest[i])
			continue
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				p.rest = p.rest[i+1:]
				return
			}
		}
		p.comment.WriteByte(p.rest[i])
	}
	p.rest = ""
}

// cutAngle reads up to the ">" that ends an address, without comments.
func cutAngle(s string) (address, rest string, ok bool) {
	address = s
	if i := strings.IndexByte(s, '>'); i >= 0 {
		address, rest = s[:i], s[i+1:]
	}
	before, after, ok := strings.Cut(address, "(")
	if !ok {
		return address, rest, true
	}
	var b strings.Builder
	for ok {
		b.WriteString(before)
		_, after, _ = strings.Cut(after, ")")
		before, after, ok = strings.Cut(after, "(")
	}
	return b.String() + before, rest, true
}

// person returns what was read last.
func (p *addressReader) person() Person {
	name := oneLine(decodeWords(p.phrase.String()))
	address := p.angle
	if !p.angled {
		if !strings.Contains(name, "@") {
			p.members++
			return Person{Name: cutText(name, 500)}
		}
		address, name = name, oneLine(decodeWords(p.comment.String()))
	}
	p.members++
	if i := strings.LastIndexByte(address, ':'); i >= 0 && strings.HasPrefix(strings.TrimSpace(address), "@") {
		address = address[i+1:] // RFC 5322, section 4.4: a source route
	}
	address = strings.ReplaceAll(oneLine(address), " ", "")
	if address == "" && name == "" {
		p.members--
	}
	if name == address {
		name = ""
	}
	return Person{Name: cutText(name, 500), Address: cutText(address, 320)}
}

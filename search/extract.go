package search

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/klauspost/compress/s2"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

const (
	// textLimit is how much of a mail's text is searched without reading the mail, in bytes.
	textLimit = 256 << 10
	// headerLimit is the same of its header fields.
	headerLimit = 8 << 10
	// peopleLimit is the same of the people of one field.
	peopleLimit = 32 << 10
	// decodedLimit bounds what an extract opens to.
	decodedLimit = 1 << 20
)

// readLimits bound what is read of a mail for its extract. What is searched of a larger one
// lies before its large files.
var readLimits = letter.Limits{Size: 32 << 20, Decoded: 1 << 20}

// A content is what of a mail is searched, folded.
type content struct {
	cut         bool // body is not all of the mail's text
	headerCut   bool // from, to and header are not all of the mail's header
	brief       bool // both, and there is no reading the rest of it: see careful
	attachments int
	from        []byte
	to          []byte // and everybody else it was sent to
	subject     []byte
	names       []byte // of attachments
	body        []byte
	header      []byte // other header fields with their names
}

// contentOf takes out of a mail what is searched.
func contentOf(l *letter.Letter, s *letter.Summary) *content {
	c := &content{attachments: s.Attachments}
	c.from = c.people(l, "from", "sender", "reply-to")
	c.to = c.people(l, "to", "cc", "bcc")
	c.subject = fold(nil, s.Subject) // it is bounded itself
	var names []string
	for _, p := range l.Parts() {
		if p.Attachment {
			names = append(names, p.Name)
		}
	}
	c.names, _ = foldSome(strings.Join(names, "\n"), textLimit)
	text := l.AllText()
	if len(text) > textLimit {
		text, c.cut = strings.ToValidUTF8(text[:textLimit], ""), true
	}
	more := false
	c.body, more = foldSome(text, textLimit)
	c.cut = c.cut || more
	for _, o := range l.Left() {
		c.headerCut = c.headerCut || o == letter.LeftHeader
		c.cut = c.cut || o == letter.LeftText || o == letter.LeftParts || o == letter.LeftDepth || o == letter.LeftSize
	}
	c.header = c.fields(l)
	return c
}

// people folds the names and addresses of header fields.
func (c *content) people(l *letter.Letter, fields ...string) []byte {
	var b strings.Builder
	for _, field := range fields {
		for _, p := range l.People(field) {
			if b.Len() >= peopleLimit {
				c.headerCut = true
				break
			}
			b.WriteString(p.Name + " <" + p.Address + ">\n")
		}
	}
	folded, more := foldSome(b.String(), 2*peopleLimit)
	c.headerCut = c.headerCut || more
	return folded
}

// foldSome folds a text up to so many bytes, and reports whether there is more: some letters
// are eighteen when they are folded, and an extract that is too large would be made again each
// time that somebody looks.
func foldSome(text string, most int) (folded []byte, more bool) {
	folded = fold(nil, text)
	if len(folded) <= most {
		return folded, false
	}
	return bytes.ToValidUTF8(folded[:most], nil), true
}

// unsearched are header fields in which nobody looks for anything: signatures and what
// mail systems tell each other.
var unsearched = map[string]bool{
	"dkim-signature": true, "arc-seal": true, "arc-message-signature": true, "arc-authentication-results": true,
	"x-google-dkim-signature": true, "x-gm-message-state": true, "autocrypt": true, "x-google-smtp-source": true,
	"x-ms-exchange-antispam-messagedata-0": true, "x-microsoft-antispam-message-info": true,
	"from": true, "to": true, "cc": true, "subject": true, // these are there already
}

// fields folds the other header fields.
func (c *content) fields(l *letter.Letter) []byte {
	var b strings.Builder
	l.Fields(func(name, value string) {
		switch {
		case unsearched[name]:
		case b.Len()+len(value) > headerLimit:
			c.headerCut = true
		default:
			b.WriteString(name + ": " + value + "\n")
		}
	})
	folded, more := foldSome(b.String(), 2*headerLimit)
	c.headerCut = c.headerCut || more
	return folded
}

// encode writes c in few bytes.
func (c *content) encode() []byte {
	parts := [][]byte{c.from, c.to, c.subject, c.names, c.body, c.header}
	size := 0
	for _, p := range parts {
		size += len(p) + 5
	}
	b := make([]byte, 0, size+10)
	b = append(b, 0)
	if c.cut {
		b[0] |= 1
	}
	if c.headerCut {
		b[0] |= 2
	}
	if c.brief {
		b[0] |= 4
	}
	b = binary.AppendUvarint(b, uint64(c.attachments))
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return s2.EncodeBetter(nil, b)
}

// decodeContent reads what encode wrote. It uses the bytes of buf, and returns them.
func decodeContent(packed, buf []byte) (c content, plain []byte, err error) {
	if n, err := s2.DecodedLen(packed); err != nil || n > decodedLimit || n == 0 {
		return c, buf, errShort
	}
	if plain, err = s2.Decode(buf[:cap(buf)], packed); err != nil {
		return c, buf, fmt.Errorf("unpack an extract: %w", err)
	}
	d := decoder{rest: plain[1:]}
	c.cut, c.headerCut, c.brief = plain[0]&1 != 0, plain[0]&2 != 0, plain[0]&4 != 0
	c.attachments = int(d.uint())
	for _, p := range []*[]byte{&c.from, &c.to, &c.subject, &c.names, &c.body, &c.header} {
		*p = d.bytes()
	}
	if d.bad {
		return c, plain, errShort
	}
	return c, plain, nil
}

// made is an extract before it is sealed.
type made struct {
	summary letter.Summary
	content *content
}

// seal seals an extract with the key of the body.
func (r *Room) seal(m *doppelboden.Message, e made) (store.Extract, error) {
	key, err := r.opts.Keys.Unwrap(m.Tenant, m.Body.KeyVersion, m.Body.Key)
	if err != nil {
		return store.Extract{}, fmt.Errorf("unwrap the key of %s: %w", m.ID, err)
	}
	s, err := newSealer(&key, m.Tenant, m.ID)
	if err != nil {
		return store.Extract{}, err
	}
	return store.Extract{Message: m.ID, Format: format, Summary: s.seal(sealedSummary, encodeSummary(&e.summary)),
		Text: s.seal(sealedText, e.content.encode())}, nil
}

package imapd

import (
	netmail "net/mail"
	"regexp"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// mostAddresses bounds the addresses of one field in an ENVELOPE.
const mostAddresses = 5000

// envelope is ENVELOPE: RFC 9051, section 7.5.2. Encoded words stay as they are: clients
// decode them.
func envelope(header []byte) *imap.Envelope {
	e := &imap.Envelope{
		Subject: fieldOf(header, "subject"),
		From:    addresses(fieldOf(header, "from")), Sender: addresses(fieldOf(header, "sender")),
		ReplyTo: addresses(fieldOf(header, "reply-to")), To: addresses(fieldOf(header, "to")),
		Cc: addresses(fieldOf(header, "cc")), Bcc: addresses(fieldOf(header, "bcc")),
		InReplyTo: msgIDs(fieldOf(header, "in-reply-to")),
	}
	if ids := msgIDs(fieldOf(header, "message-id")); len(ids) > 0 {
		e.MessageID = ids[0]
	}
	if at, err := netmail.ParseDate(fieldOf(header, "date")); err == nil {
		e.Date = at
	}
	return e
}

// msgID is one message identifier: RFC 5322, section 3.6.4, less its brackets.
var msgID = regexp.MustCompile(`<([^<>\s]{1,990})>`)

// msgIDs returns the message identifiers in a field.
func msgIDs(value string) (ids []string) {
	for _, found := range msgID.FindAllStringSubmatch(value, 1000) {
		ids = append(ids, found[1])
	}
	return ids
}

// A cursor reads an address list: RFC 5322, section 3.4. It is mild: what cannot be read
// is passed over.
type cursor struct {
	s    string
	list []imap.Address
	open bool // in a group
}

// addresses reads an address list. Groups come as RFC 9051, section 7.5.2, has them.
func addresses(value string) []imap.Address {
	c := &cursor{s: value}
	for c.s != "" && len(c.list) < mostAddresses {
		c.one()
	}
	if c.open {
		c.list = append(c.list, imap.Address{})
	}
	return c.list
}

// one reads up to the end of one address, or the beginning or end of a group.
func (c *cursor) one() {
	var words []string // of a phrase, or an address without brackets
	var comment string
	glued := true // nothing stands between the last word and the next
	for c.s != "" {
		switch ch := c.s[0]; ch {
		case ' ', '\t':
			c.s = c.s[1:]
			glued = false
		case ',', ';':
			c.s = c.s[1:]
			c.add(words, comment)
			if ch == ';' && c.open {
				c.list = append(c.list, imap.Address{})
				c.open = false
			}
			return
		case ':':
			c.s = c.s[1:]
			if !c.open {
				c.list = append(c.list, imap.Address{Mailbox: strings.Join(words, " ")})
				c.open = true
			}
			return
		case '(':
			comment = c.comment()
			glued = false
		case '<':
			c.angle(strings.Join(words, " "))
			words, comment = nil, ""
		default:
			word := c.word()
			if glued && len(words) > 0 || len(words) > 0 && joins(words[len(words)-1], word) {
				words[len(words)-1] += word
			} else {
				words = append(words, word)
			}
			glued = true
		}
	}
	c.add(words, comment)
}

// joins reports whether two words are of one address: spaces may stand around "." and "@".
func joins(a, b string) bool {
	return strings.HasSuffix(a, "@") || strings.HasPrefix(b, "@") || strings.HasSuffix(a, ".") && strings.Contains(b, "@")
}

// word reads an atom or a quoted string, which comes without its quotes.
func (c *cursor) word() string {
	if c.s[0] == '"' {
		text := unquote(c.s)
		c.s = c.s[quotedLen(c.s):]
		return text
	}
	end := strings.IndexAny(c.s[1:], " \t,;:(<\"")
	if end < 0 {
		end = len(c.s) - 1
	}
	word := c.s[:end+1]
	c.s = c.s[end+1:]
	return word
}

// quotedLen returns the length of the quoted string at the front of s.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// comment reads a comment, which old programs use for the name.
func (c *cursor) comment() string {
	depth := 0
	for i := 0; i < len(c.s); i++ {
		switch c.s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				text := c.s[1:i]
				c.s = c.s[i+1:]
				return strings.TrimSpace(text)
			}
		}
	}
	c.s = ""
	return ""
}

// angle reads "<…>": an address, perhaps with a route, which is left out.
func (c *cursor) angle(name string) {
	end := strings.IndexByte(c.s, '>')
	if end < 0 {
		end = len(c.s)
	}
	spec := c.s[1:end]
	c.s = c.s[min(end+1, len(c.s)):]
	if strings.HasPrefix(spec, "@") {
		if _, rest, ok := strings.Cut(spec, ":"); ok {
			spec = rest
		}
	}
	c.put(name, spec)
}

// add adds an address that came without brackets.
func (c *cursor) add(words []string, comment string) {
	if len(words) > 0 {
		c.put(comment, strings.Join(words, " "))
	}
}

// put adds an address.
func (c *cursor) put(name, spec string) {
	spec = strings.TrimSpace(spec)
	at := strings.LastIndexByte(spec, '@')
	if at < 0 {
		if spec != "" || name != "" { // RFC 9051 has no place for half an address: Dovecot does the same
			c.list = append(c.list, imap.Address{Name: name, Mailbox: orElse(spec, "MISSING_MAILBOX"), Host: "MISSING_DOMAIN"})
		}
		return
	}
	local := spec[:at]
	if strings.HasPrefix(local, `"`) {
		local = unquote(local)
	}
	c.list = append(c.list, imap.Address{Name: name, Mailbox: orElse(local, "MISSING_MAILBOX"), Host: orElse(spec[at+1:], "MISSING_DOMAIN")})
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

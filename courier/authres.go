package courier

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// headerLine takes the next line of the body's header section, and leaves out the
// Authentication-Results fields that claim our authserv-id (RFC 8601, section 5) and, of
// a mail that we scanned, the fields in which we say what came of it.
func (c *content) headerLine() error {
	line, err := c.src.ReadSlice('\n')
	partial := errors.Is(err, bufio.ErrBufferFull)
	if err != nil && !partial && !(err == io.EOF && len(line) > 0) {
		return err
	}
	c.left -= int64(len(line))
	rest := c.midLine
	c.midLine = partial
	switch {
	case rest || line[0] == ' ' || line[0] == '\t': // RFC 5322, section 2.2.3: folded
		return c.continueField(line)
	case string(line) == "\r\n" || string(line) == "\n":
		c.header = false
		if err := c.endField(); err != nil {
			return err
		}
		return c.put(line)
	}
	if err := c.endField(); err != nil {
		return err
	}
	if c.forged != nil && c.forged(line) {
		c.field = drop
		return nil
	}
	if c.ourID == "" || !isAuthRes(line) {
		return c.put(line)
	}
	c.field = undecided
	return c.continueField(line)
}

// continueField takes one more line of the current field.
func (c *content) continueField(line []byte) error {
	switch c.field {
	case drop:
		return nil
	case keep:
		return c.put(line)
	}
	c.held = append(c.held, line...)
	if id, complete := authservID(c.held); complete {
		return c.decide(id)
	}
	if len(c.held) > maxHeld {
		// Nobody hides his name behind 8 KB of comments who does not want to deceive.
		c.field, c.held = drop, c.held[:0]
	}
	return nil
}

// endField says that the current field has no more lines.
func (c *content) endField() error {
	if c.field == undecided {
		id, _ := authservID(c.held)
		if err := c.decide(id); err != nil {
			return err
		}
	}
	c.field = keep
	return nil
}

// decide settles the fate of the field that is held.
func (c *content) decide(id string) error {
	held := c.held
	c.held = held[:0]
	// RFC 8601, section 2.5: the authserv-id is compared without case. A version behind a
	// slash and a dot at the end are no valid spelling, but lenient readers take them.
	id, _, _ = strings.Cut(id, "/")
	if strings.EqualFold(strings.TrimSuffix(id, "."), c.ourID) {
		c.field = drop
		return nil
	}
	c.field = keep
	return c.put(held)
}

// authRes is the name of the field, in lower case.
const authRes = "authentication-results"

// isAuthRes reports whether a line begins an Authentication-Results field. White space
// before the colon is obsolete (RFC 5322, section 4.5), and is still understood by some.
func isAuthRes(line []byte) bool {
	if len(line) < len(authRes) || !bytes.EqualFold(line[:len(authRes)], []byte(authRes)) {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(line[len(authRes):], " \t"), []byte(":"))
}

// authservID reads the authserv-id of an Authentication-Results field that may not
// have come to its end yet: RFC 8601, section 2.2, "[CFWS] authserv-id". complete says
// that more lines cannot change it.
func authservID(field []byte) (id string, complete bool) {
	_, value, _ := bytes.Cut(field, []byte(":"))
	value = skipCFWS(value)
	if len(value) == 0 {
		return "", false
	}
	if value[0] == '"' {
		return quoted(value[1:])
	}
	// RFC 2045, section 5.1, token; what ends it is enough here.
	end := bytes.IndexAny(value, " \t\r\n;(\"")
	if end < 0 {
		return string(value), false
	}
	return string(value[:end]), true
}

// quoted reads a quoted string whose first quote is gone: RFC 5322, section 3.2.4.
func quoted(value []byte) (text string, complete bool) {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			return b.String(), true
		case '\r', '\n': // folding
		case '\\':
			if i++; i < len(value) {
				b.WriteByte(value[i])
			}
		default:
			b.WriteByte(value[i])
		}
	}
	return b.String(), false
}

// skipCFWS skips comments and folding white space: RFC 5322, section 3.2.2. Inside a
// comment that has not ended nothing is left.
func skipCFWS(s []byte) []byte {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth > 0, c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			return s[i:]
		}
	}
	return nil
}

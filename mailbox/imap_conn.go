package mailbox

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"
)

// errTooMuch says that a server answers more than anybody asked for.
var errTooMuch = errors.New("the IMAP server answers too much")

// A tether is a connection with our own bounds on time and on what is read. The client
// library sets deadlines of its own, which know nothing of ours; they are passed over.
type tether struct {
	net.Conn
	mu   sync.Mutex
	left int64 // bytes that may still be read
}

// newTether bounds a connection.
func newTether(c net.Conn) *tether { return &tether{Conn: c} }

// arm gives what follows so much time, and so many bytes of answers.
func (t *tether) arm(limit time.Duration, most int64) error {
	t.mu.Lock()
	t.left = most
	t.mu.Unlock()
	return t.Conn.SetDeadline(time.Now().Add(limit))
}

// Read reads, and fails when it has become too much.
func (t *tether) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left -= int64(n); t.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// SetDeadline does nothing; see arm.
func (t *tether) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing; see arm.
func (t *tether) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing; see arm.
func (t *tether) SetWriteDeadline(time.Time) error { return nil }

// A filter keeps a line from the client library on which it would turn in circles for ever:
// a list within a list of capabilities. It also helps it to put several mails into a folder at
// once, which it cannot.
type filter struct {
	net.Conn
	first []byte // is read before what the connection says
	line  []byte // how the line begins that is being read
	tail  []byte // how it ends, as far as it was read
	mail  bool   // it is of an answer to FETCH, or goes on behind a literal of one
	skip  int64  // so many octets are of a literal: the text of a mail may look like anything
	bad   bool   // such a line was read; there is nothing behind it
	drop  bool   // what comes up to the next "]", or the end of the line, is not passed on
	held  []byte // what is written stays here; nil: it does not
}

// lineStart is how much of a line tells whether it is a list of capabilities: a tag, the
// status and the word. lineEnd is how much tells the length of a literal.
const (
	lineStart = 64
	lineEnd   = 24
)

var errNonsense = errors.New("the IMAP server talks nonsense")

// Read reads, and fails at such a line.
func (f *filter) Read(b []byte) (n int, err error) {
	if len(f.first) > 0 {
		n = copy(b, f.first)
		f.first = f.first[n:]
		return n, nil
	}
	if f.bad {
		return 0, errNonsense
	}
	for n == 0 && err == nil {
		if n, err = f.Conn.Read(b); n == 0 {
			return n, err
		}
		if n = f.pass(b[:n]); f.bad {
			f.Conn.Close()
			return 0, errNonsense
		}
	}
	return n, err
}

// pass looks at what was read, and returns how much of it is passed on.
func (f *filter) pass(b []byte) (n int) {
	for i := 0; i < len(b); i++ {
		passed := 1
		if f.skip > 0 {
			passed = int(min(f.skip, int64(len(b)-i)))
			f.skip -= int64(passed)
		} else if f.bad = f.next(b[i]); f.bad {
			return 0
		} else if f.drop {
			continue
		}
		if n < i {
			copy(b[n:], b[i:i+passed])
		}
		n, i = n+passed, i+passed-1
	}
	return n
}

// next looks at the next octet, and reports whether the line is one of those.
func (f *filter) next(c byte) (bad bool) {
	f.drop = f.drop && c != ']' && c != '\r' && c != '\n'
	switch {
	case c == '\n':
		f.endLine()
		return false
	case c == ']': // the list has ended, and a text follows
		f.line = append(f.line[:0], "text"...)
	case f.drop:
		return false
	case (c == ':' || c == ',') && several(f.line): // the first is enough
		f.drop = true
		return false
	case c == '(' && f.capabilities():
		return true
	case len(f.line) < lineStart:
		f.line = append(f.line, c)
		f.mail = f.mail || c == '(' && isFetch(f.line)
	}
	if len(f.tail) == lineEnd {
		f.tail = append(f.tail[:0], f.tail[1:]...)
	}
	f.tail = append(f.tail, c)
	return false
}

// endLine begins the next line. In an answer to FETCH, and nowhere else, a number in braces
// at the end says how many octets of a mail follow (RFC 9051, section 4.3): elsewhere it
// could be a way around the filter.
func (f *filter) endLine() {
	if f.mail {
		f.skip = literal(f.tail)
		f.mail = f.skip > 0
	}
	f.line, f.tail = f.line[:0], f.tail[:0]
	if f.mail {
		f.line = append(f.line, "text"...) // the line goes on behind the literal
	}
}

// isFetch reports whether a line begins as an answer to FETCH does: "* 12 FETCH (".
func isFetch(line []byte) bool {
	words := bytes.Fields(line)
	return len(words) == 4 && string(words[0]) == "*" && string(words[3]) == "(" && bytes.EqualFold(words[2], []byte("FETCH"))
}

// literal returns the number in braces at the end of a line, 0 when there is none.
func literal(tail []byte) int64 {
	tail = bytes.TrimSuffix(tail, []byte("\r"))
	open := bytes.LastIndexByte(tail, '{')
	if open < 0 || !bytes.HasSuffix(tail, []byte("}")) {
		return 0
	}
	n, err := strconv.ParseInt(string(tail[open+1:len(tail)-1]), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// capabilities reports whether the line is a list of them.
func (f *filter) capabilities() bool {
	return len(f.line) > 0 && (f.line[0] == '*' || f.line[0] == 'T') && bytes.Contains(bytes.ToUpper(f.line), []byte("CAPABILITY"))
}

package mailbox

import (
	"bytes"
	"errors"
	"net"
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
// a list within a list of capabilities.
type filter struct {
	net.Conn
	first []byte // is read before what the connection says
	line  []byte // how the line begins that is being read
	bad   bool   // such a line was read; there is nothing behind it
}

// lineStart is how much of a line tells whether it is a list of capabilities: a tag, the
// status and the word.
const lineStart = 64

var errNonsense = errors.New("the IMAP server talks nonsense")

// Read reads, and fails at such a line. The text of a mail does not look like one: of that
// nothing is read but Received lines and those that continue them.
func (f *filter) Read(b []byte) (n int, err error) {
	if len(f.first) > 0 {
		n = copy(b, f.first)
		f.first = f.first[n:]
		return n, nil
	}
	if f.bad {
		return 0, errNonsense
	}
	n, err = f.Conn.Read(b)
	for _, c := range b[:n] {
		switch {
		case c == '\n':
			f.line = f.line[:0]
		case c == ']': // the list has ended, and a text follows
			f.line = append(f.line[:0], "text"...)
		case c == '(' && f.capabilities():
			f.bad = true
			f.Conn.Close()
			return 0, errNonsense
		case len(f.line) < lineStart:
			f.line = append(f.line, c)
		}
	}
	return n, err
}

// capabilities reports whether the line is a list of them.
func (f *filter) capabilities() bool {
	return len(f.line) > 0 && (f.line[0] == '*' || f.line[0] == 'T') && bytes.Contains(bytes.ToUpper(f.line), []byte("CAPABILITY"))
}

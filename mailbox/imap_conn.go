package mailbox

import (
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

package courier

import (
	"errors"
	"io"

	"doppelboden"
)

// A Text reads a message as an agent sends it, line for line, but without what is SMTP's
// own: no dot is doubled and none follows. Who puts mail into mailboxes himself uses it,
// so that people find the same bytes whichever way their mail took.
//
// The zero value is ready for use. It holds some 110 KB once it was used, whatever the
// size of the message, and can be opened again and again. It belongs to one goroutine.
type Text struct {
	content content
	at      int // what was read of content.out
}

// Open begins with a message. Only Bodies, AuthservID and Marks of o are used. Close is
// to be called also after an error.
func (t *Text) Open(o Options, m *doppelboden.Message) error {
	t.at = 0
	t.content.plain = true
	t.content.forged = marksOf(o, m)
	return t.content.open(m, o.Bodies, o.AuthservID)
}

// Read reads on. Damage, and what must not be sent at all (see Unfit), is an error at the
// latest where io.EOF would be.
func (t *Text) Read(p []byte) (int, error) {
	c := &t.content
	for t.at == len(c.out) {
		if c.whole {
			return 0, io.EOF
		}
		c.out, t.at = c.out[:0], 0
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out[t.at:])
	t.at += n
	return n, nil
}

// Close gives the message back. It may be called more than once.
func (t *Text) Close() error {
	t.content.close()
	return nil
}

// Unfit reports whether an error of a body says that the mail can never be sent: it holds
// a bare CR or a NUL.
func Unfit(err error) bool { return errors.Is(err, errBareCR) || errors.Is(err, errNUL) }

// Harmless makes one line of at most 1,000 bytes from a stranger's words, as
// doppelboden.Reply wants it.
func Harmless(s string) string { return harmless(s) }

// marksOf returns what recognizes header fields that claim to be ours in a mail, or nil.
func marksOf(o Options, m *doppelboden.Message) func(line []byte) bool {
	if m.Scan == doppelboden.NotScanned {
		return nil // what stands there may be the word of a filter before us
	}
	return o.Marks
}

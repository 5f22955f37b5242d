package directory

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Bounds of what a server may send.
const (
	// maxEntryBytes bounds one entry. The largest is a distribution list, and one with
	// 100,000 members has 10 MB.
	maxEntryBytes = 16 << 20
	// maxOtherBytes bounds every other message. They are small; what they hold is decoded
	// by the library without a look at its depth, at a cost that grows with the square.
	maxOtherBytes = 8 << 10
	// maxAnswerBytes bounds the answer to one request, and so the memory of a page.
	maxAnswerBytes = 64 << 20
	// maxDepth bounds how deep elements lie in each other. Of what we ask for, the value
	// of an attribute of an entry is the deepest: five.
	maxDepth = 16
)

// Tags of LDAP messages: RFC 4511, section 4.2 and the following.
const (
	tagSearchEntry     = 0x64
	tagSearchReference = 0x73
)

// errTooMuch ends the reading of an answer that is larger than what was asked for.
var errTooMuch = errors.New("the server sends more than was asked for")

// A frame is a connection that lets through whole LDAP messages of sound size and depth
// only. The LDAP library decodes with a recursion and with memory that the peer's bytes
// decide about; a stack that overflows would end the node.
//
// A request starts a new answer: its bytes, entries and time are counted from there.
type frame struct {
	net.Conn
	in       *bufio.Reader
	message  []byte        // what is left of the message that was read last
	patience time.Duration // how long an answer may take
	entries  atomic.Int64  // how many more entries this answer may have
	bytes    atomic.Int64  // and how many more bytes
}

// newFrame returns a frame around a connection.
func newFrame(c net.Conn, patience time.Duration) *frame {
	return &frame{Conn: c, in: bufio.NewReaderSize(c, 64<<10), patience: patience}
}

// allow says how many entries the answer to the next request may have.
func (f *frame) allow(entries int) { f.entries.Store(int64(entries)) }

// Write sends a request and gives its answer its time. The library writes each request
// with one call.
func (f *frame) Write(p []byte) (int, error) {
	f.bytes.Store(maxAnswerBytes)
	if err := f.Conn.SetDeadline(time.Now().Add(f.patience)); err != nil {
		return 0, err
	}
	return f.Conn.Write(p)
}

// Read returns bytes of messages that were found to be sound.
func (f *frame) Read(p []byte) (int, error) {
	if len(f.message) == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.message)
	f.message = f.message[n:]
	return n, nil
}

// next reads a whole message.
func (f *frame) next() error {
	// An LDAP message is a sequence in the definite form: RFC 4511, section 5.1.
	head, err := f.in.Peek(2)
	if err != nil {
		return noEnd(err)
	}
	if head[0] != 0x30 {
		return errors.New("the server does not speak LDAP")
	}
	// The length has at most four bytes after its first.
	size := 2
	if head[1] > 0x80 {
		size += int(head[1] & 0x7f)
	}
	if size > 6 {
		return errTooMuch
	}
	if head, err = f.in.Peek(size); err != nil {
		return noEnd(err)
	}
	length, _, ok := elementLength(head[1:])
	if !ok {
		return errors.New("the server sends a message without a length")
	}
	if length > maxEntryBytes || f.bytes.Add(-int64(size+length)) < 0 {
		return errTooMuch
	}
	// Grown as it comes: a length alone costs the server nothing.
	message, err := io.ReadAll(io.LimitReader(f.in, int64(size+length)))
	if err == nil && len(message) < size+length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return noEnd(err)
	}
	if err := f.check(message[size:]); err != nil {
		return err
	}
	f.message = message
	return nil
}

// check looks at the content of a message before anybody decodes it.
func (f *frame) check(content []byte) error {
	if err := sound(content, maxDepth); err != nil {
		return err
	}
	switch operation(content) {
	case tagSearchEntry, tagSearchReference:
		if f.entries.Add(-1) < 0 {
			return errTooMuch
		}
	default:
		if len(content) > maxOtherBytes {
			return errTooMuch
		}
	}
	return nil
}

// operation returns the tag of the second element, which says what a message is.
func operation(content []byte) byte {
	if len(content) < 2 {
		return 0
	}
	length, used, ok := elementLength(content[1:])
	if next := 1 + used + length; ok && next < len(content) {
		return content[next]
	}
	return 0
}

// sound reports an error unless b is a row of elements with definite lengths that end
// where they should and lie at most depth deep.
func sound(b []byte, depth int) error {
	if depth == 0 {
		return errors.New("the server sends elements that lie too deep in each other")
	}
	for len(b) > 0 {
		tag := b[0]
		// Tags beyond 30 take more bytes; LDAP has none.
		if tag&0x1f == 0x1f || tag == 0 {
			return errors.New("the server sends an element that LDAP does not have")
		}
		length, used, ok := elementLength(b[1:])
		if !ok || length > len(b)-1-used {
			return errors.New("the server sends an element of a wrong length")
		}
		value := b[1+used : 1+used+length]
		if constructed := tag&0x20 != 0; constructed {
			if err := sound(value, depth-1); err != nil {
				return err
			}
		}
		b = b[1+used+length:]
	}
	return nil
}

// elementLength reads a length in the definite form: X.690, section 8.1.3.
func elementLength(b []byte) (length, used int, ok bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, true
	}
	n := int(b[0] & 0x7f)
	if n == 0 || n > 4 || len(b) < 1+n {
		return 0, 0, false
	}
	var wide [4]byte
	copy(wide[4-n:], b[1:1+n])
	v := binary.BigEndian.Uint32(wide[:])
	if v > maxAnswerBytes {
		return 0, 0, false
	}
	return int(v), 1 + n, true
}

// noEnd says what it means when a connection breaks.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the server broke the connection off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

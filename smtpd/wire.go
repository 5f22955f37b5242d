package smtpd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxLine bounds a command, CRLF included. RFC 5321, section 4.5.3.1.4, has 512;
	// RFC 1870 adds 26 to MAIL, RFC 6152 17, RFC 6531 10, RFC 3461 500 to RCPT and
	// more to MAIL, RFC 6531 doubles paths. 2,048 holds them all at once and no more.
	maxLine = 2048
	// inputBase is what a connection always has for its input: one command fits.
	inputBase = maxLine
	// inputBulk is what it borrows while a body comes in. It bounds the memory of
	// 2,000 senders that stop in the middle of a body at 64 MB.
	inputBulk = 32 << 10
	// outputFlush is when replies are sent although more commands lie in the buffer.
	outputFlush = 4 << 10
)

// errOverlong and errBareLF are what readLine finds wrong with a line as such.
var (
	errOverlong = errors.New("line too long")
	errBareLF   = errors.New("line ends in a bare LF")
)

// bulk lends the buffers for bodies, output those for replies.
var (
	bulkPool   = sync.Pool{New: func() any { return new([inputBulk]byte) }}
	outputPool = sync.Pool{New: func() any { b := make([]byte, 0, outputFlush+maxReply); return &b }}
)

// A wire reads from and writes to one client. Replies are collected and sent in one
// write, at the latest before we wait for the client: RFC 2920, section 3.2.
type wire struct {
	conn net.Conn // TCP, or TLS over it

	base []byte           // inputBase octets, always there
	bulk *[inputBulk]byte // borrowed, or nil
	in   []byte           // base or bulk
	r, w int              // in[r:w] was read and not used yet

	out          *[]byte       // replies not yet sent; nil: none
	writeTimeout time.Duration // for one write
	broken       error         // the first failure of a write; nothing is written after it

	// arm is asked before every read: it sets the deadline or refuses the read.
	arm func() error
	// came is told how many octets a read brought.
	came func(n int)
}

// buffered returns what was read and not used yet.
func (w *wire) buffered() []byte { return w.in[w.r:w.w] }

// borrow makes room for a body. What was read stays.
func (w *wire) borrow() {
	if w.bulk != nil {
		return
	}
	w.bulk = bulkPool.Get().(*[inputBulk]byte)
	w.w = copy(w.bulk[:], w.in[w.r:w.w])
	w.r, w.in = 0, w.bulk[:]
}

// giveBack returns the borrowed buffer when what is left fits without it.
func (w *wire) giveBack() {
	if w.bulk == nil || w.w-w.r > len(w.base) {
		return
	}
	w.w = copy(w.base, w.in[w.r:w.w])
	w.r, w.in = 0, w.base
	bulkPool.Put(w.bulk)
	w.bulk = nil
}

// fill sends what replies there are and reads more. There must be room, which there
// is when less than a command is left in the buffer.
func (w *wire) fill() error {
	if err := w.flush(); err != nil {
		return err
	}
	if w.r > 0 {
		w.w = copy(w.in, w.in[w.r:w.w])
		w.r = 0
	}
	if err := w.arm(); err != nil {
		return err
	}
	n, err := w.conn.Read(w.in[w.w:])
	w.w += n
	w.came(n)
	if n > 0 {
		return nil // the error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// readLine returns the next command without its CRLF; it is valid until the next call.
//
// RFC 5321, section 2.3.8: only CRLF ends a command. At the first LF without CR it
// returns errBareLF; what follows must not be read as a command, for somebody before us
// may have taken it for a part of this line. A line that is too long is read to its end
// and gives errOverlong.
func (w *wire) readLine() ([]byte, error) {
	seen := 0 // of the buffered octets: no LF among them
	for {
		have := w.buffered()
		if i := bytes.IndexByte(have[seen:], '\n'); i >= 0 {
			i += seen
			w.r += i + 1
			if i == 0 || have[i-1] != '\r' {
				return nil, errBareLF
			}
			if i+1 > maxLine {
				return nil, errOverlong
			}
			return have[:i-1], nil
		}
		if len(have) >= maxLine {
			return nil, w.skipLine()
		}
		seen = len(have)
		w.giveBack()
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
}

// skipLine reads to the end of a line that is too long.
func (w *wire) skipLine() error {
	for {
		have := w.buffered()
		if i := bytes.IndexByte(have, '\n'); i >= 0 {
			w.r += i + 1
			if i == 0 || have[i-1] != '\r' {
				return errBareLF
			}
			return errOverlong
		}
		w.r = w.w
		if n := len(have); n > 0 && have[n-1] == '\r' {
			w.r-- // its LF may follow
		}
		if err := w.fill(); err != nil {
			return err
		}
	}
}

// append adds text to the replies.
func (w *wire) append(parts ...string) {
	if w.broken != nil {
		return
	}
	if w.out == nil {
		w.out = outputPool.Get().(*[]byte)
	}
	for _, s := range parts {
		*w.out = append(*w.out, s...)
	}
	if len(*w.out) >= outputFlush {
		w.flush()
	}
}

// flush sends the replies. Its error is the same from the first failure on.
func (w *wire) flush() error {
	if w.out == nil || w.broken != nil {
		return w.broken
	}
	w.broken = w.conn.SetWriteDeadline(time.Now().Add(w.writeTimeout))
	if w.broken == nil {
		_, w.broken = w.conn.Write(*w.out)
	}
	*w.out = (*w.out)[:0]
	outputPool.Put(w.out)
	w.out = nil
	return w.broken
}

// release gives every borrowed buffer back. The wire is of no use after it.
func (w *wire) release() {
	if w.bulk != nil {
		bulkPool.Put(w.bulk)
	}
	if w.out != nil {
		*w.out = (*w.out)[:0]
		outputPool.Put(w.out)
	}
	w.bulk, w.out, w.in, w.base = nil, nil, nil, nil
	w.r, w.w = 0, 0
}

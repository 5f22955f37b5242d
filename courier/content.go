package courier

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"doppelboden"
)

const (
	// sourceSize is how much of a body is looked at in one step.
	sourceSize = 16 << 10
	// outSize is how much is written in one step. A mail that fits leaves in one write,
	// the final dot included.
	outSize = 96 << 10
	// maxHeld bounds how long a header field may hide whose word it is.
	maxHeld = 8 << 10
)

// Errors of a body. The first two can never be handed over.
var (
	errBareCR = errors.New("the mail holds a CR without LF, which must not be sent")
	errNUL    = errors.New("the mail holds a NUL, which must not be sent")
)

// A content turns a message into what stands between DATA and the final dot: prefix
// and body with CRLF line ends and stuffed dots, ending in CRLF. It is filled step by
// step, so that big mails need no more memory than small ones.
type content struct {
	out      []byte // what is ready to be written
	whole    bool   // out holds everything that was left
	eightBit bool   // an octet above 127 was seen so far

	body io.ReadCloser // nil while there is none
	src  *bufio.Reader // over body; made once
	left int64         // octets of the body that have not come yet
	bol  bool          // out ends at the beginning of a line
	cr   bool          // a CR came that its LF must follow

	header  bool   // still in the header section of the body
	midLine bool   // in the middle of a header line that is longer than src
	field   fate   // of the header field that the last line belongs to
	held    []byte // of an undecided field, all that came
	ourID   string // see Options.AuthservID

	forged func(line []byte) bool // see Options.Marks; nil for a mail that was not scanned
	plain  bool                   // no dots are stuffed: see Text
}

// A fate says what becomes of a header field.
type fate int

const (
	keep      fate = iota // it leaves as it is
	undecided             // it may claim our authserv-id; it is held back
	drop                  // it claims it, and is left out
)

// open begins with a message and fills the first step.
func (c *content) open(m *doppelboden.Message, bodies Bodies, ourID string) error {
	if bodies == nil {
		return errors.New("no bodies")
	}
	body, err := bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		return err
	}
	if c.src == nil {
		c.src = bufio.NewReaderSize(nil, sourceSize)
		c.out = make([]byte, 0, outSize)
	}
	c.src.Reset(body)
	*c = content{
		out: c.out[:0], src: c.src, held: c.held[:0],
		body: body, left: m.Body.Size, bol: true, header: ourID != "" || c.forged != nil, ourID: ourID, forged: c.forged, plain: c.plain,
	}
	if err := c.put(m.Prefix); err != nil {
		return err
	}
	return c.fill()
}

// close gives the body back. It may be called more than once.
func (c *content) close() {
	if c.body != nil {
		c.body.Close() // what it says counts only at the end of the body: see finish
		c.body = nil
	}
}

// fill appends to out until it is nearly full or the body has ended. Only when it
// returns nil and whole is true has the body been read, and verified, to its end.
func (c *content) fill() error {
	// One step takes at most sourceSize octets, each of which becomes two at most.
	for !c.whole && outSize-len(c.out) >= 2*sourceSize+2 {
		var err error
		if c.header {
			err = c.headerLine()
		} else {
			err = c.chunk()
		}
		if err == io.EOF { // not errors.Is: damage may have an io.EOF in its tree
			err = c.finish()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk takes what is there of the body.
func (c *content) chunk() error {
	if _, err := c.src.Peek(1); err != nil {
		return err
	}
	p, err := c.src.Peek(c.src.Buffered())
	if err != nil {
		return err
	}
	c.left -= int64(len(p))
	if err := c.put(p); err != nil {
		return err
	}
	_, err = c.src.Discard(len(p))
	return err
}

// finish is called when the body has ended.
func (c *content) finish() error {
	if err := c.endField(); err != nil {
		return err
	}
	body := c.body
	c.body = nil
	if err := body.Close(); err != nil {
		return fmt.Errorf("close body: %w", err)
	}
	if c.left != 0 {
		return fmt.Errorf("body has %d octets too few", c.left)
	}
	if c.cr {
		return errBareCR
	}
	if !c.bol {
		c.out = append(c.out, '\r', '\n')
		c.bol = true
	}
	c.whole = true
	return nil
}

// put appends p to out as RFC 5321 wants it: every line ends in CRLF (section 2.3.8),
// and a dot at its beginning is doubled (section 4.5.2). Bodies are stored with CRLF; a
// bare LF is turned into one nevertheless, because some servers take LF . LF for the
// end of the mail, and what follows would be commands of the mail's author.
func (c *content) put(p []byte) error {
	if bytes.IndexByte(p, 0) >= 0 {
		return errNUL
	}
	c.eightBit = c.eightBit || hasHigh(p)
	if c.cr && len(p) > 0 && p[0] != '\n' {
		return errBareCR
	}
	for len(p) > 0 {
		if c.bol && p[0] == '.' && !c.plain {
			c.out = append(c.out, '.')
		}
		lf := bytes.IndexByte(p, '\n')
		line := p
		if lf >= 0 {
			line = p[:lf]
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
			c.cr = lf < 0
		}
		if bytes.IndexByte(line, '\r') >= 0 {
			return errBareCR
		}
		c.out = append(c.out, line...)
		if lf < 0 {
			c.bol = c.bol && len(line) == 0
			return nil
		}
		c.out = append(c.out, '\r', '\n')
		c.bol, c.cr = true, false
		p = p[lf+1:]
	}
	return nil
}

// hasHigh reports whether p holds an octet above 127.
func hasHigh(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, b := range p {
		if b > 127 {
			return true
		}
	}
	return false
}

package courier

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// A conn is one connection whose greeting and EHLO are done, or under way.
type conn struct {
	host  *host
	net   net.Conn
	guard *guard
	r     *bufio.Reader
	w     []byte // commands that wait to be written
	text  []byte // the text of the last reply

	caps      capabilities
	presented string // the client that XCLIENT named; "" for us
	helo      string // what that client called itself; "" for our own name
	tls       bool
	dirty     bool      // a transaction of which the server may still hold something: RSET first
	idle      time.Time // since when nothing happens, by the injected clock
}

// capabilities are what the answer to EHLO or LHLO offers.
type capabilities struct {
	pipelining bool // RFC 2920
	size       bool // RFC 1870
	eightBit   bool // RFC 6152
	smtpUTF8   bool // RFC 6531
	dsn        bool // RFC 3461
	startTLS   bool // RFC 3207

	xclient string // the attributes that XCLIENT takes, in words; "" when it is not offered
}

// parseCapabilities reads the lines after the first of the answer to EHLO: RFC 5321,
// section 4.1.1.1. What it does not know it passes over.
func parseCapabilities(text []byte) capabilities {
	var c capabilities
	_, lines, _ := strings.Cut(string(text), "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		keyword, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(keyword) {
		case "PIPELINING":
			c.pipelining = true
		case "SIZE":
			c.size = true
		case "8BITMIME":
			c.eightBit = true
		case "SMTPUTF8":
			c.smtpUTF8 = true
		case "DSN":
			c.dsn = true
		case "STARTTLS":
			c.startTLS = true
		case "XCLIENT":
			c.xclient = rest
		}
	}
	return c
}

// newConn wraps a fresh connection.
func newConn(h *host, nc net.Conn, g *guard) *conn {
	g.attach(nc)
	return &conn{
		host: h, net: nc, guard: g,
		r: bufio.NewReaderSize(nc, 2*maxReplyLine), // so that a line one too long can be seen
	}
}

// flush writes the waiting commands at once.
func (c *conn) flush(d time.Duration) error {
	if len(c.w) == 0 {
		return nil
	}
	c.guard.deadline(d)
	_, err := c.net.Write(c.w)
	c.w = c.w[:0]
	return c.guard.explain(err)
}

// read returns the next reply. The text of the one before is gone then.
func (c *conn) read(d time.Duration) (reply, error) {
	if c.r.Buffered() == 0 { // otherwise the deadline of the reply before holds
		c.guard.deadline(d)
	}
	rep, err := readReply(c.r, c.text)
	c.text = rep.text
	return rep, c.guard.explain(err)
}

// ask sends one command and returns its reply.
func (c *conn) ask(d time.Duration, format string, args ...any) (reply, error) {
	c.w = fmt.Appendf(c.w, format+"\r\n", args...)
	if err := c.flush(d); err != nil {
		return reply{}, err
	}
	return c.read(d)
}

// startTLS does the handshake after the server's 220.
func (c *conn) startTLS(d time.Duration, cfg *tls.Config) error {
	// RFC 3207, section 5, and CVE-2011-0411: what came in plain text behind the 220
	// must not be taken for something that was encrypted.
	if c.r.Buffered() > 0 {
		return fmt.Errorf("%w: text behind the answer to STARTTLS", errNonsense)
	}
	c.guard.deadline(d)
	tc := tls.Client(c.net, cfg)
	if err := tc.Handshake(); err != nil {
		return c.guard.explain(fmt.Errorf("TLS handshake: %w", err))
	}
	c.net, c.tls = tc, true
	c.r.Reset(tc)
	c.guard.attach(tc)
	return nil
}

// spoke reports whether the server has said something that nobody asked for, or has
// gone. Right before the final dot such words must not be mistaken for its answer.
func (c *conn) spoke() bool {
	if c.r.Buffered() > 0 {
		return true
	}
	// Below TLS, readable bytes need not be words of the server (RFC 8446, section 4.6).
	sc, ok := c.net.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	readable := false
	raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		readable = err == nil // a byte, or the end
		return true
	})
	return readable
}

// close cuts the connection.
func (c *conn) close() {
	c.guard.attach(nil)
	c.net.Close()
}

// quitTime bounds the waiting for the answer to QUIT, which nothing depends on.
const quitTime = time.Second

// quit ends the connection politely: RFC 5321, section 4.1.1.10.
func (c *conn) quit() {
	if _, err := c.ask(quitTime, "QUIT"); err != nil {
		c.host.log.Debug("connection ended without an answer to QUIT", "error", err)
	}
	c.close()
}

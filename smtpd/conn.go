package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// errStopping ends a wait for a command because the server is shutting down.
var errStopping = errors.New("server is stopping")

// A conn is one client. Everything in it belongs to the goroutine that runs serve, but
// for what mu guards.
type conn struct {
	server *Server
	ctx    context.Context // for Begin and Rcpt: ends when the server stops by force
	keep   context.Context // for Commit: never ends
	raw    net.Conn        // without TLS, for deadlines and Close
	peer   netip.Addr
	wire   wire

	via     via        // how the client reached us
	counted netip.Addr // for whom the connection counts; see Server.admit
	hop     netip.Addr // the trusted hop that speaks with us, or the zero Addr
	told    told       // what it said about its client

	login       string // who logged in with a password; empty: nobody
	loginFailed int    // log-ins that failed

	tls      *tls.ConnectionState // nil without
	helo     string               // empty: none yet
	extended bool                 // EHLO, not HELO

	mail transaction
	body body

	errors   int // wrong commands since the last mail
	refusals int // RCPT refused for good since the last mail
	junk     int // commands that lead nowhere since the last mail

	lastMail time.Time // when the last mail was kept, or the connection made
	window   time.Time // when the progress of the body under way is judged
	progress int       // octets since the window began
	inData   bool      // we are reading a body now
	overdue  reply     // what to say when the deadline in force is missed

	// refusedData says that the last reply refused DATA. A client that sent the body
	// all the same must not have it read as commands.
	refusedData bool
	// chunksFailed says that a chunk of a mail failed. What the client has sent behind
	// it is discarded: RFC 3030, section 2.
	chunksFailed bool
	closing      bool // the connection ends after the replies collected so far
	cutOff       bool // and it is we who end it

	mu       sync.Mutex
	waiting  bool // in a wait that stop may end: not in a body
	stopping bool // the server shuts down
}

// newConn makes the conn for a client that was just accepted.
func newConn(ctx context.Context, s *Server, raw net.Conn, peer netip.Addr) *conn {
	c := &conn{server: s, ctx: ctx, keep: context.WithoutCancel(ctx), raw: raw, peer: peer, lastMail: time.Now()}
	base := make([]byte, inputBase)
	c.wire = wire{conn: raw, base: base, in: base, writeTimeout: s.opts.WriteTimeout}
	c.wire.arm, c.wire.came = c.arm, c.came
	return c
}

// serve speaks with the client until one of us has enough. A bug that shows itself in a
// panic costs this connection, not the node: nobody may stop the city's mail with one
// clever octet.
func (c *conn) serve() {
	defer func() {
		if v := recover(); v != nil {
			c.server.log.panicked(v, debug.Stack())
			c.wire.append(string(replyInternal))
			c.wire.flush()
		}
		c.endMail(verdictGone)
		c.raw.Close()
		c.wire.release()
	}()
	if !c.arrive() || !c.greet() {
		return
	}
	for !c.closing {
		line, err := c.nextLine()
		if err != nil {
			c.readFailed(err)
			continue
		}
		c.command(line)
	}
	if c.wire.flush() == nil && c.cutOff {
		c.linger()
	}
}

// nextLine waits for a command.
func (c *conn) nextLine() ([]byte, error) {
	if c.wire.broken != nil {
		return nil, c.wire.broken // nobody hears us, so nothing is begun any more
	}
	if c.stopRequested() {
		return nil, errStopping
	}
	if !c.body.open {
		c.setCommandDeadline()
	}
	return c.wire.readLine()
}

// setCommandDeadline chooses until when the next command must be here.
func (c *conn) setCommandDeadline() {
	o := &c.server.opts
	now := time.Now()
	c.window, c.overdue = now.Add(o.IdleTimeout), replyTimeout
	if end := c.lastMail.Add(o.MaxWithoutMail); end.Before(c.window) {
		c.window, c.overdue = end, replyNoMail
	}
}

// startProgress begins to judge how fast a body comes.
func (c *conn) startProgress() {
	c.window, c.overdue, c.progress = time.Now().Add(c.server.opts.ProgressWindow), replyTooSlow, 0
}

// arm sets the deadline for the next read; see wire. Only here and in stop is it set.
func (c *conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping && !c.inData {
		return errStopping
	}
	c.waiting = !c.inData
	return c.raw.SetDeadline(c.window) // TLS may write while it reads
}

// came notes what a read brought; see wire.
func (c *conn) came(n int) {
	if !c.inData {
		return
	}
	c.server.metrics.octets.Add(float64(n))
	c.progress += n
	if c.progress >= c.server.opts.ProgressOctets {
		c.startProgress()
	}
}

// stop tells the client goodbye at the next moment when nothing is lost by it: at once
// when we wait for a command, else after the body.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if c.waiting {
		c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) stopRequested() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// readFailed ends the connection for the reason that a read gave, or goes on after a
// line that was too long.
func (c *conn) readFailed(err error) {
	switch {
	case errors.Is(err, errOverlong):
		c.wrong(replyOverlong)
	case errors.Is(err, errBareLF):
		c.finalReply(replyBareLF)
	case c.stopRequested():
		c.finalReply(replyClosing)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.finalReply(c.overdue)
	default:
		c.closing = true // the client is gone
	}
}

// reply answers the client.
func (c *conn) reply(r reply) { c.wire.append(string(r)) }

// finalReply answers and ends the connection.
func (c *conn) finalReply(r reply) {
	c.reply(r)
	c.closing, c.cutOff = true, true
}

// wrong answers a command that no proper client sends, and ends the connection when
// there were too many.
func (c *conn) wrong(r reply) {
	c.reply(r)
	if c.errors++; c.errors >= c.server.opts.MaxErrors {
		c.finalReply(replyErrors)
	}
}

// useless counts a command that leads to no mail. It reports whether to go on.
func (c *conn) useless() bool {
	// A hop that asks who exists for each of its clients makes many.
	if c.junk++; c.junk > c.server.opts.MaxJunk && !c.hop.IsValid() {
		c.finalReply(replyJunk)
		return false
	}
	return true
}

// greet sends the greeting: RFC 5321, section 4.3.1. It refuses who talks before it.
func (c *conn) greet() bool {
	o := &c.server.opts
	if o.GreetDelay > 0 && !c.server.trusts(c.peer) && !c.hop.IsValid() {
		c.window = time.Now().Add(o.GreetDelay)
		if err := c.wire.fill(); !errors.Is(err, os.ErrDeadlineExceeded) || c.stopRequested() {
			c.refuseEarly(err)
			return false
		}
	}
	c.welcome()
	return true
}

// welcome appends the greeting.
func (c *conn) welcome() { c.wire.append("220 ", c.server.opts.Hostname, " ESMTP\r\n") }

// refuseEarly answers a client that talked, or is to go, before the greeting.
func (c *conn) refuseEarly(err error) {
	switch {
	case c.stopRequested():
		c.reply(replyClosing)
	case err != nil:
		return // gone
	case c.server.opts.EarlyTalkerTryLater:
		c.reply(replyEarlyLater)
	default:
		c.reply(replyEarly)
	}
	if err == nil {
		c.server.metrics.early.Inc()
	}
	if c.wire.flush() == nil {
		c.linger()
	}
}

const (
	// lingerTime and lingerOctets bound how long and how much we listen to a client
	// that we have said the last word to.
	lingerTime   = time.Second
	lingerOctets = 1 << 20
)

// linger lets the client read our last reply. A socket that is closed with unread
// input is reset, and the reset may overtake the reply.
func (c *conn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.window, c.inData = time.Now().Add(lingerTime), false
	c.wire.r, c.wire.w = 0, 0
	for got := 0; got < lingerOctets; got += c.wire.w {
		c.wire.r, c.wire.w = 0, 0
		if c.wire.fill() != nil {
			return
		}
	}
}

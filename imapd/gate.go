package imapd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// longestLine bounds a line of a command, in bytes: imapserver takes 50 KB of a command.
	longestLine = 52 << 10
	// mostLiterals bounds the literals of one command together, less an appended mail, in
	// bytes: imapserver bounds each, and not how many.
	mostLiterals = 64 << 10
	// mostUnasked bounds a literal that the client does not wait with: LITERAL-, RFC 7888.
	mostUnasked = 4096
	// writeBuffer is how much is written at once: one record of TLS.
	writeBuffer = 16 << 10
	// writePiece is how much a client must take in Options.WriteTime: over the poorest line
	// that is little, and of a large mail it is not asked for more.
	writePiece = 4 * writeBuffer
)

// A gate stands between a client's line and imapserver, which reads commands from it and
// writes answers to it. It hands over one line or literal at a time, so that it knows
// where commands begin, and does what imapserver leaves out:
//
//   - it answers ID (RFC 2971), and says so in CAPABILITY;
//   - it bounds lines, all literals of a command together, and every wait;
//   - when imapserver refuses a command before its literal, it keeps the literal, which may
//     be a stranger's mail, from being read as commands;
//   - it says a condition of SEARCH that imapserver loses in other words;
//   - it gathers answers until the client is read from again;
//   - it ends idle connections with a BYE when the server stops.
//
// It fulfils net.Conn. Read is called by one goroutine, Write by two while a client idles.
type gate struct {
	conn   *tls.Conn
	server *Server
	peer   netip.Addr
	agent  string // what the client says it is; hostile
	cancel context.CancelFunc

	// Of the reading goroutine:
	in      *bufio.Reader // nil while nothing is buffered and the client idles
	rest    []byte        // of a line: what imapserver has not read yet
	line    []byte        // the line itself
	literal int64         // octets of a literal that imapserver may read now
	asked   *literal      // a literal whose fate imapserver decides
	sum     int64         // of literals of this command
	inside  bool          // in the middle of a command
	keys    *keyReader    // of the running command, where it is a SEARCH

	mu       sync.Mutex // of what follows
	command  string     // the running one, in upper case; only the reading goroutine sets it
	out      []byte     // not written yet
	wrote    bool       // something since the last line was handed over
	plus     bool       // the first of it was "+"
	over     bool       // everything was said
	through  bool       // answers go out at once: the client idles
	stopping bool
	bye      string // why it is to end

	waiting atomic.Bool // it has not logged in
	until   time.Time   // when it must have logged in
	once    sync.Once
}

// A literal is what stands at the end of a line: RFC 9051, section 4.3.
type literal struct {
	size    int64
	unasked bool // the client does not wait for the "+"
}

// greeting stands for the command before the first one.
const greeting = "(greeting)"

// errEnded ends a connection to which everything has been said.
var errEnded = errors.New("imapd: the connection was ended")

// Read implements net.Conn: at most one line, or a part of a literal.
func (g *gate) Read(p []byte) (int, error) {
	for {
		g.mu.Lock()
		over := g.over
		g.mu.Unlock()
		if over {
			return 0, io.EOF
		}
		if n := copy(p, g.rest); n > 0 {
			g.rest = g.rest[n:]
			return n, nil
		}
		if g.asked != nil {
			if err := g.decide(); err != nil {
				return 0, err
			}
			continue
		}
		if g.literal > 0 {
			n, err := g.fill(p[:min(int64(len(p)), g.literal)])
			g.literal -= int64(n)
			return n, err
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
}

// decide finds out whether imapserver wants the literal that was announced: it has said
// "+", or, where it need not ask, nothing. Otherwise it has refused the command.
func (g *gate) decide() error {
	lit := *g.asked
	g.asked = nil
	g.mu.Lock()
	wanted := !g.wrote
	if !lit.unasked {
		wanted = g.wrote && g.plus
	}
	g.mu.Unlock()
	switch {
	case wanted:
		g.literal = lit.size
		return nil
	case lit.unasked:
		return g.pass(lit.size)
	}
	g.inside = false // a client that waits for "+" sends nothing
	return nil
}

// pass reads the rest of a refused command and throws it away.
func (g *gate) pass(size int64) error {
	for {
		if err := g.discard(size); err != nil {
			return err
		}
		line, err := g.readLine()
		if err != nil {
			return err
		}
		lit := literalAt(line)
		if lit == nil || !lit.unasked {
			g.inside = false
			return nil
		}
		if size = lit.size; size > mostUnasked {
			return g.kick("A literal is too large.")
		}
	}
}

// next reads the next line and says what is to become of it.
func (g *gate) next() error {
	line, err := g.readLine()
	if err != nil {
		return err
	}
	if !g.inside {
		g.sum = 0
		tag, name := words(line)
		switch {
		case name == "ID":
			g.inside = true
			return g.answerID(tag, line)
		case name == "" && g.command == "AUTHENTICATE": // the client's answer to our "+"
			name = g.command
		}
		g.mu.Lock()
		g.command = name
		g.mu.Unlock()
	}
	line = g.conditions(line)
	lit := literalAt(line)
	if lit != nil {
		if wanted, err := g.bound(lit, line); !wanted || err != nil {
			return err
		}
	}
	g.inside, g.asked = lit != nil, lit
	g.mu.Lock()
	g.wrote, g.plus, g.through = false, false, g.command == "IDLE"
	g.mu.Unlock()
	g.rest = line
	return nil
}

// conditions returns a line as imapserver is to read it.
func (g *gate) conditions(line []byte) []byte {
	at := 0
	if !g.inside {
		if g.keys, at = nil, searchKeys(line); at > 0 {
			g.keys = &keyReader{}
		}
	}
	if g.keys == nil {
		return line
	}
	return g.keys.line(line, at)
}

// bound reports whether a literal is one that imapserver may hear of.
func (g *gate) bound(lit *literal, line []byte) (bool, error) {
	switch {
	case lit.unasked && lit.size > mostUnasked:
		return false, g.kick("A literal is too large.")
	case g.command == "APPEND" && (g.inside || bytes.Count(line, []byte(" ")) > 2): // a mail; its size is bounded elsewhere
		return true, nil
	case lit.size > mostUnasked && g.inside:
		return false, g.kick("A literal is too large.")
	case lit.size > mostUnasked: // imapserver would wait for it although it has refused it
		tag, _ := words(line)
		g.say(tag + " NO [TOOBIG] Literals are limited to 4096 bytes for this command\r\n")
		return false, nil
	}
	if g.sum += lit.size; g.sum > mostLiterals {
		return false, g.kick("A command is too large.")
	}
	return true, nil
}

// words returns the first two words of a command, the second in upper case.
func words(line []byte) (tag, name string) {
	tag, rest, _ := strings.Cut(strings.TrimRight(string(line[:min(len(line), 200)]), "\r\n"), " ")
	name, _, _ = strings.Cut(rest, " ")
	return tag, strings.ToUpper(name)
}

// literalAt returns the literal that follows a line, or nil.
func literalAt(line []byte) *literal {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if !bytes.HasSuffix(line, []byte("}")) {
		return nil
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return nil
	}
	digits, unasked := bytes.CutSuffix(line[open+1:len(line)-1], []byte("+"))
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || size < 0 {
		return nil
	}
	return &literal{size, unasked}
}

// answerID answers ID: RFC 2971. Of what a client tells of itself a short beginning is
// kept, for account's list of devices.
func (g *gate) answerID(tag string, line []byte) error {
	if strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r > '~' }) || tag == "" || tag == "+" {
		return g.kick("A command has no tag.")
	}
	_, said, _ := strings.Cut(string(line), " ")
	for {
		lit := literalAt(line)
		if lit == nil {
			break
		}
		if g.sum += lit.size; g.sum > mostLiterals || lit.unasked && lit.size > mostUnasked {
			return g.kick("A command is too large.")
		}
		if !lit.unasked {
			g.say("+ Ready\r\n")
		}
		if err := g.discard(lit.size); err != nil {
			return err
		}
		var err error
		if line, err = g.readLine(); err != nil {
			return err
		}
	}
	g.inside = false
	if g.agent == "" {
		g.agent = strings.ToValidUTF8(strings.TrimSpace(strings.TrimPrefix(said[min(2, len(said)):min(len(said), 120)], " ")), "")
	}
	g.say("* ID (\"name\" \"Doppelboden\")\r\n" + tag + " OK ID completed\r\n")
	return nil
}

// readLine reads a line with its end, of at most longestLine bytes.
func (g *gate) readLine() ([]byte, error) {
	g.line = g.line[:0]
	for {
		if err := g.ready(); err != nil {
			return nil, err
		}
		part, err := g.in.ReadSlice('\n')
		g.line = append(g.line, part...)
		if len(g.line) > longestLine {
			return nil, g.kick("A line is too long.")
		}
		if err == nil {
			line := g.line
			if cap(line) > 4096 {
				g.line = nil // long lines are rare, connections are many
			}
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, g.readFailed(err)
		}
	}
}

// fill reads some octets of a literal.
func (g *gate) fill(p []byte) (int, error) {
	if err := g.ready(); err != nil {
		return 0, err
	}
	n, err := g.in.Read(p)
	if err != nil {
		return n, g.readFailed(err)
	}
	return n, nil
}

// discard reads octets and throws them away.
func (g *gate) discard(n int64) error {
	for n > 0 {
		if err := g.ready(); err != nil {
			return err
		}
		got, err := g.in.Discard(int(min(n, 4096)))
		n -= int64(got)
		if err != nil {
			return g.readFailed(err)
		}
	}
	return nil
}

// ready makes sure that something can be read: what was gathered is written first, and
// the wait is bounded.
func (g *gate) ready() error {
	if g.in.Buffered() > 0 {
		return nil
	}
	if err := g.flush(); err != nil {
		return err
	}
	now := time.Now()
	until := now.Add(g.server.opts.IdleTime)
	if g.inside {
		until = now.Add(g.server.opts.CommandTime)
	}
	if g.waiting.Load() && until.After(g.until) {
		until = g.until
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping || g.bye != "" {
		g.farewell()
		return errEnded
	}
	return g.conn.SetReadDeadline(until)
}

// readFailed says good-bye where somebody may still listen.
func (g *gate) readFailed(err error) error {
	var late net.Error
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopping || g.bye != "":
	case errors.As(err, &late) && late.Timeout():
		g.bye = "You were silent for too long."
	default:
		return err
	}
	g.farewell()
	return io.ErrUnexpectedEOF
}

// Write implements net.Conn: it gathers what imapserver answers.
func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return 0, errEnded
	}
	if !g.wrote {
		g.wrote, g.plus = true, bytes.HasPrefix(p, []byte("+ "))
	}
	n := len(p)
	if err := g.pour(g.withID(p)); err != nil {
		return 0, err
	}
	if g.through {
		if err := g.flushLocked(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// pour gathers p and writes the records that are full. The caller holds mu.
func (g *gate) pour(p []byte) error {
	for len(g.out)+len(p) >= writeBuffer {
		full := p[:len(p)/writeBuffer*writeBuffer] // what needs not to be gathered
		if len(g.out) > 0 {
			n := max(0, writeBuffer-len(g.out)) // what we said ourselves may be more
			g.gather(p[:n])
			full, p = g.out, p[n:]
			g.out = g.out[:0]
		} else {
			p = p[len(full):]
		}
		if err := g.put(full); err != nil {
			return err
		}
	}
	g.gather(p)
	return nil
}

// put writes p. The caller holds mu.
func (g *gate) put(p []byte) error {
	for len(p) > 0 {
		if err := g.conn.SetWriteDeadline(time.Now().Add(g.server.opts.WriteTime)); err != nil {
			return err
		}
		n, err := g.conn.Write(p[:min(len(p), writePiece)])
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// withID adds ID to the capabilities. Answers to these commands hold no words of strangers.
func (g *gate) withID(p []byte) []byte {
	switch g.command {
	case greeting, "CAPABILITY", "LOGIN", "AUTHENTICATE":
		return bytes.Replace(p, []byte("CAPABILITY IMAP4rev2 IMAP4rev1"), []byte("CAPABILITY IMAP4rev2 IMAP4rev1 ID"), 1)
	}
	return p
}

// say writes something of our own.
func (g *gate) say(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gather([]byte(text))
}

// gather adds to what is written later. The caller holds mu.
func (g *gate) gather(p []byte) {
	if g.out == nil {
		g.out, _ = g.server.buffers.Get().([]byte)
	}
	g.out = append(g.out, p...)
}

// flush writes what was gathered.
func (g *gate) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flushLocked()
}

func (g *gate) flushLocked() error {
	if len(g.out) == 0 {
		return nil
	}
	err := g.put(g.out)
	if cap(g.out) <= 4*writeBuffer {
		g.server.buffers.Put(g.out[:0])
	}
	g.out = nil // whoever waits needs no buffer
	return err
}

// kick ends the connection of a client that does what none does.
func (g *gate) kick(why string) error {
	g.end(why)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.farewell()
	return errEnded
}

// end has the connection end at its next look at the client.
func (g *gate) end(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bye == "" {
		g.bye = why
	}
	_ = g.conn.SetReadDeadline(time.Unix(1, 0)) // wakes it where it waits for the client
}

// stop is end for a server that stops.
func (g *gate) stop() {
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	g.end(sayEnds)
}

// farewell writes the BYE. The caller holds mu.
func (g *gate) farewell() {
	if g.over {
		return
	}
	g.over = true
	if g.bye == "" {
		g.bye = sayEnds
	}
	g.gather([]byte("* BYE " + g.bye + "\r\n"))
	_ = g.flushLocked() // nobody may be there to hear it
}

// loggedIn ends the time in which a client must have logged in.
func (g *gate) loggedIn() {
	if g.waiting.CompareAndSwap(true, false) {
		g.server.notWaiting(g)
	}
}

// Close implements net.Conn.
func (g *gate) Close() error {
	g.mu.Lock()
	if g.bye != "" {
		g.farewell()
	}
	err := g.flushLocked()
	g.mu.Unlock()
	g.once.Do(func() {
		g.cancel()
		if closed := g.conn.Close(); err == nil {
			err = closed
		}
		g.server.closed(g)
	})
	return err
}

// The deadlines are the gate's own: imapserver's would let a slow client in for ever, and
// give a large mail over a poor line too little time.

// SetDeadline implements net.Conn.
func (g *gate) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (g *gate) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (g *gate) LocalAddr() net.Addr { return g.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (g *gate) RemoteAddr() net.Addr { return g.conn.RemoteAddr() }

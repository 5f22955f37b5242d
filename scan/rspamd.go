package scan

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// maxRspamdReply bounds an answer with its header, in bytes. Some symbols list every
	// link of a mail; more than this is no answer but an attack on our memory.
	maxRspamdReply = 1 << 20
	// maxRcpt is how many recipients rspamd is told of: rules look at the first few.
	maxRcpt = 20
	// keepIdle is how long a connection that rspamd left open is kept.
	keepIdle = 10 * time.Second
	// maxIdle is how many of them are kept.
	maxIdle = 32
	// maxSymbols is how many names of rules a result keeps, those with the most weight.
	maxSymbols = 12
)

// An rspamd is one rspamd worker "normal", or something that speaks like it. It speaks
// HTTP/1.1 itself: a mail goes out with its header in one write, and no goroutine stands
// between us and the deadline. rspamd's own worker ends the connection after each
// answer; a proxy before it may not, and then it is kept.
type rspamd struct {
	addr   string // host:port
	path   string // before /checkv2, without a slash at its end
	name   string // what we call ourselves
	dialer net.Dialer

	mu   sync.Mutex
	idle []*rspamdConn // the one used last at the end
}

// An rspamdConn is a connection with its reader.
type rspamdConn struct {
	net.Conn
	limit io.LimitedReader // over Conn, refilled for every answer
	r     *bufio.Reader    // over limit
	since time.Time        // idle since
}

// scan sends a mail to rspamd.
func (c *rspamd) scan(ctx context.Context, m *Mail) (report, error) {
	for {
		conn := c.kept()
		status, body, err := c.ask(ctx, conn, m)
		if err != nil && conn != nil && errors.Is(err, errStale) && ctx.Err() == nil {
			continue // it had been closed while it was idle
		}
		if err != nil {
			return report{}, err
		}
		switch status {
		case http.StatusOK:
			return parseRspamd(body)
		case http.StatusRequestEntityTooLarge:
			return report{}, errTooLarge
		}
		return report{}, fmt.Errorf("rspamd answers with status %d: %s", status, brief(body))
	}
}

// errStale marks a kept connection that ended before an answer began.
var errStale = errors.New("the kept connection had ended")

// ask sends a mail over conn, or over a new connection when conn is nil.
func (c *rspamd) ask(ctx context.Context, conn *rspamdConn, m *Mail) (int, []byte, error) {
	body, err := m.Open()
	if err != nil {
		return 0, nil, &mailError{fmt.Errorf("open the mail: %w", err)}
	}
	defer body.Close()
	return c.once(ctx, conn, m, io.LimitReader(body, m.Size))
}

// header writes the head of a request: rspamd's protocol, "HTTP headers".
func (c *rspamd) header(b []byte, m *Mail) []byte {
	b = append(b, "POST "...)
	b = append(append(b, c.path...), "/checkv2 HTTP/1.1\r\nHost: "...)
	b = append(append(b, c.addr...), "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, m.Size, 10)
	b = append(b, "\r\n"...)
	field := func(name, value string) {
		if value != "" {
			b = append(append(b, name...), ": "...)
			b = append(append(b, line(value)...), "\r\n"...)
		}
	}
	field("Queue-Id", m.ID)
	field("From", m.Sender)
	for _, r := range m.Recipients[:min(len(m.Recipients), maxRcpt)] {
		field("Rcpt", r)
	}
	field("IP", m.Peer)
	field("Hostname", m.PeerName)
	field("Helo", m.Helo)
	field("User", m.User)
	field("MTA-Name", c.name)
	return append(b, "\r\n"...)
}

// once makes one request and reads its answer.
func (c *rspamd) once(ctx context.Context, conn *rspamdConn, m *Mail, body io.Reader) (status int, answer []byte, err error) {
	old := conn != nil
	if !old {
		nc, err := c.dialer.DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return 0, nil, fmt.Errorf("connect: %w", err)
		}
		conn = &rspamdConn{Conn: nc, limit: io.LimitedReader{R: nc}}
		conn.r = bufio.NewReader(&conn.limit)
	}
	release := guard(ctx, conn.Conn)
	keep := false
	defer func() {
		release()
		if keep && ctx.Err() == nil {
			c.keep(conn)
			return
		}
		conn.Close()
	}()
	sending := c.send(conn, m, body)
	var unreadable *mailError
	if errors.As(sending, &unreadable) {
		return 0, nil, sending
	}
	if sending != nil && ctx.Err() == nil {
		conn.SetReadDeadline(time.Now().Add(replyGrace)) // it may have said why
	}
	conn.limit.N = maxRspamdReply
	if _, err := conn.r.Peek(1); err != nil {
		if old && !timedOut(err) {
			return 0, nil, errors.Join(errStale, sending, err)
		}
		return 0, nil, brokeOff(m, sending, fmt.Errorf("read the answer: %w", noEOF(err)))
	}
	status, answer, keep, err = conn.answer()
	if sending != nil && err == nil && status == http.StatusOK {
		err = fmt.Errorf("answered before it had the mail: %w", sending)
	}
	keep = keep && sending == nil && err == nil
	return status, answer, err
}

// answer reads a response and whether the connection can be kept.
func (c *rspamdConn) answer() (status int, body []byte, keep bool, err error) {
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, nil, false, fmt.Errorf("read the answer: %w", noEOF(err))
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if c.limit.N <= 0 {
		return 0, nil, false, fmt.Errorf("the answer is longer than %d bytes", maxRspamdReply)
	}
	if err != nil {
		return 0, nil, false, fmt.Errorf("read the answer: %w", err)
	}
	return res.StatusCode, body, !res.Close && c.r.Buffered() == 0, nil
}

// noEOF makes clear that an end came too early.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// send writes a request; its head shares the first write with the beginning of the body.
func (c *rspamd) send(w io.Writer, m *Mail, body io.Reader) error {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	out := c.header((*buf)[:0], m)
	for {
		if len(out) == cap(out) { // a head of that length has room for no body
			out = slices.Grow(out, chunkSize)
		}
		n, err := io.ReadFull(body, out[len(out):cap(out)])
		out = out[:len(out)+n]
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return &mailError{fmt.Errorf("read the mail: %w", err)}
		}
		if _, err := w.Write(out); err != nil {
			return fmt.Errorf("send the mail: %w", err)
		}
		if last {
			return nil
		}
		out = out[:0]
	}
}

// kept returns a connection that was kept, or nil.
func (c *rspamd) kept() *rspamdConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := len(c.idle); n > 0; n = len(c.idle) {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		if time.Since(conn.since) < keepIdle {
			return conn
		}
		conn.Close()
	}
	return nil
}

// keep puts a connection aside for the next request.
func (c *rspamd) keep(conn *rspamdConn) {
	conn.SetDeadline(time.Time{})
	conn.since = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= maxIdle {
		c.idle[0].Close()
		c.idle = slices.Delete(c.idle, 0, 1)
	}
	c.idle = append(c.idle, conn)
}

// close ends the connections that are kept.
func (c *rspamd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
}

// An rspamdAnswer is what we read of the answer of /checkv2.
type rspamdAnswer struct {
	Action   string   `json:"action"`
	Score    *float64 `json:"score"`
	Required float64  `json:"required_score"`
	Symbols  map[string]struct {
		Score float64 `json:"score"`
	} `json:"symbols"`
}

// parseRspamd reads the answer of /checkv2. An action that nobody knows, or none, is
// trouble.
func parseRspamd(body []byte) (report, error) {
	var a rspamdAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return report{}, fmt.Errorf("not an answer of rspamd: %w: %s", err, brief(body))
	}
	if a.Score == nil {
		return report{}, fmt.Errorf("an answer of rspamd without a score: %s", brief(body))
	}
	r := report{score: *a.Score, required: a.Required, action: a.Action}
	switch a.Action {
	case "no action", "greylist":
		// Greylisting would make the sender keep what we can keep ourselves; the score
		// stands in the header for who wants it.
		r.state = clean
	case "add header", "rewrite subject", "reject", "quarantine", "discard":
		r.state = spam
	case "soft reject":
		// "Try again later": a limit of rspamd's, or a scanner behind it that failed. We
		// can do that ourselves, without the sender.
		return report{}, errLater
	default:
		return report{}, fmt.Errorf("rspamd answers with the unknown action %s", brief([]byte(a.Action)))
	}
	r.symbols = heaviest(a)
	return r, nil
}

// heaviest returns the names of the rules that weigh most, without their sign.
func heaviest(a rspamdAnswer) []string {
	names := make([]string, 0, len(a.Symbols))
	for name := range a.Symbols {
		if isSymbol(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(math.Abs(a.Symbols[y].Score), math.Abs(a.Symbols[x].Score)), cmp.Compare(x, y))
	})
	return names[:min(len(names), maxSymbols)]
}

// isSymbol reports whether a name can stand in a header field as it is.
func isSymbol(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// An Arrival is one mail that a Receiver took.
type Arrival struct {
	ID     string   // from the line X-Load-Id; empty when there is none
	From   string   // reverse-path
	To     []string // recipients
	Sum    [32]byte // SHA-256 from the line X-Load-Id to the end
	Prefix []byte   // what stood above that line
	Size   int      // octets in all
	At     time.Time
}

// A Receiver takes every mail over SMTP or LMTP and remembers it. It holds no bodies.
type Receiver struct {
	LMTP bool   // answer once for each recipient (RFC 2033)
	Addr string // host:port to listen on; empty before Start: a free port; after Start: where it listens

	listener net.Listener
	sessions sync.WaitGroup

	mu       sync.Mutex
	arrivals []Arrival
	open     map[net.Conn]bool
	more     chan struct{} // closed and made anew with every arrival
}

// Start listens and takes mail until Stop.
func (r *Receiver) Start() error {
	if r.Addr == "" {
		r.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", r.Addr)
	if err != nil {
		return fmt.Errorf("start receiver: %w", err)
	}
	r.Addr, r.listener = l.Addr().String(), l
	r.open, r.more = map[net.Conn]bool{}, make(chan struct{})
	r.sessions.Go(r.accept)
	return nil
}

// Stop closes everything and waits until nothing of it runs. What arrived stays known.
func (r *Receiver) Stop() {
	r.listener.Close()
	r.mu.Lock()
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.sessions.Wait()
}

func (r *Receiver) accept() {
	for {
		c, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		r.mu.Lock()
		r.open[c] = true
		r.mu.Unlock()
		r.sessions.Go(func() {
			r.session(c)
			c.Close()
			r.mu.Lock()
			delete(r.open, c)
			r.mu.Unlock()
		})
	}
}

// Arrivals returns all that arrived, in the order in which the final dots came.
func (r *Receiver) Arrivals() []Arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arrivals[:len(r.arrivals):len(r.arrivals)]
}

// Wait waits until done says of what has arrived that it is enough, or ctx ends.
func (r *Receiver) Wait(ctx context.Context, done func([]Arrival) bool) error {
	for {
		r.mu.Lock()
		more := r.more
		r.mu.Unlock()
		if done(r.Arrivals()) {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("wait for mails, %d have arrived: %w", len(r.Arrivals()), ctx.Err())
		}
	}
}

// WaitFor waits until n mails have arrived.
func (r *Receiver) WaitFor(ctx context.Context, n int) error {
	return r.Wait(ctx, func(a []Arrival) bool { return len(a) >= n })
}

// keep remembers a mail.
func (r *Receiver) keep(a Arrival, data []byte) {
	a.Size, a.At = len(data), time.Now()
	at := bytes.Index(data, []byte(idHeader))
	if at > 0 && data[at-1] != '\n' {
		at = -1 // somebody mentions it in the middle of a line
	}
	if at >= 0 {
		line, _, _ := bytes.Cut(data[at+len(idHeader):], []byte("\r\n"))
		a.ID, a.Prefix, a.Sum = string(line), bytes.Clone(data[:at]), sha256.Sum256(data[at:])
	}
	r.mu.Lock()
	r.arrivals = append(r.arrivals, a)
	close(r.more)
	r.more = make(chan struct{})
	r.mu.Unlock()
}

// session speaks with one client (RFC 5321, RFC 2033), as much as it takes to get mail.
func (r *Receiver) session(c net.Conn) {
	in, out := bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
	say := func(line string) bool {
		out.WriteString(line + "\r\n")
		if in.Buffered() > 0 {
			return true // RFC 2920, section 3.2: answers to a pipeline go out together
		}
		return out.Flush() == nil
	}
	say("220 receiver.test")
	var a Arrival
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		answer := "250 2.0.0 OK"
		switch strings.ToUpper(verb) {
		case "EHLO", "LHLO":
			answer = "250-receiver.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 SIZE 64000000"
		case "MAIL":
			a = Arrival{From: path(rest)}
		case "RCPT":
			a.To = append(a.To, path(rest))
		case "RSET":
			a = Arrival{}
		case "DATA":
			answer = r.data(in, out, a)
			if answer == "" {
				return
			}
			a = Arrival{}
		case "QUIT":
			say("221 2.0.0 bye")
			out.Flush()
			return
		case "HELO", "NOOP":
		default:
			answer = "500 5.5.1 unknown"
		}
		if !say(answer) {
			return
		}
	}
}

// data reads a mail and returns the answer, or "" when the client is gone.
func (r *Receiver) data(in *bufio.Reader, out *bufio.Writer, a Arrival) string {
	if len(a.To) == 0 {
		return "503 5.5.1 no recipient"
	}
	out.WriteString("354 go on\r\n")
	if out.Flush() != nil {
		return ""
	}
	var data []byte
	for atLineStart := true; ; {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return ""
		}
		if atLineStart && string(line) == ".\r\n" {
			break
		}
		if atLineStart && len(line) > 0 && line[0] == '.' {
			line = line[1:] // RFC 5321, section 4.5.2
		}
		data = append(data, line...)
		atLineStart = bytes.HasSuffix(data, []byte("\r\n"))
	}
	answers := []string{"250 2.0.0 taken"}
	if r.LMTP {
		answers = nil
		for range a.To {
			answers = append(answers, "250 2.0.0 taken")
		}
	}
	r.keep(a, data)
	return strings.Join(answers, "\r\n")
}

// path returns the address in "FROM:<a@b> …" or "TO:<a@b> …".
func path(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

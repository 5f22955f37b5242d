package courier_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doppelboden"
	"doppelboden/courier"
)

// TestMain fails the package's tests when one of them leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bodies is a cellar that holds one body for every segment name.
type bodies map[string]string

// errDamaged is what a damaged body ends in.
var errDamaged = errors.New("checksum does not match")

func (b bodies) Reader(_ doppelboden.TenantID, body doppelboden.Body) (io.ReadCloser, error) {
	text, ok := b[body.Segment]
	if !ok {
		return nil, errors.New("no such segment")
	}
	if strings.HasPrefix(body.Segment, "damaged") {
		return io.NopCloser(io.MultiReader(strings.NewReader(text), broken{})), nil
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// broken is a reader that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errDamaged }

// message returns a message whose body lies in b under name.
func (b bodies) message(name, text string, to ...string) courier.Job {
	b[name] = text
	m := &doppelboden.Message{
		ID: doppelboden.FirstIDAt(time.Unix(1_700_000_000, 0)), Tenant: 1,
		Sender: address("anna@sender.example"),
		Prefix: []byte("Received: from a by b with ESMTP id 019aaaaa; date\r\n"),
		Body:   doppelboden.Body{Segment: name, Size: int64(len(text))},
	}
	j := courier.Job{Message: m}
	for n, addr := range to {
		j.Deliveries = append(j.Deliveries, doppelboden.Delivery{
			Message: m.ID, N: n, Tenant: 1, Recipient: address(addr),
		})
	}
	return j
}

// address reads an address that a test knows to be right.
func address(s string) doppelboden.Address {
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		panic(fmt.Sprintf("address %q: %v", s, err))
	}
	return a
}

// logbook is a Tally that remembers what it was told, in order.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Attempt(refs []doppelboden.Ref, route string, _ time.Time) {
	l.add("attempt %s", route)
	for _, r := range refs {
		l.add("for %d", r.N)
	}
}

func (l *logbook) Answer(o doppelboden.Outcome) {
	l.add("answer %d %s doubt=%v", o.Ref.N, o.Verdict, o.InDoubt)
}

func (l *logbook) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "; ")
}

// brief says an outcome in one line, without what changes from run to run.
func brief(o doppelboden.Outcome) string {
	s := fmt.Sprintf("%d %s about %s at %s", o.Ref.N, o.Verdict, o.Scope, o.Phase)
	if o.Reply.Code != 0 {
		s += fmt.Sprintf(" %d", o.Reply.Code)
	}
	if o.Reply.Enhanced != "" {
		s += " " + o.Reply.Enhanced
	}
	if o.InDoubt {
		s += " in doubt"
	}
	return s
}

// briefs says several outcomes.
func briefs(outcomes []doppelboden.Outcome) string {
	var b strings.Builder
	for i, o := range outcomes {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(brief(o))
	}
	return b.String()
}

// A rawServer takes connections and gives each to a function of the test.
type rawServer struct {
	l     net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

// newRawServer listens until the test ends. serve gets connections numbered from 0.
func newRawServer(t testing.TB, serve func(n int, c net.Conn)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	s := &rawServer{l: l}
	s.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(time.Minute)) // a test that waits in vain fails
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wg.Go(func() { serve(n, c); c.Close() })
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *rawServer) addr() string { return s.l.Addr().String() }

// close ends everything and waits.
func (s *rawServer) close() {
	s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// nullServer is the fastest server there can be: it answers commands by counting them
// and the end of a mail by looking for it.
func nullServer(_ int, c net.Conn) {
	io.WriteString(c, "220 null\r\n")
	buf := make([]byte, 0, 1<<20)
	chunk := make([]byte, 256<<10)
	inMail := false
	for {
		n, err := c.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for more := true; more; {
			if inMail {
				i := bytes.Index(buf, []byte("\r\n.\r\n"))
				if more = i >= 0; more {
					buf = append(buf[:0], buf[i+5:]...)
					inMail = false
					io.WriteString(c, "250 2.0.0 Ok: queued as ABCDEF\r\n")
				} else if len(buf) > 4 {
					buf = append(buf[:0], buf[len(buf)-4:]...)
				}
				continue
			}
			var out []byte
			for !inMail {
				i := bytes.IndexByte(buf, '\n')
				if i < 0 {
					break
				}
				switch {
				case bytes.HasPrefix(buf, []byte("EHLO")):
					out = append(out, "250-null\r\n250-PIPELINING\r\n250 8BITMIME\r\n"...)
				case bytes.HasPrefix(buf, []byte("DATA")):
					out = append(out, "354 go\r\n"...)
					inMail = true
				default:
					out = append(out, "250 2.1.0 Ok\r\n"...)
				}
				buf = append(buf[:0], buf[i+1:]...)
			}
			c.Write(out)
			more = inMail && len(buf) > 0
		}
	}
}

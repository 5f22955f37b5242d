package scan

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"

	"github.com/prometheus/client_golang/prometheus"
)

const tenant = doppelboden.TenantID(1)

// newStation returns a station with one plan, which probes until the test ends.
func newStation(t testing.TB, p Plan) (*Station, chan struct{}) {
	t.Helper()
	back := make(chan struct{}, 100)
	s, err := NewStation(Options{Hostname: "mx.stadt.example", Log: slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(), Back: func() {
			select {
			case back <- struct{}{}:
			default:
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Deadline == 0 {
		p.Deadline = 10 * time.Second
	}
	if err := s.Configure(map[doppelboden.TenantID]*Plan{tenant: &p}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Configure(nil); err != nil {
			t.Error(err)
		}
	})
	return s, back
}

// mailText makes a Mail of a text.
func mailText(text string) *Mail {
	return &Mail{
		ID: "019aaaaa-0000-7000-8000-000000000000", Peer: "192.0.2.1", PeerName: "mail.fremd.example", Helo: "mail.fremd.example",
		Sender: "a@fremd.example", Recipients: []string{"anna@stadt.example"}, Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

const plainMail = "From: a@fremd.example\r\nTo: anna@stadt.example\r\nSubject: hello\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@fremd.example>\r\n\r\nhello\r\n"

// A fakeConn is a connection of a fake, with what tells that the test has ended.
type fakeConn struct {
	*net.TCPConn
	over chan struct{}
}

// A fake is a server that does with every connection as it is told.
type fake struct {
	net.Listener
	conns atomic.Int64
	work  sync.WaitGroup
}

// newFake serves until the test ends.
func newFake(t testing.TB, do func(c *fakeConn)) *fake {
	t.Helper()
	return newFakeAt(t, "127.0.0.1:0", do)
}

func newFakeAt(t testing.TB, addr string, do func(c *fakeConn)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Listener: l}
	var mu sync.Mutex
	open, over := map[net.Conn]bool{}, make(chan struct{})
	f.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.conns.Add(1)
			mu.Lock()
			open[c] = true
			mu.Unlock()
			f.work.Go(func() {
				do(&fakeConn{c.(*net.TCPConn), over})
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(over)
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		f.work.Wait()
	})
	return f
}

// caughtUp waits until everybody who has connected is counted: they are taken in their order.
// The fake must wait for the end of its connections.
func (f *fake) caughtUp(t testing.TB) {
	t.Helper()
	c, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
}

// url is its address as a scanner of a kind.
func (f *fake) url(kind string) string {
	if kind == Rspamd {
		return "http://" + f.Addr().String()
	}
	return "tcp://" + f.Addr().String()
}

// planOf is a plan with one scanner.
func planOf(kind, addr string) Plan {
	if kind == Rspamd {
		return Plan{Rspamd: []string{addr}}
	}
	return Plan{ClamAV: []string{addr}}
}

// drain reads the request of a scanner of a kind to its end.
func drain(kind string, c net.Conn) bool {
	if kind == Rspamd {
		return drainHTTP(c)
	}
	return drainStream(c)
}

// drainStream reads one INSTREAM.
func drainStream(c net.Conn) bool { return drainStreamTo(c, io.Discard) }

// drainStreamTo writes what came in one INSTREAM.
func drainStreamTo(c net.Conn, w io.Writer) bool {
	head := make([]byte, 10)
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "zINSTREAM\x00" {
		return false
	}
	var size [4]byte
	for {
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return false
		}
		n := int64(size[0])<<24 | int64(size[1])<<16 | int64(size[2])<<8 | int64(size[3])
		if n == 0 {
			return true
		}
		if _, err := io.CopyN(w, c, n); err != nil {
			return false
		}
	}
}

package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
)

// A pipe is a line within the test, whose clock is that of the test.
type pipe struct{ net.Conn }

// RemoteAddr implements net.Conn.
func (pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// pipes is a listener for them.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l pipes) Close() error { close(l); return nil }

func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A stillRig is a rig in a bubble of synctest: only what waits makes time pass.
type stillRig struct {
	*rig
	ln pipes
}

// startStill starts a server in a bubble; it ends with shutdown.
func startStill(t *testing.T, o Options) *stillRig {
	t.Helper()
	r := &rig{people: newFakePeople(), boxes: map[doppelboden.MailboxID]*fakeBox{1: newFakeBox(), 2: newFakeBox()}}
	o.People = r.people
	o.Mailbox = func(_ doppelboden.TenantID, m doppelboden.MailboxID, _ string) Mailbox { return r.boxes[m] }
	var err error
	if r.server, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	ln := make(pipes)
	go r.server.Serve(t.Context(), ln)
	return &stillRig{r, ln}
}

// in is a client that has logged in and selected its inbox.
func (r *stillRig) in(t *testing.T, user string) *raw {
	t.Helper()
	far, near := net.Pipe()
	r.ln <- pipe{far}
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	c := &raw{t: t, conn: client, br: bufio.NewReader(client)}
	c.want("* OK ")
	c.do("LOGIN "+user+" geheim", "OK")
	c.do("SELECT INBOX", "OK")
	return c
}

// shutdown ends clients and the server.
func (r *stillRig) shutdown(t *testing.T, clients ...*raw) {
	t.Helper()
	for _, c := range clients {
		c.conn.(*tls.Conn).NetConn().Close()
	}
	if err := r.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALargeMailArrivesOverAnyLineThatTakesSomething(t *testing.T) {
	certificate := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		r := startStill(t, Options{TLS: certificate})
		const size = 4 << 20
		r.put(t, 1, 1, 0, mail("x", strings.Repeat("0123456789abcde\n", size/16)))
		c := r.in(t, "anna@stadt.example")
		defer r.shutdown(t, c)
		c.send("f FETCH 1 BODY.PEEK[TEXT]\r\n")
		begun, got := time.Now(), int64(0)
		for got < size {
			n, err := io.CopyN(io.Discard, c.br, 64<<10)
			if got += n; err != nil {
				t.Fatalf("after %v and %d of %d bytes: %v", time.Since(begun), got, size, err)
			}
			time.Sleep(time.Minute) // less than Options.WriteTime
		}
		c.until("f", "OK", "FETCH")
	})
}

func TestAServerThatStopsWaitsForASlowLineNoLongerThanItMay(t *testing.T) {
	r := start(t, func(o *Options) { o.WriteTime = time.Hour })
	r.put(t, 1, 1, 0, mail("x", strings.Repeat("0123456789abcde\n", 12<<20/16)))
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	c.send("f FETCH 1 BODY.PEEK[TEXT]\r\n")
	c.want("* 1 FETCH") // and reads nothing more
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		stopped <- r.server.Shutdown(ctx)
	}()
	r.over = true
	select {
	case err := <-stopped:
		if err == nil {
			t.Error("the server has stopped without cutting the line")
		}
	case <-time.After(patience):
		t.Error("the server waits for a line that takes nothing")
		c.conn.Close()
		<-stopped
	}
}

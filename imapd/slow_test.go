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

func TestALargeMailArrivesOverAnyLineThatTakesSomething(t *testing.T) {
	certificate := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		box := newFakeBox()
		r := &rig{people: newFakePeople(), boxes: map[doppelboden.MailboxID]*fakeBox{1: box}}
		var err error
		if r.server, err = NewServer(Options{TLS: certificate, People: r.people,
			Mailbox: func(_ doppelboden.TenantID, _ doppelboden.MailboxID, _ string) Mailbox { return box }}); err != nil {
			t.Fatal(err)
		}
		ln := make(pipes)
		go r.server.Serve(t.Context(), ln)
		const size = 4 << 20
		r.put(t, 1, 1, 0, mail("x", strings.Repeat("0123456789abcde\n", size/16)))

		far, near := net.Pipe()
		ln <- pipe{far}
		client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
		c := &raw{t: t, conn: client, br: bufio.NewReader(client)}
		c.want("* OK ")
		c.do("LOGIN anna@stadt.example geheim", "OK")
		c.do("SELECT INBOX", "OK")
		c.send("f FETCH 1 BODY.PEEK[TEXT]\r\n")
		begun, got := time.Now(), int64(0)
		for got < size {
			n, err := io.CopyN(io.Discard, c.br, 64<<10)
			if got += n; err != nil {
				t.Fatalf("after %v and %d of %d bytes: %v", time.Since(begun), got, size, err)
			}
			time.Sleep(time.Minute) // less than r.server.opts.WriteTime
		}
		c.until("f", "OK", "FETCH")
		client.Close()
		if err := r.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
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

package imapd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"doppelboden"

	"github.com/emersion/go-imap/v2/imapclient"
)

// A rig is a running server with Anna's, Bert's and the office's mailboxes.
type rig struct {
	server *Server
	addr   string
	people *fakePeople
	boxes  map[doppelboden.MailboxID]*fakeBox
	over   bool // the test has shut it down
}

// patience bounds every wait of these tests.
const patience = time.Minute

func selfSigned(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func start(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{people: newFakePeople(), boxes: map[doppelboden.MailboxID]*fakeBox{1: newFakeBox(), 2: newFakeBox(), 9: newFakeBox()}}
	o := Options{TLS: selfSigned(t), People: r.people, Mailbox: func(_ doppelboden.TenantID, m doppelboden.MailboxID, _ string) Mailbox { return r.boxes[m] }}
	if change != nil {
		change(&o)
	}
	var err error
	if r.server, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(context.Background(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if !r.over {
			if err := r.server.Shutdown(ctx); err != nil {
				t.Errorf("shut down: %v", err)
			}
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		for m, b := range r.boxes {
			if n := b.opened.Load(); n != 0 {
				t.Errorf("mails of mailbox %d that were opened and never freed: %d; negative: freed twice", m, n)
			}
		}
	})
	return r
}

// client logs a real client in.
func (r *rig) client(t testing.TB, user string, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := imapclient.New(conn, o)
	t.Cleanup(func() { c.Close() })
	if err := c.Login(user, "geheim").Wait(); err != nil {
		t.Fatalf("log in as %s: %v", user, err)
	}
	return c
}

// A raw is a client that sends what a test wants.
type raw struct {
	t    testing.TB
	conn net.Conn
	br   *bufio.Reader
	n    int
}

func (r *rig) raw(t testing.TB) *raw {
	t.Helper()
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &raw{t: t, conn: conn, br: bufio.NewReader(conn)}
	c.want("* OK ")
	return c
}

func (r *rig) rawIn(t testing.TB, user string) *raw {
	t.Helper()
	c := r.raw(t)
	c.do("LOGIN "+user+" geheim", "OK")
	return c
}

func (c *raw) send(s string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(s)); err != nil {
		c.t.Fatalf("send %.40q: %v", s, err)
	}
}

func (c *raw) line() string {
	c.t.Helper()
	line, err := c.br.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v (%q)", err, line)
	}
	return strings.TrimRight(line, "\r\n")
}

func (c *raw) want(prefix string) string {
	c.t.Helper()
	line := c.line()
	if !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("got %q, want %q…", line, prefix)
	}
	return line
}

// do runs a command and returns all that was answered; the tagged answer begins with want.
func (c *raw) do(command, want string) string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.send(tag + " " + command + "\r\n")
	return c.until(tag, want, command)
}

func (c *raw) until(tag, want, command string) string {
	c.t.Helper()
	var all strings.Builder
	for {
		line := c.line()
		all.WriteString(line + "\n")
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, want) {
				c.t.Fatalf("%.80q: got %q, want %s; all of it:\n%s", command, rest, want, all.String())
			}
			return all.String()
		}
	}
}

// ended reads until the server has closed the connection, and returns what it said.
func (c *raw) ended() string {
	c.t.Helper()
	var all strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				c.t.Fatalf("the connection goes on; it said %q", all.String())
			}
			return all.String()
		}
	}
}

// mail makes a mail.
func mail(subject, body string) string {
	return "From: =?utf-8?q?J=C3=B6rg?= <joerg@fern.example>\r\nTo: anna@stadt.example\r\nSubject: " + subject +
		"\r\nDate: Sun, 22 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@fern.example>\r\n\r\n" + body + "\r\n"
}

// put puts a mail into a folder of a mailbox, as others do.
func (r *rig) put(t testing.TB, m doppelboden.MailboxID, folder int64, flags uint32, text string) {
	t.Helper()
	if _, _, err := r.boxes[m].Append(context.Background(), folder, flags, time.Time{}, -1, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

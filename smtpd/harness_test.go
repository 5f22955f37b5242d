package smtpd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pipeListener hands out the ends of net.Pipe. What one Write puts in, the reads of
// the other side get as it is: nothing is joined.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// dial returns the client's end of a new connection.
func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// A tattler fails the test when somebody logs an error: panics are logged as such.
type tattler struct{ t testing.TB }

func (h tattler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (h tattler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h tattler) WithGroup(string) slog.Handler                { return h }
func (h tattler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += "\n" + a.String(); return true })
	h.t.Errorf("logged: %s", text)
	return nil
}

// newServer makes a server that fails the test when anything panics in it.
func newServer(t testing.TB, o Options) *Server {
	t.Helper()
	o.Hostname = "mx.city.example"
	if o.Log == nil {
		o.Log = slog.New(tattler{t})
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatalf("NewServer: %v", err)
	}
	return s
}

// overPipes serves on pipes and stops with the test.
func overPipes(t testing.TB, o Options) (*Server, *pipeListener) {
	t.Helper()
	s, l := newServer(t, o), newPipeListener()
	serveUntilEnd(t, s, l)
	return s, l
}

// overTCP serves on loopback and stops with the test.
func overTCP(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, o)
	serveUntilEnd(t, s, l)
	return s, l.Addr().String()
}

func serveUntilEnd(t testing.TB, s *Server, l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// A pump reads ahead, so that the server's replies never wait for the client to listen,
// as they would in a net.Pipe.
type pump struct {
	mu   sync.Mutex
	more sync.Cond
	got  []byte
	err  error
}

func newPump(r io.Reader) *pump {
	p := &pump{}
	p.more.L = &p.mu
	go p.run(r)
	return p
}

func (p *pump) run(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		p.mu.Lock()
		p.got = append(p.got, buf[:n]...)
		p.err = err
		p.more.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pump) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.got) == 0 && p.err == nil {
		p.more.Wait()
	}
	if len(p.got) == 0 {
		return 0, p.err
	}
	n := copy(b, p.got)
	p.got = p.got[n:]
	return n, nil
}

// newReader reads ahead from conn.
func newReader(conn io.Reader) *bufio.Reader { return bufio.NewReader(newPump(conn)) }

// A plainEnd is a net.Conn whose pump has read ahead already.
type plainEnd struct {
	net.Conn
	r *bufio.Reader
}

func (p plainEnd) Read(b []byte) (int, error) { return p.r.Read(b) }

// A dialogue is a client that says what it is told and checks what it hears.
type dialogue struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// talk begins a dialogue and reads the greeting.
func talk(t testing.TB, conn net.Conn) *dialogue {
	t.Helper()
	d := &dialogue{t: t, conn: conn, r: newReader(conn)}
	t.Cleanup(func() { conn.Close() })
	d.hear("220 ")
	return d
}

// connect begins a dialogue over TCP.
func connect(t testing.TB, addr string) *dialogue {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	return talk(t, conn)
}

// say sends text as it is.
func (d *dialogue) say(text string) {
	d.t.Helper()
	if _, err := io.WriteString(d.conn, text); err != nil {
		d.t.Fatalf("send %.80q: %v", text, err)
	}
}

// hear reads one reply and checks how it begins. It returns the whole reply.
func (d *dialogue) hear(want string) string {
	d.t.Helper()
	var all string
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			d.t.Fatalf("wanted %q, got %q and %v", want, all+line, err)
		}
		all += line
		if len(line) > 3 && line[3] == ' ' {
			break
		}
	}
	if !strings.HasPrefix(all, want) {
		d.t.Fatalf("wanted %q, got %q", want, all)
	}
	return all
}

// ask sends one command and checks the reply.
func (d *dialogue) ask(command, want string) string {
	d.t.Helper()
	d.say(command + "\r\n")
	return d.hear(want)
}

// mail says everything up to the body.
func (d *dialogue) mail() {
	d.t.Helper()
	d.ask("MAIL FROM:<a@sender.example>", "250 2.1.0")
	d.ask("RCPT TO:<b@city.example>", "250 2.1.5")
	d.ask("DATA", "354")
}

// ended checks that the connection is closed and nothing more comes.
func (d *dialogue) ended() {
	d.t.Helper()
	rest, err := io.ReadAll(d.r)
	if len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") && err != io.ErrClosedPipe {
		d.t.Errorf("wanted the end of the connection, got %q and %v", rest, err)
	}
}

// certificate makes a TLS configuration for the server and one for clients.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx"},
		DNSNames: []string{"mx.city.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mx.city.example"}
}

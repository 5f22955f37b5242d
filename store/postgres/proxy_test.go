package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// A moment is when a proxy does harm to a commit.
type moment int

const (
	never        moment = iota
	beforeCommit        // the server never gets the COMMIT
	inCommit            // the server gets it, and the connection is gone at once
	afterCommit         // the server has committed, and its answer is lost
)

// A proxy stands between a store and its server and breaks connections at chosen moments
// of a COMMIT. It reads the frames of PostgreSQL's protocol 3.0.
type proxy struct {
	t        testing.TB
	listener net.Listener
	target   string
	workers  sync.WaitGroup

	mu   sync.Mutex
	plan func(backend int32) moment // what becomes of the next COMMIT; called with mu held
	open map[net.Conn]bool
	down bool // new connections are refused
}

// newProxy starts a proxy in front of target, which lets everything pass.
func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: target, open: map[net.Conn]bool{}}
	p.workers.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut(true)
		p.workers.Wait()
	})
	return p
}

// addr is where it listens.
func (p *proxy) addr() string { return p.listener.Addr().String() }

// on says what becomes of every COMMIT from now on. plan gets the process id of the
// server's backend.
func (p *proxy) on(plan func(backend int32) moment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// once harms the next COMMIT and no other.
func (p *proxy) once(m moment) {
	p.on(func(int32) moment {
		p.plan = nil
		return m
	})
}

// cut breaks all connections; down says whether new ones are refused from now on.
func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for c := range p.open {
		c.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp4", p.target)
		if err != nil {
			client.Close()
			continue
		}
		s := &session{p: p, client: client, server: server, commits: map[string]bool{}}
		if !p.add(client, server) {
			continue
		}
		p.workers.Go(s.forth)
		p.workers.Go(s.back)
	}
}

// add notes the connections of a session, unless the proxy is down.
func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.down {
			c.Close()
			continue
		}
		p.open[c] = true
	}
	return !p.down
}

// ask asks what becomes of a COMMIT.
func (p *proxy) ask(backend int32) moment {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan == nil {
		return never
	}
	return p.plan(backend)
}

// A session is one connection through a proxy.
type session struct {
	p              *proxy
	client, server net.Conn
	commits        map[string]bool // prepared statements that are COMMIT

	mu      sync.Mutex
	backend int32 // the process at the server
	swallow bool  // the answer to COMMIT is lost
}

// close ends both sides.
func (s *session) close() {
	s.client.Close()
	s.server.Close()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	delete(s.p.open, s.client)
	delete(s.p.open, s.server)
}

// forth carries what the client says.
func (s *session) forth() {
	defer s.close()
	first := make([]byte, 4)
	if _, err := io.ReadFull(s.client, first); err != nil {
		return
	}
	// The first frame has no type.
	rest := make([]byte, int(binary.BigEndian.Uint32(first))-4)
	if _, err := io.ReadFull(s.client, rest); err != nil {
		return
	}
	if _, err := s.server.Write(append(first, rest...)); err != nil {
		return
	}
	todo := never
	for {
		f, err := readFrame(s.client)
		if err != nil {
			return
		}
		if s.isCommit(f) {
			s.mu.Lock()
			backend := s.backend
			s.mu.Unlock()
			todo = s.p.ask(backend)
		}
		if todo == beforeCommit {
			return
		}
		if todo == afterCommit {
			s.mu.Lock()
			s.swallow = true
			s.mu.Unlock()
		}
		if _, err := s.server.Write(f); err != nil {
			return
		}
		// The server acts on a prepared statement at the Sync behind it.
		if todo == inCommit && (f[0] == 'Q' || f[0] == 'S') {
			return
		}
	}
}

// isCommit reports whether a frame commits, as a simple query or by a prepared statement.
func (s *session) isCommit(f []byte) bool {
	fields := strings.SplitN(string(f[5:]), "\x00", 3)
	is := func(text string) bool { return strings.EqualFold(strings.TrimSpace(text), "commit") }
	switch f[0] {
	case 'Q':
		return is(fields[0])
	case 'P':
		s.commits[fields[0]] = is(fields[1])
	case 'B':
		return s.commits[fields[1]]
	}
	return false
}

// back carries what the server says.
func (s *session) back() {
	defer s.close()
	for {
		f, err := readFrame(s.server)
		if err != nil {
			return
		}
		s.mu.Lock()
		if f[0] == 'K' { // BackendKeyData
			s.backend = int32(binary.BigEndian.Uint32(f[5:]))
		}
		lost := s.swallow && f[0] == 'C' && bytes.Equal(f[5:], []byte("COMMIT\x00"))
		s.mu.Unlock()
		if lost {
			return
		}
		if _, err := s.client.Write(f); err != nil {
			return
		}
	}
}

// readFrame reads a type, a length and what follows.
func readFrame(r io.Reader) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 64<<20 {
		return nil, errors.New("this is no frame")
	}
	f := append(head, make([]byte, n)...)
	_, err := io.ReadFull(r, f[5:])
	return f, err
}

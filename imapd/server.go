package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"doppelboden/account"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/prometheus/client_golang/prometheus"
)

// A Server serves mail programs.
type Server struct {
	opts    Options
	imap    *imapserver.Server
	ready   chan *gate // after their handshake
	metrics *metrics
	memory  *budget
	logins  turns
	buffers sync.Pool // of []byte, for what is written

	mu      sync.Mutex
	stopped bool
	lns     map[net.Listener]struct{}
	gates   map[*gate]struct{}
	waiting map[netip.Addr]int // connections that have not logged in, by owner of the address
	strange int                // their sum
	people  map[account.PersonID]int
	open    sync.WaitGroup // connections, from their accept to their close
	serving sync.WaitGroup
}

// metrics are what is counted.
type metrics struct {
	logins *prometheus.CounterVec
	conns  prometheus.Gauge
}

// NewServer returns a server.
func NewServer(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		buffers: sync.Pool{New: func() any { return make([]byte, 0, writeBuffer+8<<10) }},
		opts:    o, ready: make(chan *gate), memory: newBudget(o.Memory), lns: map[net.Listener]struct{}{}, gates: map[*gate]struct{}{},
		waiting: map[netip.Addr]int{}, people: map[account.PersonID]int{},
		metrics: &metrics{
			logins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imap_logins_total", Help: "Log-ins of mail programs, by outcome."}, []string{"outcome"}),
			conns:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "imap_connections", Help: "Open connections of mail programs."}),
		},
	}
	if o.Registry != nil {
		for _, c := range []prometheus.Collector{s.metrics.logins, s.metrics.conns} {
			if err := o.Registry.Register(c); err != nil {
				return nil, fmt.Errorf("register the metrics of imapd: %w", err)
			}
		}
	}
	s.imap = imapserver.New(&imapserver.Options{
		NewSession: s.newSession, Logger: logger{o.Log},
		InsecureAuth: true, // it sees a gate and not the TLS connection that every gate has
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {},
			imap.CapSearchRes: {}, imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapMove: {}, imap.CapStatusSize: {},
			imap.CapBinary: {}, imap.CapChildren: {}, imap.CapSpecialUse: {}},
	})
	s.serving.Go(func() {
		if err := s.imap.Serve(gates{s}); err != nil {
			o.Log.Error("no connection by IMAP is served any more", "err", err)
		}
	})
	return s, nil
}

// newSession is how imapserver begins a connection.
func (s *Server) newSession(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	g, ok := c.NetConn().(*gate)
	if !ok {
		return nil, nil, errors.New("a connection came without its gate")
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	return &session{server: s, gate: g, conn: c, ctx: ctx, cancel: cancel}, &imapserver.GreetingData{}, nil
}

// Serve takes connections from ln, which begin with TLS, until Shutdown.
func (s *Server) Serve(_ context.Context, ln net.Listener) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return ln.Close()
	}
	s.lns[ln] = struct{}{}
	s.mu.Unlock()
	for {
		conn, err := ln.Accept()
		if err != nil {
			s.mu.Lock()
			stopped := s.stopped
			s.mu.Unlock()
			if stopped {
				return nil
			}
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() { // such as too many open files
				s.opts.Log.Warn("a connection by IMAP cannot be taken", "err", err)
				pause(50 * time.Millisecond)
				continue
			}
			return fmt.Errorf("take a connection: %w", err)
		}
		s.take(conn)
	}
}

// pause waits until something that passes may have passed.
func pause(d time.Duration) { <-time.After(d) }

// take begins a connection, or ends it where there are too many.
func (s *Server) take(conn net.Conn) {
	g := &gate{server: s, conn: tls.Server(conn, s.opts.TLS), cancel: func() {}, command: greeting, until: time.Now().Add(s.opts.LoginTime)}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		g.peer = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	g.waiting.Store(true)
	if !s.admit(g) {
		conn.Close()
		return
	}
	s.serving.Go(func() {
		ctx, cancel := context.WithDeadline(context.Background(), g.until)
		defer cancel()
		if err := g.conn.HandshakeContext(ctx); err != nil {
			g.Close()
			return
		}
		g.in = bufio.NewReaderSize(g.conn, 4096)
		s.hand(g)
	})
}

// hand gives a connection to imapserver, unless the server stops.
func (s *Server) hand(g *gate) {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		g.Close()
		return
	}
	s.ready <- g
}

// admit counts a connection, or refuses it.
func (s *Server) admit(g *gate) bool {
	who := owner(g.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.gates) >= s.opts.MaxConnections || s.strange >= s.opts.MaxWaiting || s.waiting[who] >= s.opts.MaxWaitingPerAddress {
		return false
	}
	s.gates[g] = struct{}{}
	s.waiting[who]++
	s.strange++
	s.open.Add(1)
	s.metrics.conns.Inc()
	return true
}

// notWaiting counts a connection as one that has logged in.
func (s *Server) notWaiting(g *gate) {
	who := owner(g.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strange--
	if s.waiting[who]--; s.waiting[who] <= 0 {
		delete(s.waiting, who)
	}
}

// closed forgets a connection.
func (s *Server) closed(g *gate) {
	g.loggedIn()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gates, g)
	s.metrics.conns.Dec()
	s.open.Done()
}

// owner is who has an address: of IPv6 a /64 is one customer's.
func owner(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// enter counts a connection of a person, unless she has too many.
func (s *Server) enter(p account.PersonID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people[p] >= s.opts.MaxPerPerson {
		return false
	}
	s.people[p]++
	return true
}

// leave ends what enter began.
func (s *Server) leave(p account.PersonID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people[p]--; s.people[p] <= 0 {
		delete(s.people, p)
	}
}

// by names a person as rooms do.
func (s *Server) by(p account.PersonID) string { return fmt.Sprintf("person:%d", p) }

// Shutdown takes no more connections, lets running commands end, says BYE to all, and waits
// until ctx ends; then it cuts what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	for ln := range s.lns {
		ln.Close()
	}
	for g := range s.gates {
		s.serving.Go(g.stop) // it waits for what is being written, over a poor line for long
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.open.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("wait for mail programs: %w", ctx.Err())
		s.mu.Lock()
		for g := range s.gates {
			g.conn.NetConn().Close()
		}
		s.mu.Unlock()
		<-done
	}
	close(s.ready)
	s.serving.Wait()
	return err
}

// gates is how imapserver takes connections that have shaken hands.
type gates struct{ s *Server }

// Accept implements net.Listener.
func (l gates) Accept() (net.Conn, error) {
	g, ok := <-l.s.ready
	if !ok {
		return nil, net.ErrClosed
	}
	return g, nil
}

// Close implements net.Listener: Shutdown does.
func (gates) Close() error { return nil }

// Addr implements net.Listener.
func (gates) Addr() net.Addr { return &net.TCPAddr{} }

// logger writes what imapserver says. Faults of clients are for who wants to know all;
// a command that panicked is a fault of ours.
type logger struct{ log *slog.Logger }

// Printf implements imapserver.Logger.
func (l logger) Printf(format string, args ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Error("a command by IMAP failed", "err", fmt.Sprintf(format, args...))
		return
	}
	l.log.Debug("imap", "err", fmt.Sprintf(format, args...))
}

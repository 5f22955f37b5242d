package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Server is the door: listeners, the connections they gave us, and their limits.
type Server struct {
	opts     Options
	log      maillog
	metrics  *metrics
	names    names
	ehloHead string // what replies to EHLO begin with

	force   context.Context // ends when Shutdown loses its patience
	end     context.CancelFunc
	running sync.WaitGroup // connections

	mu        sync.Mutex
	stopped   bool
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	perPeer   map[netip.Addr]int // open connections of those who are counted
}

// NewServer makes a Server; Serve starts it. It returns an error when o is incomplete
// or contradicts itself, or when its metrics are registered already.
func NewServer(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, log: maillog{o.Log}, metrics: m, listeners: map[net.Listener]bool{},
		conns: map[*conn]bool{}, perPeer: map[netip.Addr]int{}}
	s.names = names{resolver: o.Resolver, clock: o.Clock, known: map[netip.Addr]name{}}
	s.ehloHead = ehloHead(&o)
	s.force, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Serve takes connections from ln until ctx ends or Shutdown is called; then it closes
// ln and returns nil. Any other reason is an error. Connections go on until Shutdown,
// which must be called in any case. Several listeners may be served at once.
//
// The values of ctx reach the Intake; its end does not.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, ln, viaPort)
}

// ServeProxied is Serve for a port at which only trusted hops connect, each of which
// says first who its client is: the PROXY protocol, version 1 or 2.
func (s *Server) ServeProxied(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, ln, viaProxy)
}

// ServeTLS is Serve for a port at which TLS begins with the connection: RFC 8314,
// section 3.3. Options.TLS must be set.
func (s *Server) ServeTLS(ctx context.Context, ln net.Listener) error {
	if s.opts.TLS == nil {
		ln.Close()
		return errors.New("smtpd: a port with TLS needs Options.TLS")
	}
	return s.serve(ctx, ln, viaTLS)
}

// A via says what comes first on a connection.
type via int

const (
	viaPort  via = iota // our greeting
	viaProxy            // the header of the PROXY protocol
	viaTLS              // a TLS handshake
)

func (s *Server) serve(ctx context.Context, ln net.Listener, how via) error {
	if !s.addListener(ln) {
		ln.Close()
		return nil
	}
	unhook := context.AfterFunc(ctx, func() { ln.Close() })
	defer unhook()
	defer s.dropListener(ln)
	values := context.WithoutCancel(ctx)
	var pause time.Duration
	for {
		raw, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.take(values, raw, how)
		case ctx.Err() != nil || s.isStopped():
			return nil
		case errors.Is(err, net.ErrClosed) || !isTemporary(err):
			return fmt.Errorf("accept connections: %w", err)
		default:
			// Out of file descriptors, most likely: others must end first.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.opts.Log.Warn("cannot accept connections for a moment", "error", err, "pause", pause)
			s.rest(ctx, pause)
		}
	}
}

// isTemporary reports whether Accept may work again by itself.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// rest waits for d, or less when it is time to stop.
func (s *Server) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.force.Done():
	}
}

// take starts to serve a connection, or refuses it.
func (s *Server) take(ctx context.Context, raw net.Conn, how via) {
	peer := peerOf(raw)
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(ctx, s, raw, peer)
	c.via = how
	if refusal := s.admit(c); refusal != "" {
		cancel()
		// The first octets into an empty socket never wait.
		raw.SetWriteDeadline(time.Now().Add(time.Second))
		raw.Write([]byte(refusal))
		raw.Close()
		return
	}
	if how != viaProxy { // else the client is somebody else
		s.names.ask(s.force, peer)
	}
	unhook := context.AfterFunc(s.force, func() {
		cancel()
		raw.Close()
	})
	go func() {
		defer s.running.Done()
		defer s.dismiss(c)
		defer cancel()
		defer unhook()
		c.serve()
	}()
}

// admit counts c among the open connections, or returns the reply that refuses it.
func (s *Server) admit(c *conn) reply {
	key := countedAs(c.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return replyClosing
	case len(s.conns) >= s.opts.MaxConnections:
		s.metrics.tooMany.Inc()
		return replyTooMany
	case s.tooManyOf(key, c.peer):
		return replyTooManyOf
	}
	s.conns[c] = true
	c.counted = key
	s.perPeer[key]++
	s.running.Add(1)
	s.metrics.served.Inc()
	s.metrics.open.Inc()
	return ""
}

// tooManyOf reports whether peer has as many connections as it may have.
func (s *Server) tooManyOf(key, peer netip.Addr) bool {
	if s.perPeer[key] < s.opts.MaxPerAddress || s.trusts(peer) || s.isHop(peer) {
		return false
	}
	s.metrics.tooManyOf.Inc()
	return true
}

// recount counts c for the client that a load balancer brought, or returns the reply
// that refuses it.
func (s *Server) recount(c *conn) reply {
	key := countedAs(c.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tooManyOf(key, c.peer) {
		return replyTooManyOf
	}
	s.uncount(c)
	c.counted = key
	s.perPeer[key]++
	return ""
}

// uncount takes c from the count of whom it was counted for.
func (s *Server) uncount(c *conn) {
	if s.perPeer[c.counted]--; s.perPeer[c.counted] == 0 {
		delete(s.perPeer, c.counted)
	}
}

// dismiss is the opposite of admit.
func (s *Server) dismiss(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.uncount(c)
	s.metrics.open.Dec()
}

// isHop reports whether peer is a trusted hop's.
func (s *Server) isHop(peer netip.Addr) bool { return s.opts.Hop != nil && s.opts.Hop(peer) }

// trusts reports whether peer may open any number of connections.
func (s *Server) trusts(peer netip.Addr) bool {
	for _, p := range s.opts.Trusted {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// Shutdown stops the door. It takes no more connections, says 421 to clients that are
// not in the middle of a body, and lets the others finish theirs until ctx ends; then it
// closes all connections. It returns when nothing of the server runs any more, and so
// waits for Intakes even after ctx: whoever keeps a message must not lose what is below
// him. The error is that of ctx when connections had to be cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Wait()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("wait for clients to finish: %w", ctx.Err())
	}
	s.end()
	<-done
	s.names.running.Wait()
	return err
}

// addListener notes ln; it returns false when the server is stopped.
func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.listeners[ln] = true
	}
	return !s.stopped
}

func (s *Server) dropListener(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	ln.Close()
}

func (s *Server) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// peerOf returns the address of the client, or the zero Addr when it has none.
func peerOf(raw net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(raw.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// countedAs returns what stands for all addresses of one owner: an IPv4 address, or the
// /64 that is the least anybody gets of IPv6.
func countedAs(peer netip.Addr) netip.Addr {
	if !peer.Is6() {
		return peer
	}
	p, err := peer.Prefix(64)
	if err != nil {
		return peer
	}
	return p.Addr()
}

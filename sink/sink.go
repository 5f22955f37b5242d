package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A Keep says what a Sink remembers of each mail.
type Keep int

const (
	// Everything keeps envelopes and bytes; Stats names recipients and duplicates.
	Everything Keep = iota
	// Envelopes keeps all but the bytes.
	Envelopes
	// Counts keeps sums only, for benches: its memory does not grow.
	Counts
)

// Options say how a Sink is started; the zero value is one for a test.
type Options struct {
	Listen string  // host:port; default "127.0.0.1:0"
	Script *Script // nil: take everything
	Keep   Keep    // what is remembered

	// TLS offers STARTTLS; nil: it is not offered.
	TLS *tls.Config
	// MaxSize is how large a mail may be, in octets; default 100 MB.
	MaxSize int64

	// Dir, if not empty, gets each mail as taken: NUMBER.eml and NUMBER.json. Numbers go
	// on behind those that are there.
	Dir string
	// StatsFile, if not empty, holds Stats as JSON, at most a second old, and at last
	// what Close left.
	StatsFile string

	Clock func() time.Time // nil: time.Now
}

// A Sink takes mail until it is closed. Its methods may be called by several goroutines.
type Sink struct {
	opts     Options
	listener net.Listener // nil for one that only serves what ServeConn gives it
	play     atomic.Pointer[play]
	book     book
	numbers  atomic.Int64 // of mails
	closing  chan struct{}
	closed   sync.Once
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open ones; nil once closed
}

// New returns a Sink without a listener: ServeConn gives it connections.
func New(o Options) *Sink {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxSize == 0 {
		o.MaxSize = 100 << 20
	}
	s := &Sink{opts: o, closing: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	s.book.keep = o.Keep
	s.book.since = o.Clock()
	s.SetScript(o.Script)
	return s
}

// Start returns a Sink that listens. The caller closes it.
func Start(o Options) (*Sink, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	last := int64(0)
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make folder for mails: %w", err)
		}
		var err error
		if last, err = lastIn(o.Dir); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := New(o)
	s.numbers.Store(last)
	s.listener = l
	s.running.Go(s.accept)
	if o.StatsFile != "" {
		s.running.Go(s.writeStats)
	}
	return s, nil
}

// Addr returns host:port of the listener.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// SetScript changes the behaviour from now on, also for open connections. nil takes
// everything. The script must not be changed afterwards.
func (s *Sink) SetScript(script *Script) {
	s.play.Store(newPlay(script, s.opts.Clock()))
}

// accept takes connections until the listener is closed.
func (s *Sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, for example
			s.pause(10 * time.Millisecond)
			continue
		}
		s.running.Go(func() { s.ServeConn(conn) })
	}
}

// ServeConn serves one connection until it ends.
func (s *Sink) ServeConn(conn net.Conn) {
	s.mu.Lock()
	if s.conns == nil {
		s.mu.Unlock()
		conn.Close()
		return
	}
	s.conns[conn] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		conn.Close()
	}()
	newSession(s, conn).serve()
}

// pause waits for d and reports whether the sink is still open.
func (s *Sink) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closing:
		return false
	}
}

// Stats returns what was counted so far.
func (s *Sink) Stats() Stats { return s.book.stats(s.opts.Clock()) }

// Messages returns what was taken so far, in the order of taking; nothing with Counts.
// The caller must not change the bytes.
func (s *Sink) Messages() []Message { return s.book.list() }

// Reset forgets what was counted and taken.
func (s *Sink) Reset() { s.book.reset(s.opts.Clock()) }

// Wait returns when ok says true of the counts, which it is asked whenever they have
// changed, or with the error of ctx.
func (s *Sink) Wait(ctx context.Context, ok func(Stats) bool) error {
	for {
		changed := s.book.changes()
		if ok(s.Stats()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the sink: %w", ctx.Err())
		}
	}
}

// Cut breaks all open connections, with RST where that is possible: what clients see
// when a server loses its power. The listener stays.
func (s *Sink) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		reset(conn)
	}
}

// reset closes a connection with RST, if it is TCP.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// Close ends the listener and all connections and waits for what they do. The counts
// stay readable.
func (s *Sink) Close() error {
	var err error
	s.closed.Do(func() {
		close(s.closing)
		if s.listener != nil {
			err = s.listener.Close()
		}
		s.mu.Lock()
		for conn := range s.conns {
			conn.Close()
		}
		s.conns = nil
		s.mu.Unlock()
		s.running.Wait()
		if s.opts.StatsFile != "" {
			s.saveStats()
		}
	})
	return err
}

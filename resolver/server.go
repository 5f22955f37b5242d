package resolver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is the largest answer over UDP that is asked for: what crosses every path
	// without fragments (DNS flag day 2020).
	udpSize = 1232
	// pauseLeast and pauseMost bound how long a dead server is left alone: it doubles.
	pauseLeast, pauseMost = 2 * time.Second, 30 * time.Second
	// probePatience is how long a server may take to answer the question whether it
	// lives, which it needs nobody else for.
	probePatience = time.Second
)

// A server is one name server and what is known of its health.
type server struct {
	addr    string
	clock   func() time.Time
	metrics *metrics

	mu      sync.Mutex
	silent  bool          // the last question got no reply
	dead    bool          // it did not answer the probe either
	until   time.Time     // dead: not asked before this
	pause   time.Duration // dead: how long it was left alone last
	probing bool          // somebody asks whether it lives
}

func newServer(addr string, clock func() time.Time, m *metrics) *server {
	s := &server{addr: addr, clock: clock, metrics: m}
	m.dead.WithLabelValues(addr).Set(0)
	return s
}

// usable reports whether the server may be asked. One question without a reply says
// little: the name may be one that nobody can find. So the server is then asked whether
// it lives. A dead one is asked this from time to time; until it answers, everybody is
// sent away at once.
func (s *server) usable(ctx context.Context) bool {
	s.mu.Lock()
	doubted := s.silent || s.dead && !s.clock().Before(s.until)
	if s.probing || !doubted {
		defer s.mu.Unlock()
		return !s.dead
	}
	s.probing = true
	s.mu.Unlock()
	// The question's own time may be nearly over; the server must not die of that.
	return s.settle(s.probe(context.WithoutCancel(ctx)))
}

// look asks the server whether it lives and returns the answer.
func (s *server) look(ctx context.Context) bool { return s.settle(s.probe(ctx)) }

// settle notes the answer to a probe, and returns it.
func (s *server) settle(alive bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing = false
	if alive {
		s.lives()
	} else {
		s.dies()
	}
	return alive
}

// lives notes a reply. The caller holds mu.
func (s *server) lives() {
	s.silent, s.pause = false, 0
	if s.dead {
		s.dead = false
		s.metrics.dead.WithLabelValues(s.addr).Set(0)
	}
}

// dies notes that the probe was not answered. The caller holds mu.
func (s *server) dies() {
	s.silent, s.dead = false, true
	s.pause = min(max(2*s.pause, pauseLeast), pauseMost)
	s.until = s.clock().Add(s.pause)
	s.metrics.dead.WithLabelValues(s.addr).Set(1)
}

// probe asks for the name servers of the root, which every name server knows by heart.
// Any reply will do.
func (s *server) probe(ctx context.Context) bool {
	_, err := s.send(ctx, "udp", question{name: ".", kind: dns.TypeNS}, probePatience)
	return err == nil
}

// ask returns the server's reply, over TCP when it does not fit into a packet.
func (s *server) ask(ctx context.Context, q question, patience time.Duration) (*dns.Msg, error) {
	m, err := s.send(ctx, "udp", q, patience)
	if err == nil && m.Truncated {
		s.metrics.truncated.Inc()
		m, err = s.send(ctx, "tcp", q, patience)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.silent = true
		return nil, err
	}
	s.lives()
	return m, nil
}

// send asks once. Every question has a socket and so a port of its own, which together
// with the random number makes an answer hard to forge: RFC 5452, section 4.
func (s *server) send(ctx context.Context, network string, q question, patience time.Duration) (*dns.Msg, error) {
	m := &dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: dns.Id(), RecursionDesired: true},
		Question: []dns.Question{{Name: q.name, Qtype: q.kind, Qclass: dns.ClassINET}},
	}
	m.SetEdns0(udpSize, false) // RFC 6891
	client := dns.Client{Net: network, Timeout: patience, Dialer: &net.Dialer{Timeout: patience}}
	began := s.clock()
	reply, _, err := client.ExchangeContext(ctx, m, s.addr)
	if err != nil {
		return nil, err
	}
	s.metrics.seconds.Observe(s.clock().Sub(began).Seconds())
	if !reply.Response || len(reply.Question) != 1 || reply.Question[0].Qtype != q.kind ||
		!equalName(reply.Question[0].Name, q.name) {
		return nil, errNotAsked
	}
	return reply, nil
}

// errNotAsked is why a reply is thrown away.
var errNotAsked = errors.New("the reply is to another question")

// equalName compares names of the DNS: RFC 4343.
func equalName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }

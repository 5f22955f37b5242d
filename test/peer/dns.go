package peer

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNS is a name server that answers from a table, over UDP and TCP on one port, as a
// recursive one does: aliases are followed, what is not in the table does not exist. It
// can be told to misbehave.
type DNS struct {
	Zone string // records in the format of RFC 1035, section 5; names are absolute
	Addr string // host:port to listen on; empty: a free one
}

// A Mood is how the name server treats a name.
type Mood int

const (
	// Well answers from the table.
	Well Mood = iota
	// Silent takes the question and never answers.
	Silent
	// ServFail says that it failed; so do recursive servers that find nobody to ask.
	ServFail
	// Refused says that it does not want to.
	Refused
	// Poisoned adds records of another type and of another name to the answer.
	Poisoned
	// OtherQuestion answers a question that nobody asked.
	OtherQuestion
	// Garbage sends octets that are no packet.
	Garbage
)

// DNSServer is a running name server.
type DNSServer struct {
	addr     string
	udp, tcp *dns.Server
	done     sync.WaitGroup

	mu      sync.Mutex
	records map[string][]dns.RR // by name
	moods   map[string]Mood
	delay   time.Duration
	asked   map[string]int
	log     []string
}

// Start starts it.
func (o DNS) Start() (*DNSServer, error) {
	s := &DNSServer{moods: map[string]Mood{}, asked: map[string]int{}}
	if err := s.Set(o.Zone); err != nil {
		return nil, err
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	// Another program may have the port of our UDP socket for TCP.
	for try := 0; ; try++ {
		pc, err := net.ListenPacket("udp", o.Addr)
		if err != nil {
			return nil, fmt.Errorf("listen for DNS: %w", err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err != nil {
			pc.Close()
			if try < 10 {
				continue
			}
			return nil, fmt.Errorf("listen for DNS over TCP: %w", err)
		}
		s.addr = pc.LocalAddr().String()
		s.udp = &dns.Server{PacketConn: pc, Handler: s}
		s.tcp = &dns.Server{Listener: ln, Handler: s}
		break
	}
	for _, server := range []*dns.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.done.Go(func() { _ = server.ActivateAndServe() })
		<-started
	}
	return s, nil
}

// Addr returns where it answers.
func (s *DNSServer) Addr() string { return s.addr }

// LogTail returns the last n questions.
func (s *DNSServer) LogTail(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log[max(0, len(s.log)-n):], "\n")
}

// Stop ends it. It may be called again.
func (s *DNSServer) Stop() error {
	_ = s.udp.Shutdown() // fails only when it is down already
	_ = s.tcp.Shutdown()
	s.done.Wait()
	return nil
}

// Set replaces the table.
func (s *DNSServer) Set(zone string) error {
	records := map[string][]dns.RR{}
	p := dns.NewZoneParser(strings.NewReader("$ORIGIN .\n$TTL 300\n"+zone), ".", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := dns.CanonicalName(rr.Header().Name)
		records[name] = append(records[name], rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("read the zone: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records
	return nil
}

// Treat says how to treat a name; "" stands for every name without a mood of its own.
func (s *DNSServer) Treat(name string, m Mood) {
	if name != "" {
		name = dns.CanonicalName(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moods[name] = m
}

// Delay makes every answer wait.
func (s *DNSServer) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Asked returns how often a name was asked for, all types and transports together.
func (s *DNSServer) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[dns.CanonicalName(name)]
}

// ServeDNS implements dns.Handler.
func (s *DNSServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		return
	}
	name, kind := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	s.mu.Lock()
	s.asked[name]++
	s.log = append(s.log, fmt.Sprintf("%s %s over %s", name, dns.TypeToString[kind], w.LocalAddr().Network()))
	mood, own := s.moods[name]
	if !own {
		mood = s.moods[""]
	}
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable, m.Compress = true, true
	s.answer(m, name, kind)
	delay := s.delay
	s.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay) // the slowness itself, not a wait for something
	}
	if !misbehave(w, m, mood) {
		return
	}
	if w.LocalAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m)
}

// answer fills in what the table holds. The caller holds mu.
func (s *DNSServer) answer(m *dns.Msg, name string, kind uint16) {
	for range 20 { // a loop of aliases is given as far as it goes
		records := s.records[name]
		next := ""
		for _, rr := range records {
			switch h := rr.Header(); {
			case h.Rrtype == kind:
				m.Answer = append(m.Answer, rr)
			case h.Rrtype == dns.TypeCNAME:
				m.Answer = append(m.Answer, rr)
				next = dns.CanonicalName(rr.(*dns.CNAME).Target)
			}
		}
		if next == "" {
			if len(records) == 0 && name != "." && !s.hasBelow(name) {
				m.Rcode = dns.RcodeNameError
			}
			break
		}
		name = next
	}
	if len(m.Answer) == 0 {
		soa, _ := dns.NewRR(". 30 IN SOA ns.example. root.example. 1 3600 600 86400 30")
		m.Ns = append(m.Ns, soa)
	}
}

// hasBelow reports whether the table holds a name below this one: RFC 8020.
func (s *DNSServer) hasBelow(name string) bool {
	for other := range s.records {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}

// misbehave changes or suppresses the answer; false means that none is to be sent.
func misbehave(w dns.ResponseWriter, m *dns.Msg, mood Mood) bool {
	switch mood {
	case Silent:
		return false
	case Garbage:
		_, _ = w.Write([]byte{byte(m.Id >> 8), byte(m.Id), 0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 0xc0, 0x0c, 0xc0, 0x0c})
		return false
	case ServFail:
		m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
	case Refused:
		m.Rcode, m.Answer, m.Ns = dns.RcodeRefused, nil, nil
	case OtherQuestion:
		m.Question[0].Name = "other.example."
	case Poisoned:
		for _, text := range []string{
			m.Question[0].Name + " 300 IN PTR poison.example.",
			m.Question[0].Name + " 300 IN NULL \\# 4 7f000001",
			"other.example. 300 IN A 192.0.2.66",
			"other.example. 300 IN TXT \"v=spf1 +all\"",
			"other.example. 300 IN MX 0 poison.example.",
		} {
			if rr, err := dns.NewRR(text); err == nil && rr != nil {
				m.Answer = append(m.Answer, rr)
			}
		}
	}
	return true
}

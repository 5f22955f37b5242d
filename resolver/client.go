package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"time"

	"doppelboden"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say whom a client asks, and how long.
type Options struct {
	Servers  []string              // name servers as address:port, asked in this order; at least one
	Registry prometheus.Registerer // required

	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Patience bounds one question, with all its attempts; default 5 s. A name server
	// that has to ask far away needs 1 to 2 s.
	Patience time.Duration
	// CacheBytes bounds the memory of kept answers; default 16 MiB, some 60,000 answers.
	CacheBytes int
	// Questions bounds how many are on their way at once; default 500. Each holds a
	// socket.
	Questions int
}

func (o *Options) validate() error {
	if len(o.Servers) == 0 || o.Registry == nil {
		return errors.New("resolver: Servers and Registry must be set")
	}
	for _, s := range o.Servers {
		if _, err := netip.ParseAddrPort(s); err != nil {
			return fmt.Errorf("resolver: name server %q is not address:port", s)
		}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 16 << 20
	}
	if o.Questions <= 0 {
		o.Questions = 500
	}
	return nil
}

// A Client is a Resolver that asks configured name servers.
type Client struct {
	opts    Options
	servers []*server
	cache   *cache
	metrics *metrics
	slots   chan struct{} // one for each question on its way

	mu      sync.Mutex
	flights map[question]*flight // questions on their way, so that each is asked once
	work    sync.WaitGroup       // their goroutines
}

// A question is what a cache entry and a flight are found by.
type question struct {
	name string // as DNS packets have it: lower case, with the last dot
	kind uint16 // dns.TypeA…
}

// A flight is a question on its way. Its result may be read once done is closed.
type flight struct {
	done   chan struct{}
	result *result
}

// New returns a client. It starts nothing until it is asked.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Client{opts: o, slots: make(chan struct{}, o.Questions), flights: map[question]*flight{}}
	c.metrics = newMetrics(o.Registry)
	c.cache = newCache(o.CacheBytes, c.metrics.cacheBytes)
	for _, addr := range o.Servers {
		c.servers = append(c.servers, newServer(addr, o.Clock, c.metrics))
	}
	return c, nil
}

// Wait returns when no question is on its way any more; nobody may ask meanwhile.
func (c *Client) Wait() { c.work.Wait() }

// Dead asks every name server whether it lives, which takes a second at most. It returns
// those that do not, and whether any does.
func (c *Client) Dead(ctx context.Context) (dead []string, answers bool) {
	alive := make([]bool, len(c.servers))
	var all sync.WaitGroup
	for i, s := range c.servers {
		all.Go(func() { alive[i] = s.look(ctx) })
	}
	all.Wait()
	for i, s := range c.servers {
		if !alive[i] {
			dead = append(dead, s.addr)
		}
	}
	return dead, len(dead) < len(c.servers)
}

// SystemServers returns the name servers of a resolv.conf(5). Where it is missing or
// names none, it is the one on this machine.
func SystemServers(path string) ([]string, error) {
	conf, err := dns.ClientConfigFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		conf, err = &dns.ClientConfig{Port: "53"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the name servers: %w", err)
	}
	var servers []string
	for _, s := range conf.Servers {
		a, err := netip.ParseAddr(s)
		if err != nil {
			continue // resolv.conf(5): libc ignores it too
		}
		servers = append(servers, net.JoinHostPort(a.String(), conf.Port))
	}
	if len(servers) == 0 {
		servers = []string{"127.0.0.1:53"}
	}
	return servers, nil
}

// ask returns the answer to a question from the cache, from a flight under way, or from
// a new one. The flight goes on when ctx ends: what it brings is kept for the next.
func (c *Client) ask(ctx context.Context, name string, kind uint16) (*result, error) {
	f, r := c.begin(name, kind)
	return c.finish(ctx, f, r)
}

// begin looks into the cache, else finds or starts the flight.
func (c *Client) begin(name string, kind uint16) (*flight, *result) {
	q, ok := newQuestion(name, kind)
	if !ok {
		return nil, &result{err: notFound("no such name: it cannot stand in the DNS", ErrNoName)}
	}
	if r := c.cache.get(q, c.opts.Clock()); r != nil {
		c.metrics.hits.Inc()
		return nil, r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[q]; f != nil {
		return f, nil
	}
	f := &flight{done: make(chan struct{})}
	c.flights[q] = f
	c.work.Go(func() { c.fly(q, f) })
	return f, nil
}

// finish waits for the flight.
func (c *Client) finish(ctx context.Context, f *flight, r *result) (*result, error) {
	if f != nil {
		select {
		case <-f.done:
			r = f.result
		case <-ctx.Done():
			return nil, temporary("no answer in time", ctx.Err())
		}
	}
	return r, r.err
}

// fly asks the name servers and lands with the result.
func (c *Client) fly(q question, f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.Patience)
	defer cancel()
	var r *result
	select {
	case c.slots <- struct{}{}:
		r = c.exchange(ctx, q)
		<-c.slots
	case <-ctx.Done():
		r = &result{err: temporary("too many questions at once", ctx.Err())}
	}
	if r.ttl > 0 {
		c.cache.put(q, r, c.opts.Clock())
	}
	c.metrics.answers.WithLabelValues(r.class()).Inc()
	c.mu.Lock()
	delete(c.flights, q)
	c.mu.Unlock()
	f.result = r
	close(f.done)
}

// rounds is how often the list of name servers is gone through for one question. A lost
// packet is the reason for the second.
const rounds = 2

// exchange asks one server after another until one knows.
func (c *Client) exchange(ctx context.Context, q question) *result {
	last := &result{err: temporary("no name server answers", nil)}
	for range rounds {
		for _, s := range c.servers {
			if ctx.Err() != nil {
				return last
			}
			if !s.usable(ctx) {
				continue
			}
			m, err := s.ask(ctx, q, c.attempt())
			if err != nil {
				last = &result{err: temporary("the name server does not answer", err), ttl: failureTTL}
				continue
			}
			r := read(q, m)
			if r.err == nil || doppelboden.CodeOf(r.err) == doppelboden.NotFound {
				return r
			}
			last = r
		}
		if last.spoken {
			return last // another round would hear the same
		}
	}
	return last
}

// attempt is how long one server is waited for: as long as each has its turn twice.
func (c *Client) attempt() time.Duration {
	return max(c.opts.Patience/time.Duration(rounds*len(c.servers)), min(c.opts.Patience, 1500*time.Millisecond))
}

func notFound(public string, cause error) error {
	return &doppelboden.Error{Code: doppelboden.NotFound, Public: public, Cause: cause}
}

func temporary(public string, cause error) error {
	return &doppelboden.Error{Code: doppelboden.Temporary, Public: public, Cause: cause}
}

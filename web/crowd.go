package web

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Who an address is, for the number of connections that it may have.
type Side int

// The sides from which connections come.
const (
	// Stranger is an address of the Internet: one household, one office, one telephone
	// network's many telephones.
	Stranger Side = iota
	// Own is one of the city's own networks: a town hall comes from one address.
	Own
	// Proxy stands in front of us and brings everybody.
	Proxy
)

// A crowd bounds who is connected at the same moment: altogether, and for each network, so
// that no machine can hold the pages shut for all others. Where it is full, the connection
// makes way that has waited for the longest without a question: browsers keep those for
// later and open another one when they need it. Where none waits, the new one is closed.
//
// It never looks into a connection, so what it does costs no handshake.
type crowd struct {
	whose   func(netip.Addr) Side
	most    int        // of all
	share   [Proxy]int // of one network, by its side
	refused *prometheus.CounterVec
	open    prometheus.Gauge

	mu       sync.Mutex
	count    int
	waiting  *list.List // of *guest, the first has waited for the longest
	networks map[netip.Prefix]*network
}

// A network is who counts as one.
type network struct {
	count   int
	waiting *list.List // of *guest, as in crowd
}

// A guest is one connection.
type guest struct {
	net.Conn
	crowd *crowd
	in    []netip.Prefix // the networks it counts for; none for a proxy
	// Guarded by crowd.mu:
	gone  bool
	spots []*list.Element // in crowd.waiting and in those of its networks; empty while it is served
}

// Connections, by whom they may be held. Browsers hold one each (HTTP/2), some six where a
// box on the way speaks only HTTP/1.1, and those without a question make way; so a thousand
// serve a house of several thousand people. Eight strangers' networks are needed to fill it
// all. IPv6 is given out in /56 and /48: whoever has one of these has as many /64 as she
// likes, which together may have twice as much as one.
const (
	mostConnections = 8000 // two for each of 4,000 people at the same moment
	ofStrangers     = 1000
	ofOurs          = 4000
	widerFactor     = 2
)

func newCrowd(whose func(netip.Addr) Side, registry prometheus.Registerer) (*crowd, error) {
	if whose == nil {
		whose = func(netip.Addr) Side { return Stranger }
	}
	c := &crowd{whose: whose, most: mostConnections, share: [Proxy]int{Stranger: ofStrangers, Own: ofOurs},
		waiting: list.New(), networks: map[netip.Prefix]*network{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "web_connections_refused_total",
			Help: "Connections of browsers that were closed because there were too many: of one network, or of all."}, []string{"bound"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "web_connections", Help: "Open connections of browsers."}),
	}
	c.refused.WithLabelValues("network")
	c.refused.WithLabelValues("all")
	for _, m := range []prometheus.Collector{c.refused, c.open} {
		if err := registry.Register(m); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// A gate is a listener at which a crowd is bounded.
type gate struct {
	net.Listener
	crowd *crowd
}

// Accept implements net.Listener.
func (g gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if one := g.crowd.admit(conn); one != nil {
			return one, nil
		}
		_ = conn.Close() // it is nobody's
	}
}

// networksOf returns what an address counts for: an IPv4 address, or an IPv6 /64, which is
// the least that anybody gets, and the /48 around it.
func networksOf(a netip.Addr) []netip.Prefix {
	if !a.IsValid() {
		return nil
	}
	if a.Is4() {
		return []netip.Prefix{netip.PrefixFrom(a, 32)}
	}
	near, _ := a.Prefix(64) // never fails for these lengths
	wide, _ := a.Prefix(48)
	return []netip.Prefix{near, wide}
}

// admit counts a connection, or returns nil where there are too many. It counts as waiting
// until its first question has come.
func (c *crowd) admit(conn net.Conn) *guest {
	g := &guest{Conn: conn, crowd: c}
	var peer netip.Addr
	if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		peer = at.Addr().Unmap().WithZone("")
	}
	side := c.whose(peer)
	if side != Proxy {
		g.in = networksOf(peer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range g.in {
		n := c.networks[p]
		if n == nil || n.count < c.share[side]*(1+i*(widerFactor-1)) {
			continue
		}
		if !c.makeWay(n.waiting) {
			c.refused.WithLabelValues("network").Inc()
			return nil
		}
	}
	if c.count >= c.most && !c.makeWay(c.waiting) {
		c.refused.WithLabelValues("all").Inc()
		return nil
	}
	for _, p := range g.in {
		if c.networks[p] == nil {
			c.networks[p] = &network{waiting: list.New()}
		}
		c.networks[p].count++
	}
	c.count++
	c.open.Inc()
	c.rest(g)
	return g
}

// makeWay ends the connection of a list that has waited for the longest. The caller holds mu.
func (c *crowd) makeWay(waiting *list.List) bool {
	first := waiting.Front()
	if first == nil {
		return false
	}
	g := first.Value.(*guest)
	c.forget(g)
	_ = g.Conn.Close() // the server notices and ends what it has of it
	return true
}

// rest notes that a connection waits from now on. The caller holds mu.
func (c *crowd) rest(g *guest) {
	if g.gone || len(g.spots) > 0 {
		return
	}
	g.spots = append(g.spots, c.waiting.PushBack(g))
	for _, p := range g.in {
		g.spots = append(g.spots, c.networks[p].waiting.PushBack(g))
	}
}

// wake notes that a connection is served. The caller holds mu.
func (c *crowd) wake(g *guest) {
	if len(g.spots) == 0 {
		return
	}
	c.waiting.Remove(g.spots[0])
	for i, p := range g.in {
		c.networks[p].waiting.Remove(g.spots[i+1])
	}
	g.spots = nil
}

// forget takes a connection out of all counts, once. The caller holds mu.
func (c *crowd) forget(g *guest) {
	if g.gone {
		return
	}
	c.wake(g)
	g.gone = true
	c.count--
	c.open.Dec()
	for _, p := range g.in {
		if c.networks[p].count--; c.networks[p].count == 0 {
			delete(c.networks, p)
		}
	}
}

// changed is http.Server.ConnState: whether a connection has a question now.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	g, ok := conn.(*guest)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateIdle:
		c.rest(g)
	case http.StateActive:
		c.wake(g)
	}
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.forget(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

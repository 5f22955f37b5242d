package web

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A house is a server on real sockets. Its clients come from addresses of the loopback
// network: 127.0.0.2 and so on.
type house struct {
	t       *testing.T
	server  *Server
	at      string
	asked   chan struct{} // a request for /slow has begun
	release chan struct{}
}

func newHouse(t *testing.T, whose func(netip.Addr) Side, most, share int) *house {
	t.Helper()
	pair := httptest.NewUnstartedServer(nil)
	pair.EnableHTTP2 = true
	pair.StartTLS()
	conf := pair.TLS
	pair.Close()
	h := &house{t: t, asked: make(chan struct{}), release: make(chan struct{})}
	s, err := New(Options{Sessions: sessions{}, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		TLS: conf, Leaf: pair.Certificate, Whose: whose})
	if err != nil {
		t.Fatal(err)
	}
	s.crowd.most, s.crowd.share = most, [Proxy]int{Stranger: share, Own: 2 * share}
	s.Mount("GET /slow", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		h.asked <- struct{}{}
		<-h.release
	}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.server, h.at = s, ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), ln) }()
	t.Cleanup(func() {
		close(h.release)
		_ = s.http.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return h
}

// from returns a dialer that comes from an address.
func from(last byte) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
}

// dial opens a connection and sends text on it; nothing more comes.
func (h *house) dial(last byte, text string) *tls.Conn {
	h.t.Helper()
	c, err := tls.DialWithDialer(from(last), "tcp", h.at, &tls.Config{InsecureSkipVerify: true})
	if err == nil && text != "" {
		_, err = io.WriteString(c, text)
	}
	if err != nil {
		h.t.Fatalf("a connection from 127.0.0.%d: %v", last, err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// browser is somebody who keeps her connection.
func (h *house) browser(last byte) *http.Client {
	tr := &http.Transport{DialContext: from(last).DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	h.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// opens asks for a page as a browser, and returns what went wrong.
func (h *house) opens(c *http.Client) error {
	r, err := c.Get("https://" + h.at + "/language?to=xx")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusNotFound {
		return fmt.Errorf("status %d, wanted 404", r.StatusCode)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// slow has a connection wait for its answer.
func (h *house) slow(last byte) {
	h.t.Helper()
	h.dial(last, "GET /slow HTTP/1.1\r\nHost: "+h.at+"\r\n\r\n")
	<-h.asked
}

// metric returns a metric of connections; bound is the label of those that were refused.
func (h *house) metric(name, bound string) float64 {
	h.t.Helper()
	families, err := h.server.opts.Registry.(*prometheus.Registry).Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (bound == "" || m.GetLabel()[0].GetValue() == bound) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	h.t.Fatalf("there is no metric %s", name)
	return 0
}

func (h *house) refused(bound string) float64 {
	h.t.Helper()
	return h.metric("web_connections_refused_total", bound)
}

func TestOneMachineCannotHoldThePagesShut(t *testing.T) {
	h := newHouse(t, nil, 20, 10)
	for range 10 {
		h.slow(2)
	}
	if err := h.opens(h.browser(2)); err == nil || h.refused("network") == 0 {
		t.Errorf("the eleventh connection of a network: %v, %v refused; wanted it closed and counted", err, h.refused("network"))
	}
	if err := h.opens(h.browser(3)); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

func TestWhoNeverFinishesHerQuestionMakesWay(t *testing.T) {
	h := newHouse(t, nil, 20, 10)
	for range 30 { // half a header, from one machine
		h.dial(2, "GET / HTTP/1.1\r\nHost: ")
	}
	for range 30 { // no handshake at all, from others
		c, err := from(3).Dial("tcp", h.at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if err := h.opens(h.browser(4)); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	if err := h.opens(h.browser(2)); err != nil {
		t.Errorf("somebody in the same network: %v", err)
	}
}

func TestAHouseOfManyPeopleBehindOneAddressWorks(t *testing.T) {
	h := newHouse(t, nil, 20, 10)
	var people []*http.Client
	for range 50 {
		people = append(people, h.browser(2))
	}
	for round := range 2 { // whose connection made way opens another one
		for i, c := range people {
			if err := h.opens(c); err != nil {
				t.Fatalf("round %d, person %d: %v", round, i, err)
			}
		}
	}
	if n := h.metric("web_connections", ""); n > 10 || h.refused("network") != 0 {
		t.Errorf("%v connections are open and %v were refused, wanted at most 10 and none", n, h.refused("network"))
	}
}

func TestTheCitysOwnNetworkHasAGreaterShareAndAProxyAll(t *testing.T) {
	h := newHouse(t, func(a netip.Addr) Side {
		return map[byte]Side{2: Own, 3: Proxy}[a.As4()[3]]
	}, 40, 10)
	for range 20 {
		h.slow(2)
	}
	if err := h.opens(h.browser(2)); err == nil {
		t.Error("the city's own network has more than twice a stranger's share")
	}
	for range 20 {
		h.slow(3)
	}
	if err := h.opens(h.browser(4)); err == nil || h.refused("all") == 0 {
		t.Errorf("the 41st of 40: %v, %v refused; wanted it closed and counted", err, h.refused("all"))
	}
}

func TestConnectionsThatEndAreNotCountedAnyMore(t *testing.T) {
	h := newHouse(t, nil, 20, 10)
	for range 50 {
		c := h.dial(2, "GET /language?to=xx HTTP/1.1\r\nHost: "+h.at+"\r\nConnection: close\r\n\r\n")
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Fatal(err)
		}
	}
	_ = h.server.http.Close()
	c := h.server.crowd
	// A client may hear of the end before the server has counted it.
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		c.mu.Lock()
		count, networks, waiting := c.count, len(c.networks), c.waiting.Len()
		c.mu.Unlock()
		if count == 0 && networks == 0 && waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections of %d networks, %d waiting; wanted none", count, networks, waiting)
		}
	}
}

// A caller is a connection from any address.
type caller struct {
	net.Conn
	from netip.AddrPort
}

func (c caller) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }
func (c caller) Close() error         { return nil }

func TestWhoHasManyNetworksOfIPv6HasTwiceTheShareOfOne(t *testing.T) {
	c, err := newCrowd(nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c.share, c.most = [Proxy]int{10, 10}, 100
	took := 0
	for i := range 100 {
		at := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:7:%x::1", i)), 1)
		if g := c.admit(caller{from: at}); g != nil {
			c.changed(g, http.StateActive)
			took++
		}
	}
	if took != 20 {
		t.Errorf("a /48 got %d connections, wanted 20", took)
	}
	one := netip.MustParseAddrPort("[2001:db8:8::1]:1")
	for range 11 {
		if g := c.admit(caller{from: one}); g != nil {
			c.changed(g, http.StateActive)
			took++
		}
	}
	if took != 30 {
		t.Errorf("a /64 got %d connections, wanted 10", took-20)
	}
}

package courier

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"doppelboden"
)

// An Agent hands mail over to one route. It keeps its connection between mails. It
// belongs to one goroutine: Hand and Close are never called at the same time.
type Agent struct {
	opts  Options
	route Route
	hosts []*host // by preference; those with the same in a random order
	guard guard
	conn  *conn // nil while there is none
	tx    transaction
}

// A host is a Host with what is remembered of it.
type host struct {
	Host
	log    *slog.Logger
	failed time.Time // when it was last found not working
	fails  int       // how often in a row; 0: it works, as far as we know
	noTLS  time.Time // when STARTTLS last failed; zero: never
}

// NewAgent returns an agent. It connects when it gets something to hand over.
func NewAgent(o Options, r Route) *Agent {
	o = o.withDefaults()
	if r.HeloName == "" {
		r.HeloName = "localhost"
	}
	a := &Agent{opts: o, route: r, guard: guard{grace: o.DotGrace}}
	a.tx.agent = a
	for _, h := range r.Hosts {
		a.hosts = append(a.hosts, &host{Host: h, log: o.Log.With("route", r.Name, "server", h.Addr)})
	}
	// RFC 5321, section 5.1: hosts with the same preference share the load.
	rand.Shuffle(len(a.hosts), func(i, j int) { a.hosts[i], a.hosts[j] = a.hosts[j], a.hosts[i] })
	slices.SortStableFunc(a.hosts, func(x, y *host) int { return cmp.Compare(x.Preference, y.Preference) })
	return a
}

// Close ends the kept connection politely and waits a second at most.
func (a *Agent) Close() {
	if a.conn != nil {
		a.guard.watch(context.Background())()
		a.conn.quit()
		a.conn = nil
	}
}

// Hand hands a message over in one transaction and returns exactly one outcome for
// each delivery, in the order of j.Deliveries. When ctx ends, it returns at once with
// what is known; between the final dot and its answer it waits Options.DotGrace more.
func (a *Agent) Hand(ctx context.Context, j Job) []doppelboden.Outcome {
	t := &a.tx
	t.begin(j)
	defer t.end()
	if len(j.Deliveries) == 0 {
		return t.out
	}
	release := a.guard.watch(ctx)
	defer release()
	for {
		kept, fault := a.connect(ctx)
		if fault == nil {
			fault = a.present(ctx, kept, j.Message)
		}
		if fault != nil {
			t.server = fault.server
			t.rest(fault.verdict)
			return t.out
		}
		t.server = a.conn.host.shown()
		stale := t.run(a.conn, kept)
		if t.broken {
			a.conn.close()
			a.conn = nil
		} else {
			a.conn.idle = a.opts.Clock()
		}
		if !stale {
			return t.out
		}
		// Only a kept connection can be stale, so this happens once.
		a.opts.Log.Debug("kept connection had ended, connecting again", "route", a.route.Name, "server", t.server)
	}
}

// A connectFault says why there is no connection.
type connectFault struct {
	verdict verdict
	server  string
}

// connect sees to it that there is a connection, and reports whether it was there
// before.
func (a *Agent) connect(ctx context.Context) (kept bool, fault *connectFault) {
	if a.conn != nil {
		if !a.outworn(a.conn) {
			return true, nil
		}
		a.conn.quit()
		a.conn = nil
	}
	if a.route.Domain != "" {
		if fault := a.locate(ctx); fault != nil {
			if a.guard.cancelled() { // says nothing of the domain
				fault = &connectFault{verdict: lost(phaseConnect, doppelboden.AboutRoute, errCancelled)}
			}
			return false, fault
		}
	}
	fault = &connectFault{verdict: ours(doppelboden.Later, doppelboden.AboutRoute, phaseConnect, "", "the route has no host")}
	for i, h := range a.order() {
		c, v := a.reach(ctx, h)
		if v == nil {
			h.fails = 0
			a.opts.Memory.note(h)
			a.conn = c
			return false, nil
		}
		if a.guard.cancelled() { // says nothing of the host
			return false, &connectFault{*v, h.shown()}
		}
		h.failed, h.fails = a.opts.Clock(), h.fails+1
		a.opts.Memory.note(h)
		h.log.Debug("host does not work", "phase", v.phase, "code", v.reply.Code, "error", v.reply.Text)
		// Of several hosts, what one of them said tells more than that another is silent.
		if i == 0 || v.reply.Code != 0 || fault.verdict.reply.Code == 0 {
			fault = &connectFault{*v, h.shown()}
		}
	}
	return false, fault
}

// outworn reports whether a kept connection is better replaced: it was idle for long,
// or a host that is preferred to its own may be back.
func (a *Agent) outworn(c *conn) bool {
	if a.opts.Clock().Sub(c.idle) > a.opts.MaxIdle {
		return true
	}
	if a.route.Domain != "" {
		return false // which hosts there are is asked with the next connection
	}
	best := a.order()[0]
	return best.Preference < c.host.Preference && !a.resting(best)
}

// order returns the hosts as they are to be asked: those that failed a moment ago
// after all others.
func (a *Agent) order() []*host {
	if len(a.hosts) < 2 {
		return a.hosts
	}
	hosts := slices.Clone(a.hosts)
	slices.SortStableFunc(hosts, func(x, y *host) int {
		switch rx, ry := a.resting(x), a.resting(y); {
		case rx == ry:
			return 0
		case rx:
			return 1
		}
		return -1
	})
	return hosts
}

// resting reports whether a host failed a moment ago. The moment doubles up to eight
// times HostRest, so that looking for a dead host does not slow down the one that
// stands in for it.
func (a *Agent) resting(h *host) bool {
	return h.fails > 0 && a.opts.Clock().Sub(h.failed) < a.opts.HostRest<<min(h.fails-1, 3)
}

// reach opens a connection to h and brings it to where MAIL can be said.
func (a *Agent) reach(ctx context.Context, h *host) (*conn, *verdict) {
	plain := a.route.TLS.Mode == NoTLS ||
		a.route.TLS.Mode == Opportunistic && !h.noTLS.IsZero() && a.opts.Clock().Sub(h.noTLS) < a.opts.HostRest
	for {
		c, v := a.dial(ctx, h)
		if v != nil {
			return nil, v
		}
		var tlsFailed bool
		tlsFailed, v = a.hello(c, plain)
		if v == nil {
			return c, nil
		}
		c.close()
		// RFC 7435: what cannot be protected is still delivered, in plain text, on a
		// connection of its own.
		if !tlsFailed || a.route.TLS.Mode != Opportunistic || a.guard.cancelled() {
			return nil, v
		}
		h.log.Debug("STARTTLS failed, going on in plain text", "error", v.reply.Text)
		h.noTLS, plain = a.opts.Clock(), true
	}
}

// dial opens the connection.
func (a *Agent) dial(ctx context.Context, h *host) (*conn, *verdict) {
	dctx, cancel := context.WithTimeout(ctx, a.opts.Deadlines.Connect)
	defer cancel()
	nc, err := a.opener(h)(dctx, "tcp", h.Addr)
	if err != nil {
		if ctx.Err() != nil {
			err = errCancelled
		}
		v := lost(phaseConnect, doppelboden.AboutRoute, err)
		return nil, &v
	}
	return newConn(h, nc, &a.guard), nil
}

// opener returns what opens connections to h, from the right address.
func (a *Agent) opener(h *host) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if len(a.route.Sources) == 0 {
		return a.opts.Dial
	}
	from := a.route.Sources[0] // for a name, whose addresses of this family are taken
	if to, err := netip.ParseAddrPort(h.Addr); err == nil {
		from = a.source(to.Addr().Unmap())
	}
	if !from.IsValid() {
		return a.opts.Dial
	}
	return (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}).DialContext
}

// tlsConfig returns the configuration for STARTTLS with h.
func (a *Agent) tlsConfig(h *host) *tls.Config {
	cfg := new(tls.Config)
	if a.opts.TLS != nil {
		cfg = a.opts.TLS.Clone()
	}
	cfg.ServerName = a.route.TLS.ServerName
	if cfg.ServerName == "" {
		cfg.ServerName = h.Name
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(h.Addr)
	}
	// RFC 7435, section 3: without a policy that demands it, an unknown certificate is
	// still better than plain text.
	cfg.InsecureSkipVerify = a.route.TLS.Mode != RequireTLS || !a.route.TLS.Verify
	return cfg
}

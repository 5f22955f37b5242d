package courier

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"doppelboden"
	"doppelboden/resolver"
)

// Bounds of what one domain can make us do. RFC 5321, section 5.1, asks for at least two
// addresses to be tried.
const (
	mostExchangers = 20 // names whose addresses are looked up
	mostOfFamily   = 2  // addresses of one name and family; more of them are one server farm
	mostAddresses  = 6  // tried for one mail
)

// A search collects the hosts that take mail for a domain.
type search struct {
	agent   *Agent
	domain  string
	hosts   []*host
	unknown error // the last look-up that got no answer
	back    bool  // the mail would come back to us
}

// locate looks up the hosts of a.route.Domain: RFC 5321, section 5.1. A fault that is
// Refused is about the domain, which then takes no mail at all.
func (a *Agent) locate(ctx context.Context) *connectFault {
	no := func(enhanced, text string) *connectFault {
		return &connectFault{verdict: ours(doppelboden.Refused, doppelboden.AboutRecipient, phaseConnect, enhanced, text)}
	}
	later := func(enhanced, text string) *connectFault {
		return &connectFault{verdict: ours(doppelboden.Later, doppelboden.AboutRoute, phaseConnect, enhanced, text)}
	}
	s := search{agent: a, domain: a.route.Domain}
	if strings.HasPrefix(s.domain, "[") {
		// RFC 5321, section 4.1.3. A stranger's address literal would let anybody who may
		// send make us connect to any machine of the city.
		return no("5.1.2", "mail to address literals is not sent")
	}
	if a.opts.Resolver == nil {
		return later("4.4.3", "mail exchangers cannot be looked up here")
	}
	mxs, err := a.opts.Resolver.MX(ctx, s.domain)
	implicit := err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound
	switch {
	case implicit:
		// Without MX the domain itself is the exchanger.
		mxs = []resolver.MX{{Host: s.domain}}
	case err != nil:
		return later("4.4.3", "the mail exchangers of "+s.domain+" cannot be looked up: "+describeLookup(err))
	case len(mxs) == 1 && mxs[0].Host == ".":
		return no("5.1.10", s.domain+" takes no mail (null MX)") // RFC 7505, section 4.2
	}
	first := s.collect(ctx, mxs)
	switch {
	case len(s.hosts) > 0:
		a.hosts = s.hosts
		return nil
	case first:
		return no("5.4.6", "mail for "+s.domain+" loops back to this server: it is the best mail exchanger and does not know the domain")
	case s.unknown != nil:
		return later("4.4.3", "the addresses of the mail exchangers of "+s.domain+" cannot be looked up: "+describeLookup(s.unknown))
	case implicit && !a.knowsTheWorld(ctx):
		return later("4.4.3", "the DNS says that "+s.domain+" does not exist, but it does not know the Internet either")
	case implicit:
		return no("5.1.2", "the domain "+s.domain+" does not exist, or nobody takes mail for it")
	}
	// Promise 3: a mistake in somebody's DNS is no word about the recipient.
	return later("4.4.4", "no mail exchanger of "+s.domain+" has an address that can be used")
}

// rootServer is a name that every name server of the Internet knows: RFC 8109, section 3.
const rootServer = "a.root-servers.net"

// knowsTheWorld reports whether "does not exist" can be believed. A name server of a city
// that has lost its forwarders, or that was only ever meant for inside, says it of every
// domain, and all mail would go back to its senders (promise 3).
func (a *Agent) knowsTheWorld(ctx context.Context) bool {
	addrs, err := a.opts.Resolver.Addrs(ctx, rootServer)
	return err == nil && len(addrs) > 0
}

// describeLookup says what a failed look-up may tell: the public part of its error.
func describeLookup(err error) string {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return doppelboden.PublicOf(err)
}

// collect looks up exchangers, best preference first, until there are enough addresses
// or we find ourselves. first says that we are the best.
func (s *search) collect(ctx context.Context, mxs []resolver.MX) (first bool) {
	mxs = slices.DeleteFunc(slices.Clone(mxs), func(mx resolver.MX) bool { return mx.Host == "." })
	// Section 5.1: those of the same preference share the load.
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(x, y resolver.MX) int { return cmp.Compare(x.Pref, y.Pref) })
	mxs = mxs[:min(len(mxs), mostExchangers)]
	for i := 0; i < len(mxs) && len(s.hosts) < mostAddresses; {
		same := i
		for same < len(mxs) && mxs[same].Pref == mxs[i].Pref {
			same++
		}
		known := len(s.hosts)
		for _, mx := range mxs[i:same] {
			s.exchanger(ctx, mx)
		}
		if s.back {
			// Section 5.1: our own preference and all worse ones are left out, or two
			// servers would give the mail to each other for ever.
			s.hosts = s.hosts[:known]
			return i == 0
		}
		i = same
	}
	s.hosts = s.hosts[:min(len(s.hosts), mostAddresses)]
	return false
}

// exchanger looks up the addresses of one exchanger.
func (s *search) exchanger(ctx context.Context, mx resolver.MX) {
	a := s.agent
	if a.opts.Own(mx.Host, netip.Addr{}) {
		s.back = true
		return
	}
	addrs, err := a.opts.Resolver.Addrs(ctx, mx.Host)
	if err != nil {
		if doppelboden.CodeOf(err) != doppelboden.NotFound {
			s.unknown = err
		}
		return
	}
	addrs = slices.Clone(addrs)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	// IPv4 first: where IPv6 is half set up, each attempt would wait for its time-out.
	slices.SortStableFunc(addrs, func(x, y netip.Addr) int { return cmp.Compare(x.Unmap().BitLen(), y.Unmap().BitLen()) })
	taken := map[int]int{}
	for _, addr := range addrs {
		addr = addr.Unmap()
		if a.opts.Own(mx.Host, addr) {
			s.back = true
		}
		if taken[addr.BitLen()] == mostOfFamily || !a.reachable(addr) {
			continue
		}
		taken[addr.BitLen()]++
		s.hosts = append(s.hosts, a.remembered(Host{
			Addr: netip.AddrPortFrom(addr, uint16(a.opts.ExchangerPort)).String(), Name: mx.Host, Preference: int(mx.Pref),
		}))
	}
}

// reachable reports whether an address found in the DNS may be connected to. Whoever
// writes 127.0.0.1 into his zone would else talk through us to what listens only for
// this machine.
func (a *Agent) reachable(addr netip.Addr) bool {
	switch {
	case addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast():
		return false
	case addr.IsLoopback():
		return a.opts.Loopback
	}
	return len(a.route.Sources) == 0 || a.source(addr).IsValid()
}

// source returns the address to connect from to addr; the zero address when there is none.
func (a *Agent) source(addr netip.Addr) netip.Addr {
	for _, s := range a.route.Sources {
		if s.Is4() == addr.Is4() {
			return s
		}
	}
	return netip.Addr{}
}

// remembered returns a host with what the shared memory knows of it.
func (a *Agent) remembered(h Host) *host {
	r := &host{Host: h, log: a.opts.Log.With("route", a.route.Name, "exchanger", h.Name, "server", h.Addr)}
	a.opts.Memory.recall(r)
	return r
}

// shown names the host in outcomes: by its name where there is one.
func (h *host) shown() string {
	if h.Name == "" {
		return h.Addr
	}
	port := netip.MustParseAddrPort(h.Addr).Port()
	return h.Name + ":" + strconv.Itoa(int(port))
}

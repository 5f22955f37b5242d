package smtpd

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// nameTimeout is how long a look-up may take: the answer is wanted at MAIL, a few
	// round trips after the connection was made.
	nameTimeout = 2 * time.Second
	// nameTTL is how long an answer, also "none", is believed.
	nameTTL = 10 * time.Minute
	// maxNames bounds the cache: at 100 octets an entry it is 1 MB.
	maxNames = 10_000
	// maxLookups bounds the look-ups at one time; with DNS dead they all hang.
	maxLookups = 100
)

// names knows what clients are called. It looks names up in the background: nobody
// waits for DNS, and without DNS clients just have no name.
type names struct {
	resolver Resolver // nil: nobody has a name
	clock    func() time.Time
	running  sync.WaitGroup

	mu    sync.Mutex
	known map[netip.Addr]name
	asked int // look-ups under way
}

// A name is an answer, or the fact that the question was asked.
type name struct {
	text string // empty: none, or not known yet
	at   time.Time
}

// ask starts a look-up of peer unless its name is known or being asked for. Look-ups
// end with ctx.
func (n *names) ask(ctx context.Context, peer netip.Addr) {
	if n.resolver == nil || !peer.IsValid() || peer.IsLoopback() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.clock()
	if got, ok := n.known[peer]; ok && now.Sub(got.at) < nameTTL {
		return
	}
	if n.asked >= maxLookups {
		return
	}
	if len(n.known) >= maxNames {
		n.forget(now)
	}
	n.known[peer] = name{at: now}
	n.asked++
	n.running.Go(func() {
		text := n.lookUp(ctx, peer)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.known[peer] = name{text: text, at: n.clock()}
		n.asked--
	})
}

// forget drops what is old, or everything when nothing is. The caller holds the lock.
func (n *names) forget(now time.Time) {
	for peer, got := range n.known {
		if now.Sub(got.at) >= nameTTL {
			delete(n.known, peer)
		}
	}
	if len(n.known) >= maxNames {
		clear(n.known)
	}
}

// of returns the name of peer, or "" when none is known now.
func (n *names) of(peer netip.Addr) string {
	if peer.IsLoopback() {
		return "localhost"
	}
	if n.resolver == nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[peer].text
}

// lookUp returns the first name of peer that leads back to it; a PTR record alone is
// the word of whoever owns the address.
func (n *names) lookUp(ctx context.Context, peer netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	found, err := n.resolver.LookupAddr(ctx, peer.String())
	if err != nil {
		return ""
	}
	const tries = 3 // somebody with a hundred PTR records shall not have a hundred questions
	for _, host := range found[:min(len(found), tries)] {
		host = strings.TrimSuffix(host, ".")
		if !isHostName(host) {
			continue
		}
		addrs, err := n.resolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if a.Unmap() == peer {
				return host
			}
		}
	}
	return ""
}

// isHostName checks what DNS gave: letters, digits, "-", "_" and ".", at most 253.
func isHostName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 253
}

package resolver

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"doppelboden"

	"github.com/miekg/dns"
)

// TXT implements Resolver.
func (c *Client) TXT(ctx context.Context, name string) ([]string, error) {
	r, err := c.ask(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	return r.texts, nil
}

// MX implements Resolver.
func (c *Client) MX(ctx context.Context, name string) ([]MX, error) {
	r, err := c.ask(ctx, name, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	mxs := slices.Clone(r.mxs)
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b MX) int { return int(a.Pref) - int(b.Pref) })
	return mxs, nil
}

// A returns the IPv4 addresses of a host, with the errors of a Resolver.
func (c *Client) A(ctx context.Context, name string) ([]netip.Addr, error) {
	r, err := c.ask(ctx, name, dns.TypeA)
	if err != nil {
		return nil, err
	}
	return r.addrs, nil
}

// AAAA returns the IPv6 addresses of a host, with the errors of a Resolver.
func (c *Client) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	r, err := c.ask(ctx, name, dns.TypeAAAA)
	if err != nil {
		return nil, err
	}
	return r.addrs, nil
}

// Addrs implements Resolver. Both questions are on their way at once.
func (c *Client) Addrs(ctx context.Context, name string) ([]netip.Addr, error) {
	f4, r4 := c.begin(name, dns.TypeA)
	f6, r6 := c.begin(name, dns.TypeAAAA)
	r4, err4 := c.finish(ctx, f4, r4)
	r6, err6 := c.finish(ctx, f6, r6)
	switch {
	case err4 == nil && err6 == nil:
		return slices.Concat(r4.addrs, r6.addrs), nil
	case err4 == nil:
		return r4.addrs, nil
	case err6 == nil:
		return r6.addrs, nil
	case doppelboden.CodeOf(err4) == doppelboden.NotFound:
		return nil, err6
	}
	return nil, err4
}

// PTR implements Resolver.
func (c *Client) PTR(ctx context.Context, addr netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, notFound("not an address", ErrNoName)
	}
	r, err := c.ask(ctx, name, dns.TypePTR)
	if err != nil {
		return nil, err
	}
	return r.names, nil
}

// newQuestion makes a question. ok is false for what cannot stand in the DNS: RFC 1035, section
// 2.3.4; and for octets that no name in use has. Strangers choose these names: SPF may
// put the sender's local part into one, so what package dns would read as more than a
// letter is escaped as it writes it.
func newQuestion(name string, kind uint16) (question, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return question{}, false
	}
	label, escaped := 0, make([]byte, 0, len(name)+8)
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.' && label == 0, c < ' ', c >= 0x7f:
			return question{}, false
		case c == '.':
			label = -1
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case strings.IndexByte(` '@;()"\`, c) >= 0: // RFC 1035, section 5.1
			escaped = append(escaped, '\\')
		}
		if label++; label > 63 {
			return question{}, false
		}
		escaped = append(escaped, c)
	}
	if label == 0 {
		return question{}, false
	}
	return question{name: string(append(escaped, '.')), kind: kind}, true
}

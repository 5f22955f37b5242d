package mailauth

import (
	"context"
	"net/netip"
	"slices"

	"doppelboden"
)

// mostNames is how many names of an address are tried. Who owns the address chooses how
// many there are; RFC 7208, section 4.6.4, has 10 for the same question.
const mostNames = 10

// iprev checks that the client's address has a name that leads back to it: RFC 8601,
// section 3.
func (c *Checker) iprev(ctx context.Context, ip netip.Addr) Result {
	r := Result{Method: "iprev", Props: []Property{{"policy", "iprev", ip.String()}}}
	names, err := c.opts.DNS.PTR(ctx, ip)
	switch {
	case doppelboden.CodeOf(err) == doppelboden.NotFound:
		r.Value, r.Reason = PermError, "the address has no name" // section 2.7.3
		return r
	case err != nil:
		r.Value = TempError
		return r
	}
	r.Value, r.Reason = Fail, "its name does not lead back to it"
	for _, name := range names[:min(len(names), mostNames)] {
		ask := c.opts.DNS.AAAA
		if ip.Is4() {
			ask = c.opts.DNS.A
		}
		addrs, err := ask(ctx, name)
		if slices.Contains(addrs, ip) {
			r.Value, r.Reason = Pass, ""
			return r
		}
		if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
			r.Value, r.Reason = TempError, ""
		}
	}
	return r
}

package mailauth

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"doppelboden"

	"blitiri.com.ar/go/spf"
)

// An spfVerdict is what SPF says about one identity.
type spfVerdict struct {
	domain string // that was checked; "" when there was none
	value  Value
	reason string
}

// spf checks one identity: RFC 7208, section 4. local and domain are the sender's, helo
// is what the client calls itself.
func (c *Checker) spf(ctx context.Context, ip netip.Addr, helo, local, domain string) spfVerdict {
	// Section 4.3: what is no name of several labels has no policy.
	if name, ok := dnsName(domain); !ok || !strings.Contains(name, ".") {
		return spfVerdict{value: None, reason: "not a domain"}
	}
	// Macros may ask for the local part (section 7.2). One that would change where the
	// domain begins is replaced.
	if strings.ContainsAny(local, "@\" ") || local == "" {
		local = "postmaster"
	}
	value, err := spf.CheckHostWithSender(net.IP(ip.AsSlice()), strings.TrimSuffix(helo, "."), local+"@"+domain,
		spf.WithContext(ctx), spf.WithResolver(spfDNS{c.opts.DNS, ip.Is4()}))
	v := spfVerdict{domain: domain, value: Value(value)}
	switch v.value {
	case PermError:
		v.reason = "the policy is broken"
		if err != nil {
			v.reason += ": " + err.Error()
		}
	case TempError:
		v.reason = "the policy cannot be fetched now"
	}
	return v
}

// mailFrom checks the reverse-path; for the null one postmaster at the HELO name: RFC
// 7208, section 2.4.
func (c *Checker) mailFrom(ctx context.Context, ip netip.Addr, helo string, sender doppelboden.Address) spfVerdict {
	if sender.IsNull() {
		return c.spf(ctx, ip, helo, "postmaster", helo)
	}
	return c.spf(ctx, ip, helo, sender.Local, sender.Domain)
}

// An spfDNS is a DNS as package spf asks it: with the errors of package net. It asks for
// the addresses of the client's kind alone: section 5, and for "exists" always for IPv4:
// section 5.7. So trouble with the other kind changes nothing.
type spfDNS struct {
	dns DNS
	is4 bool
}

// LookupTXT implements spf.DNSResolver. A record with a mistake anywhere comes back as
// one that is broken: package spf finds mistakes only where it gets to.
func (d spfDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	found, err := d.dns.TXT(ctx, name)
	texts := make([]string, 0, 1)
	for _, t := range found {
		switch {
		case !isSPF(t): // package spf looks at no others
		case validSPF(t):
			texts = append(texts, t)
		default:
			texts = append(texts, brokenSPF)
		}
	}
	return texts, netError(name, err)
}

// LookupMX implements spf.DNSResolver.
func (d spfDNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	found, err := d.dns.MX(ctx, name)
	if err != nil {
		return nil, netError(name, err)
	}
	mxs := make([]*net.MX, len(found))
	for i, mx := range found {
		mxs[i] = &net.MX{Host: mx.Host, Pref: mx.Pref}
	}
	return mxs, nil
}

// LookupIPAddr implements spf.DNSResolver.
func (d spfDNS) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addrs, err := d.dns.A(ctx, host)
	if !d.is4 {
		var more []netip.Addr
		var err6 error
		more, err6 = d.dns.AAAA(ctx, host)
		switch {
		case err6 == nil:
			addrs, err = append(append([]netip.Addr(nil), addrs...), more...), nil
		case doppelboden.CodeOf(err6) != doppelboden.NotFound:
			err = err6 // it might have been the one that matches
		}
	}
	if err != nil {
		return nil, netError(host, err)
	}
	ips := make([]net.IPAddr, len(addrs))
	for i, a := range addrs {
		ips[i] = net.IPAddr{IP: a.AsSlice()}
	}
	return ips, nil
}

// LookupAddr implements spf.DNSResolver.
func (d spfDNS) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an address", Name: addr, IsNotFound: true}
	}
	names, err := d.dns.PTR(ctx, a)
	return names, netError(addr, err)
}

// netError returns err as package net would say it.
func netError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case doppelboden.CodeOf(err) == doppelboden.NotFound:
		return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return &net.DNSError{Err: "temporary failure", Name: name, IsTemporary: true, UnwrapErr: err}
}

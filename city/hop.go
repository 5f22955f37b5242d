package city

import "net/netip"

// A Hop is a trusted hop: a gateway or a load balancer in front of us. It tells us who
// the client is, by XCLIENT, the PROXY protocol or its Received line.
type Hop struct {
	Name     string         // for logs and people
	Networks []netip.Prefix // where it connects from
	// ReceivedBy are the names behind "by" in its Received lines; none: these are not
	// believed.
	ReceivedBy []string
	// AuthservID is its name in Authentication-Results (RFC 8601); empty: these are not
	// believed. It must remove what strangers forge in its name.
	AuthservID string
}

// Contains reports whether an address is the hop's.
func (h *Hop) Contains(a netip.Addr) bool {
	for _, p := range h.Networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Hop returns the trusted hop with an address, or nil.
func (c *City) Hop(a netip.Addr) *Hop {
	for _, h := range c.Hops {
		if h.Contains(a) {
			return h
		}
	}
	return nil
}

// parseHops reads the [[hop]] of an installation.
func parseHops(top *section) []*Hop {
	const (
		wantReceived = `write the name behind "by" in its Received lines: received_by = ["gw.musterstadt.de"]`
		wantAuthserv = `write its name in Authentication-Results, such as "gw.musterstadt.de"`
	)
	names := map[string]int{}
	var list []*Hop
	for _, s := range top.tables("hop") {
		h := &Hop{Name: s.must("name", says(`write lower-case letters, digits and hyphens, such as "gateway"`))}
		line, twice := names[h.Name]
		switch {
		case h.Name != "" && !isName(h.Name):
			s.wrong("name", says("not a name"), says(`write lower-case letters, digits and hyphens, such as "gateway"`))
		case h.Name != "" && twice:
			s.wrong("name", says("the hop of line %s has the same name", line), says("write another name"))
		}
		names[h.Name] = s.at("name")
		if !s.has("networks") {
			s.missing("networks", says(wantNetworks))
		}
		h.Networks = parseNetworks(s, "networks")
		for i, p := range h.Networks {
			if tooLarge(p) {
				s.wrongItem("networks", i, p.String(), says("so large that strangers are in it, whose every word we would believe"), says(wantNetworks))
			}
		}
		for i, written := range s.texts("received_by", says(wantReceived)) {
			name, ok := asciiDomain(written)
			if written != "" && !ok {
				s.wrongItem("received_by", i, written, says("not a host name"), says(wantReceived))
				continue
			}
			h.ReceivedBy = append(h.ReceivedBy, name)
		}
		h.AuthservID = s.text("authserv_id", "", says(wantAuthserv))
		s.done()
		list = append(list, h)
	}
	return list
}

package city

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// A DNS says whom a node asks: [dns] of node.toml. Its zero value asks the name servers
// of the machine.
type DNS struct {
	Servers []string // address:port, in this order; empty: those of /etc/resolv.conf
	Off     bool     // nobody is asked: a node without a network, a try-out
}

const wantNameServers = `write servers = ["127.0.0.1:53"], or ["none"] for a node without DNS`

// parseDNS reads [dns].
func parseDNS(s *section) DNS {
	var d DNS
	written := s.texts("servers", says(wantNameServers))
	for i, w := range written {
		switch addr, ok := nameServer(w); {
		case w == "": // noted already
		case w == "none" && len(written) == 1:
			d.Off = true
		case !ok:
			s.wrongItem("servers", i, w, says("not the address of a name server"), says(wantNameServers))
		case slices.Contains(d.Servers, addr):
			s.wrongItem("servers", i, w, says("written twice"), says(wantNameServers))
		default:
			d.Servers = append(d.Servers, addr)
		}
	}
	s.done()
	return d
}

// nameServer returns an address with its port; without one it is 53. Names would need a
// name server to be found.
func nameServer(s string) (string, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53).String(), true
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", false
	}
	a, err := netip.ParseAddr(host)
	p, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil || p == 0 {
		return "", false
	}
	return netip.AddrPortFrom(a, uint16(p)).String(), true
}

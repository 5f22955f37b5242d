package app

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/intake"
	"doppelboden/mailauth"
	"doppelboden/resolver"
	"doppelboden/smtpd"
)

// resolvConf names the machine's name servers: resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// openDNS makes what asks the name servers. It asks nothing by itself.
func (n *Node) openDNS(context.Context) error {
	conf := n.opts.Node.DNS
	if conf.Off {
		return nil
	}
	servers := conf.Servers
	if len(servers) == 0 {
		var err error
		if servers, err = resolver.SystemServers(resolvConf); err != nil {
			return err
		}
	}
	client, err := resolver.New(resolver.Options{Servers: servers, Registry: n.registry, Clock: n.clock})
	if err != nil {
		return fmt.Errorf("use the name servers: %w", err)
	}
	n.dns = client
	n.onStop("the resolver", func(context.Context) error {
		client.Wait()
		return nil
	})
	return nil
}

// resolver returns what asks the name servers, or what says that nobody does.
func (n *Node) resolver() resolver.Resolver {
	if n.dns == nil {
		return resolver.None{}
	}
	return n.dns
}

// senders returns the check of who sends, or nothing on a node without DNS.
func (n *Node) senders() ([]intake.Check, error) {
	if n.dns == nil {
		return nil, nil
	}
	c, err := mailauth.New(mailauth.Options{
		AuthservID: n.opts.Node.Hostname, DNS: n.dns, Handling: n.house.handling,
		Log: n.log, Registry: n.registry,
	})
	if err != nil {
		return nil, err
	}
	return []intake.Check{c}, nil
}

// handling is what a tenant wants done with mail that fails DMARC.
func (h *house) handling(id doppelboden.TenantID) mailauth.Handling {
	d := h.directory.Load()
	name := d.TenantName(id)
	for i := range d.City().Tenants {
		if t := &d.City().Tenants[i]; t.Name == name {
			switch t.DMARC {
			case city.HoldDMARC:
				return mailauth.Hold
			case city.RefuseDMARC:
				return mailauth.Refuse
			}
		}
	}
	return mailauth.Mark
}

// clientNames returns what tells smtpd the names of its clients; nil without DNS.
func (n *Node) clientNames() smtpd.Resolver {
	if n.dns == nil {
		return nil
	}
	return peerNames{n.dns}
}

// peerNames asks the node's name servers as smtpd does. Package mailauth asks the same
// later, and finds the answers in the cache.
type peerNames struct{ dns *resolver.Client }

// LookupAddr implements smtpd.Resolver.
func (p peerNames) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("look up the name of a client: %w", err)
	}
	return p.dns.PTR(ctx, a)
}

// LookupNetIP implements smtpd.Resolver.
func (p peerNames) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	return p.dns.Addrs(ctx, host)
}

// nameServers tells when nobody answers questions to the DNS.
func (w *watcher) nameServers(ctx context.Context, wrong alarms) {
	if w.n.dns == nil {
		return
	}
	if dead, answers := w.n.dns.Dead(ctx); ctx.Err() == nil && !answers {
		wrong[alarmKey{"dns", ""}] = doppelboden.Tell("No name server answers (%s). Mail is taken, but nobody knows whether its senders are true, and nothing leaves for the Internet by MX; it waits. Repair them, or name others in [dns] of node.toml and start the node again.", strings.Join(dead, ", "))
	}
}

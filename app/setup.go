package app

import (
	"crypto/tls"
	"net"
	"strconv"

	"doppelboden/web"
	"doppelboden/web/setup"
)

// mountSetup adds the pages that set mail programs up. The listeners for these are open
// already, so that their ports are known.
func (n *Node) mountSetup(server *web.Server) error {
	ports := setup.Ports{IMAPS: n.portOf("imap"), Submission: n.portOf("submission"), Submissions: n.portOf("submission_tls")}
	return setup.Mount(setup.Options{
		Server: server, People: n.accounts, Host: n.opts.Node.Hostname, Clock: n.clock,
		Ports: func() setup.Ports { return ports },
		Ours: func(domain string) (string, bool) {
			d := n.house.Directory()
			t, ok := d.TenantOf(domain)
			return d.TenantName(t), ok
		},
		Certificate: func() (*tls.Certificate, error) { return n.certificate().GetCertificate(&tls.ClientHelloInfo{}) },
	})
}

// portOf returns the port of a listener, or 0.
func (n *Node) portOf(name string) int {
	_, port, err := net.SplitHostPort(n.listeners[name])
	if err != nil {
		return 0
	}
	number, _ := strconv.Atoi(port) // a listener's own word
	return number
}

package city

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"doppelboden"
)

// A Node is the checked content of node.toml: one machine. Paths are absolute or
// relative to the working directory, never to node.toml any more.
type Node struct {
	File     string // the node.toml that says all this
	Name     string // unique among the nodes of an installation
	Site     string // where it stands; shown in status
	Hostname string // its name in the DNS: in the greeting, in EHLO and in Received
	Roles    []Role // what it does; at least one
	Data     string // folder of the database, the segments, the tallies and the knots
	Keys     string // folder of master.key and ledger.key
	City     string // the city.toml that is applied when the database has none yet

	MX      string // host:port where mail comes in; empty without RoleMX
	Metrics string // host:port of Prometheus metrics, or empty

	// Ports of the role "mx" that a node may have besides; empty: it does not.
	Submission    string // host:port for the city's own senders (RFC 6409)
	SubmissionTLS string // the same with TLS from the start (RFC 8314)
	Proxied       string // host:port for load balancers that speak the PROXY protocol

	Web  string // host:port of the pages for people, or empty
	IMAP string // host:port for their mail programs, with TLS from the start (RFC 8314), or empty

	Certificate string // PEM file for STARTTLS, with its chain
	Key         string // PEM file of its private key
	ACME        string // URL of an authority's directory (RFC 8555) that makes the certificate; empty: the files have it
	ACMEEmail   string // where it may write to; may be empty

	DNS      DNS
	Database Database
	Limits   Limits
}

// A Role is a part of the work.
type Role string

const (
	// RoleMX takes mail.
	RoleMX Role = "mx"
	// RoleQueue hands mail over.
	RoleQueue Role = "queue"
)

// Has reports whether the node does a part of the work.
func (n *Node) Has(r Role) bool { return slices.Contains(n.Roles, r) }

// Limits of one node. All have a default that fits a machine with 2 GB of memory.
type Limits struct {
	MessageMB             int64 // the largest mail that is taken, in MiB, and announced by SIZE (RFC 1870)
	MemoryMB              int64 // for bodies on their way in, all connections together, in MiB
	Connections           int   // open connections to the MX, all together
	ConnectionsPerAddress int   // of one client's address
	Recipients            int   // of one mail; RFC 5321, section 4.5.3.1.8, wants at least 100
	MinFreeMB             int64 // with less room on the disk no mail is taken, in MiB
}

// What is taken when nothing is written.
const (
	defaultMessageMB  = 50
	defaultMemoryMB   = 128  // some 2,000 mails of 64 KiB at the same moment
	defaultConns      = 2000 // as many as the tests hold open
	defaultPerAddress = 50   // a large provider sends over some 20 connections of one address
	defaultRecipients = 1000
	defaultMinFreeMB  = 1024 // room for what follows an acceptance: settling, ledger, checkpoints
)

// What is right.
const (
	wantListen   = `write "address:port" such as "127.0.0.1:2525"`
	wantHostname = `write its full name in the DNS, such as "mx1.musterstadt.de"`
	wantRoles    = `write roles = ["mx", "queue"]`
)

// ParseNode reads node.toml; name is its path, from which the paths in it start. Its
// error is a Mistakes, which tells all of them at once.
func ParseNode(name string, text []byte) (*Node, error) {
	d, top := open(name, text)
	if top == nil {
		return nil, d.mistakes.sorted()
	}
	top.format()
	dir := filepath.Dir(name)
	n := &Node{
		File:     name,
		Name:     top.must("name", says(`write lower-case letters, digits and hyphens, such as "node1"`)),
		Site:     top.text("site", "", says(`write where the machine stands, such as "rathaus"`)),
		Hostname: top.must("hostname", says(wantHostname)),
		Roles:    parseRoles(top),
		Data:     path(dir, top.text("data", "data", says(`write a folder such as "data"`))),
		Keys:     path(dir, top.text("keys", "keys", says(`write a folder such as "keys"`))),
		City:     path(dir, top.text("city", "city.toml", says(`write a file such as "city.toml"`))),
	}
	if n.Name != "" && !isName(n.Name) {
		top.wrong("name", says("not a name"), says(`write lower-case letters, digits and hyphens, such as "node1"`))
	}
	if n.Site != "" && !isName(n.Site) {
		top.wrong("site", says("not a name"), says(`write lower-case letters, digits and hyphens, such as "rathaus"`))
	}
	n.Hostname = parseHostname(top, n.Hostname)
	n.listeners(top.table("listen"))
	n.certificate(top.table("tls"), dir)
	if n.SubmissionTLS != "" && n.Certificate == "" {
		top.missing("tls", says("write [tls] with certificate and key: submission_tls is of no use without"))
	}
	if n.Web != "" && n.Certificate == "" {
		top.missing("tls", says("write [tls] with certificate and key: pages are shown over https alone"))
	}
	if n.IMAP != "" && n.Certificate == "" {
		top.missing("tls", says("write [tls] with certificate and key: mail programs are let in over TLS alone"))
	}
	n.DNS = parseDNS(top.table("dns"))
	n.Database = parseDatabase(top.table("database"), top.has("database"))
	n.Limits = parseLimits(top.table("limits"))
	top.done()
	if err := d.mistakes.sorted(); err != nil {
		return nil, err
	}
	return n, nil
}

// path makes p relative to dir unless it is absolute.
func path(dir, p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}

// parseHostname returns the name in A-labels.
func parseHostname(s *section, written string) string {
	if written == "" {
		return ""
	}
	ascii, ok := asciiDomain(written)
	if !ok {
		s.wrong("hostname", says("not a host name"), says(wantHostname))
	}
	return ascii
}

// parseRoles reads what a node does.
func parseRoles(s *section) []Role {
	if !s.has("roles") {
		return []Role{RoleMX, RoleQueue}
	}
	var roles []Role
	for i, written := range s.texts("roles", says(wantRoles)) {
		r := Role(written)
		switch {
		case written == "":
		case r != RoleMX && r != RoleQueue:
			s.wrongItem("roles", i, written, says("not a role"), says(wantRoles))
		case slices.Contains(roles, r):
			s.wrongItem("roles", i, written, says("written twice"), says(wantRoles))
		default:
			roles = append(roles, r)
		}
	}
	return roles
}

// listeners reads [listen].
func (n *Node) listeners(s *section) {
	n.MX, n.Metrics = parseListen(s, "mx"), parseListen(s, "metrics")
	n.Submission, n.SubmissionTLS, n.Proxied = parseListen(s, "submission"), parseListen(s, "submission_tls"), parseListen(s, "proxied")
	switch {
	case n.Has(RoleMX) && !s.has("mx"):
		s.missing("mx", says(`write mx = "127.0.0.1:2525", or leave "mx" out of roles`))
	case len(n.Roles) > 0 && !n.Has(RoleMX) && s.has("mx"):
		s.wrong("mx", says(`the node does not have the role "mx"`), says(`add "mx" to roles, or leave this out`))
	}
	n.Web, n.IMAP = parseListen(s, "web"), parseListen(s, "imap")
	taken := map[string]string{n.MX: "mx"}
	for _, l := range []struct{ key, at string }{
		{"metrics", n.Metrics}, {"submission", n.Submission}, {"submission_tls", n.SubmissionTLS}, {"proxied", n.Proxied}, {"web", n.Web}, {"imap", n.IMAP},
	} {
		if other := taken[l.at]; other != "" && l.at != "" && !strings.HasSuffix(l.at, ":0") {
			s.wrong(l.key, says("the same address and port as %s", other), says("write another port"))
		}
		taken[l.at] = l.key
		if l.key != "metrics" && l.key != "web" && l.key != "imap" && l.at != "" && len(n.Roles) > 0 && !n.Has(RoleMX) {
			s.wrong(l.key, says(`the node does not have the role "mx"`), says(`add "mx" to roles, or leave this out`))
		}
	}
	s.done()
}

// parseListen reads one address to listen at. Port 0 lets the system choose one.
func parseListen(s *section, key string) string {
	if !s.has(key) {
		return ""
	}
	written := s.text(key, "", says(wantListen))
	if written == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(written)
	if err != nil {
		s.wrong(key, says("not address:port (an IPv6 address stands in brackets)"), says(wantListen))
		return ""
	}
	if p, err := strconv.Atoi(port); err != nil || p < 0 || p > 65535 {
		s.wrong(key, says("the port is not a number from 0 to 65535"), says(wantListen))
		return ""
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		s.wrong(key, says("not an address of this machine"), says(wantListen))
		return ""
	}
	return written
}

// certificate reads [tls]. Without it the MX offers no STARTTLS.
func (n *Node) certificate(s *section, dir string) {
	n.Certificate = path(dir, s.text("certificate", "", says(`write a PEM file such as "keys/cert.pem"`)))
	n.Key = path(dir, s.text("key", "", says(`write a PEM file such as "keys/key.pem"`)))
	switch {
	case s.has("certificate") && !s.has("key"):
		s.missing("key", says(`write key = "keys/key.pem": a certificate is of no use without its key`))
	case s.has("key") && !s.has("certificate"):
		s.missing("certificate", says(`write certificate = "keys/cert.pem": a key is of no use without its certificate`))
	}
	n.acme(s)
	s.done()
}

// acme reads which authority makes the certificate.
func (n *Node) acme(s *section) {
	want := says(`write the URL of its directory, such as "https://acme-v02.api.letsencrypt.org/directory"`)
	n.ACME = s.text("acme", "", want)
	if u, err := url.Parse(n.ACME); n.ACME != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		s.wrong("acme", says("not the URL of an authority"), want)
	}
	if n.ACME != "" && n.Certificate == "" {
		s.missing("certificate", says(`write certificate and key: what is shown until the authority has made one`))
	}
	n.ACMEEmail = s.text("acme_email", "", says(`write an address, such as "it@musterstadt.de"`))
	if _, err := doppelboden.ParseAddress(n.ACMEEmail); n.ACMEEmail != "" && err != nil {
		s.wrong("acme_email", notAddress(err), says(`write an address, such as "it@musterstadt.de"`))
	}
}

// parseLimits reads [limits].
func parseLimits(s *section) Limits {
	l := Limits{
		MessageMB:             s.number("message_mb", defaultMessageMB, 1, 1024),
		MemoryMB:              s.number("memory_mb", defaultMemoryMB, 16, 1<<20),
		Connections:           int(s.number("connections", defaultConns, 1, 100_000)),
		ConnectionsPerAddress: int(s.number("connections_per_address", defaultPerAddress, 1, 100_000)),
		Recipients:            int(s.number("recipients", defaultRecipients, 100, 100_000)),
		MinFreeMB:             s.number("min_free_mb", defaultMinFreeMB, 1, 1<<30),
	}
	if l.ConnectionsPerAddress > l.Connections {
		if s.has("connections_per_address") {
			s.wrong("connections_per_address", says("more than connections, so that one client could take them all"), says("write at most the value of connections"))
		} else {
			l.ConnectionsPerAddress = l.Connections
		}
	}
	s.done()
	return l
}

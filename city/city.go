package city

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"doppelboden"
)

// Format is the version of city.toml and node.toml that this program reads.
const Format = 1

// A City is the checked content of city.toml: all tenants that share an installation.
type City struct {
	RetentionDays  int      // how long mail is kept after all its deliveries have ended
	ConfirmPercent int      // a change that concerns a greater share of a tenant's mailboxes must be confirmed
	Tenants        []Tenant // in the order of the file; at least one
	Hops           []*Hop   // trusted hops, for all tenants
}

// A Tenant is one administration, with its domains and where their mail goes.
type Tenant struct {
	Name       string              // lower-case letters, digits and hyphens
	Domains    []string            // in lower case with A-labels; at least one
	Postmaster doppelboden.Address // whose mailbox takes what is sent to postmaster@ and abuse@
	Scan       Scan                // how mail is scanned
	DMARC      DMARC               // what becomes of mail whose sender is not proved
	Routes     []*Route            // the first is the default: it takes what no other route's Domains name
	People                         // who exists, besides the mailboxes in the store
	Internet   *Internet           // how its mail leaves for the world; nil: it does not
	Senders    []*Sender           // who sends through us
	Accounts   Accounts            // how its people are let in without their directory
	SMS        *SMS                // how its people get SMS; nil: they do not
	Journal    *Journal            // where its groupware reports mail between colleagues; nil: it does not
	Mailboxes  Mailboxes           // how its mailboxes are used in an emergency
}

// A Route is where mail goes when it has been accepted.
type Route struct {
	Tenant      string   // the tenant's name
	Name        string   // unique within the tenant
	Domains     []string // the domains whose mailboxes use this route; none of the default route and of those for single mailboxes
	Here        bool     // the mailbox lies in this installation; there is no next server
	Hosts       []Host   // the next servers in the order of preference; none when Here
	Connections int      // how many connections at most are open to the route at once; 0 when Here
	TLS         TLSMode  // how connections are encrypted; "" when Here
	// PassThrough gives the next server's answers through to the sender, as long as it
	// answers: it is a gateway, which knows better than we what it takes.
	PassThrough bool
	IMAP        *IMAP // how we look into its mailboxes; nil: we cannot
	Hairpin     bool  // its groupware sends mail between its mailboxes through us
}

// Key names the route within the installation: tenant/name.
func (r *Route) Key() string { return r.Tenant + "/" + r.Name }

// String returns the route as a person would describe it: the next servers, how many
// connections and how they are encrypted, or "here".
func (r *Route) String() string {
	if r.Here {
		return "here"
	}
	hosts := make([]string, len(r.Hosts))
	for i, h := range r.Hosts {
		hosts[i] = h.String()
	}
	line := fmt.Sprintf("%s, %d connections, TLS %s", strings.Join(hosts, " "), r.Connections, r.TLS)
	if r.PassThrough {
		line += ", pass-through"
	}
	if r.IMAP != nil {
		line += ", " + r.IMAP.String()
	}
	return line
}

// A Host is one next server.
type Host struct {
	LMTP bool   // LMTP (RFC 2033) instead of SMTP
	Addr string // host:port
}

// String returns the host as city.toml writes it.
func (h Host) String() string {
	if h.LMTP {
		return "lmtp://" + h.Addr
	}
	return "smtp://" + h.Addr
}

// A TLSMode says how connections to a route are encrypted (STARTTLS, RFC 3207).
type TLSMode string

const (
	// TLSOff never asks for encryption.
	TLSOff TLSMode = "off"
	// TLSOpportunistic encrypts when the server offers it and does not check who it is.
	TLSOpportunistic TLSMode = "opportunistic"
	// TLSRequired hands nothing over without encryption; the certificate is not checked.
	TLSRequired TLSMode = "required"
	// TLSVerified is TLSRequired with a certificate that is valid for the host's name.
	TLSVerified TLSMode = "verified"
)

// Limits of city.toml, and what is taken when nothing is written.
const (
	defaultRetention   = 30       // days, as in docs/ARCHITECTURE.md
	maxRetention       = 10 * 365 // days; longer is an archive, which is another product
	defaultConfirm     = 10       // percent; the first groups of a migration are smaller
	defaultConnections = 8        // enough to keep a groupware busy, few enough not to flood it
	maxConnections     = 200      // Exchange's default for all its connectors is 5,000; one route needs no more
)

const (
	wantTenant  = `write [[tenant]] with name, domains and a [[tenant.route]]`
	wantName    = `write lower-case letters, digits and hyphens, such as "musterstadt"`
	wantDomains = `write domains = ["musterstadt.de"]`
	wantHosts   = `write "smtp://host:port" or "lmtp://host:port"`
)

// Parse reads city.toml. Its error is a Mistakes, which tells all of them at once.
func Parse(name string, text []byte) (*City, error) {
	d, top := open(name, text)
	if top == nil {
		return nil, d.mistakes.sorted()
	}
	top.format()
	c := &City{
		RetentionDays:  int(top.number("retention_days", defaultRetention, 1, maxRetention)),
		ConfirmPercent: int(top.number("confirm_percent", defaultConfirm, 0, 100)),
	}
	tenants := top.tables("tenant")
	if len(tenants) == 0 && !slices.ContainsFunc(d.mistakes, func(m Mistake) bool { return m.Field == "tenant" }) {
		top.missing("tenant", says(wantTenant))
	}
	names, owners, own := map[string]int{}, map[string]string{}, newSenders()
	for _, s := range tenants {
		c.Tenants = append(c.Tenants, parseTenant(s, names, owners, own))
	}
	c.Hops = parseHops(top)
	top.done()
	if err := d.mistakes.sorted(); err != nil {
		return nil, err
	}
	return c, nil
}

// format checks the version of the file's format.
func (s *section) format() {
	want := says("write format = %s", Format)
	if !s.has("format") {
		s.missing("format", want)
		return
	}
	if v, ok := s.values["format"].(int64); !ok || v != Format {
		s.wrong("format", says("a format that this program does not read"), want)
	}
}

// parseTenant reads one [[tenant]]. names holds the lines of all tenants so far, owners
// the tenant of every domain, own what senders have.
func parseTenant(s *section, names map[string]int, owners map[string]string, own *senders) Tenant {
	t := Tenant{Name: s.must("name", says(wantName))}
	if t.Name != "" {
		if !isName(t.Name) {
			s.wrong("name", says("not a name"), says(wantName))
		}
		if line, twice := names[t.Name]; twice {
			s.wrong("name", says("the tenant of line %s has the same name", line), says("write another name"))
		}
		names[t.Name] = s.at("name")
	}
	t.Domains = parseDomains(s, t.Name, owners)
	t.Postmaster = parsePostmaster(s, t.Domains)
	t.Routes = parseRoutes(s, t)
	t.Scan = parseScan(s)
	t.DMARC = parseDMARC(s)
	t.People = parsePeople(s, t.Domains)
	t.Internet = parseInternet(s)
	t.Senders = own.parse(s, &t)
	t.Journal = parseJournal(s, &t)
	t.Accounts = parseAccounts(s)
	t.SMS = parseSMS(s)
	t.Mailboxes = parseMailboxes(s)
	s.done()
	return t
}

// parseDomains reads the domains of a tenant; none may belong to two.
func parseDomains(s *section, tenant string, owners map[string]string) []string {
	if !s.has("domains") {
		s.missing("domains", says(wantDomains))
		return nil
	}
	var domains []string
	for i, written := range s.texts("domains", says(wantDomains)) {
		if written == "" {
			continue
		}
		domain, ok := asciiDomain(written)
		if !ok {
			s.wrongItem("domains", i, written, says("not a domain"), says(`write it as "musterstadt.de"; umlauts are fine`))
			continue
		}
		if owner, taken := owners[domain]; taken {
			s.wrongItem("domains", i, written, says("already a domain of tenant %s", shown("", owner)), says("write every domain once"))
			continue
		}
		owners[domain] = tenant
		domains = append(domains, domain)
	}
	return domains
}

// parsePostmaster reads the address that must exist (RFC 5321, section 4.5.1).
func parsePostmaster(s *section, domains []string) doppelboden.Address {
	if !s.has("postmaster") {
		if len(domains) == 0 {
			return doppelboden.Address{}
		}
		return doppelboden.Address{Local: "postmaster", Domain: domains[0]}
	}
	want := says("write an address in one of this tenant's domains")
	written := s.text("postmaster", "", want)
	a, err := doppelboden.ParseAddress(written)
	switch {
	case written == "":
	case err != nil:
		s.wrong("postmaster", notAddress(err), want)
	case !slices.Contains(domains, a.Domain):
		s.wrong("postmaster", says("its domain is none of this tenant's"), want)
	}
	return a
}

// parseRoutes reads the routes of a tenant and puts the default in front.
func parseRoutes(s *section, t Tenant) []*Route {
	tables := s.tables("route")
	names, taken := map[string]int{}, map[string]bool{}
	var routes []*Route
	for _, rs := range tables {
		r := parseRoute(rs, t, taken)
		if line, twice := names[r.Name]; twice && r.Name != "" {
			rs.wrong("name", says("the route of line %s has the same name", line), says("write another name"))
		}
		names[r.Name] = rs.at("name")
		routes = append(routes, r)
	}
	if len(routes) == 0 {
		if _, written := s.values["route"]; !written {
			s.missing("route", says(`write [[tenant.route]] with name = "groupware" and hosts = ["smtp://host:port"], or here = true`))
		}
		return nil
	}
	return defaultFirst(s, tables, routes)
}

// defaultFirst moves the default route to the front. Another route without domains is for
// single mailboxes (see Way in package store).
func defaultFirst(s *section, tables []*section, routes []*Route) []*Route {
	fallback := 0
	if s.has("default_route") || len(routes) > 1 {
		name := s.must("default_route", says(`name the route that takes what no other takes, such as default_route = "groupware"`))
		fallback = slices.IndexFunc(routes, func(r *Route) bool { return r.Name == name })
		if fallback < 0 {
			if name != "" {
				s.wrong("default_route", says("no route of this tenant has that name"), says(`write a [[tenant.route]] with this name`))
			}
			return routes
		}
	}
	for i, r := range routes {
		if i == fallback && len(r.Domains) > 0 {
			tables[i].wrong("domains", says("the default route takes every domain that no other route names"), says("leave domains out here"))
		}
	}
	first := routes[fallback]
	return append([]*Route{first}, slices.Delete(routes, fallback, fallback+1)...)
}

// parseRoute reads one [[tenant.route]]. taken holds the domains of the routes before.
func parseRoute(s *section, t Tenant, taken map[string]bool) *Route {
	r := &Route{Tenant: t.Name, Name: s.must("name", says(wantName))}
	if r.Name != "" && !isName(r.Name) {
		s.wrong("name", says("not a name"), says(`write lower-case letters, digits and hyphens, such as "groupware"`))
	}
	for i, written := range s.texts("domains", says(wantDomains)) {
		domain, ok := asciiDomain(written)
		switch {
		case written == "":
			continue
		case !ok || !slices.Contains(t.Domains, domain):
			s.wrongItem("domains", i, written, says("not a domain of this tenant"), says("write one of tenant.domains"))
		case taken[domain]:
			s.wrongItem("domains", i, written, says("another route names it already"), says("write every domain in one route"))
		}
		taken[domain] = true
		r.Domains = append(r.Domains, domain)
	}
	r.Here = s.flag("here")
	if r.Here {
		for _, key := range []string{"hosts", "connections", "tls", "pass_through", "imap", "hairpin"} {
			if s.has(key) {
				s.wrong(key, says("contradicts here = true: mail that stays here is not handed over"), says("leave out one of the two"))
			}
		}
		s.done()
		return r
	}
	r.Hosts = parseHosts(s)
	r.Connections = int(s.number("connections", defaultConnections, 1, maxConnections))
	r.TLS = parseTLS(s)
	r.PassThrough = s.flag("pass_through")
	r.IMAP = parseIMAP(s)
	r.Hairpin = s.flag("hairpin")
	s.done()
	return r
}

// parseHosts reads the next servers of a route.
func parseHosts(s *section) []Host {
	if !s.has("hosts") {
		s.missing("hosts", says(`write hosts = ["smtp://host:port"], or here = true for mailboxes that lie in this installation`))
		return nil
	}
	var hosts []Host
	for i, written := range s.texts("hosts", says(wantHosts)) {
		if written == "" {
			continue
		}
		h, problem := ParseHost(written)
		if problem.IsZero() && slices.Contains(hosts, h) {
			problem = says("written twice")
		}
		if !problem.IsZero() {
			s.wrongItem("hosts", i, written, problem, says(wantHosts))
			continue
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// ParseHost reads smtp://host:port or lmtp://host:port. problem says what is wrong with
// it, or is zero.
func ParseHost(s string) (h Host, problem Text) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "smtp" && scheme != "lmtp" {
		return Host{}, says("not a next server")
	}
	if strings.Contains(rest, "@") {
		return Host{}, says("a user and password have no place here")
	}
	if problem := badHostPort(rest); !problem.IsZero() {
		return Host{}, problem
	}
	return Host{LMTP: scheme == "lmtp", Addr: rest}, Text{}
}

// badHostPort says what is wrong with host:port, or nothing.
func badHostPort(s string) Text {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return says("not host:port (an IPv6 address stands in brackets)")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return says("the port is not a number from 1 to 65535")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return Text{}
	}
	if ascii, ok := asciiDomain(host); !ok || ascii != strings.ToLower(host) {
		return says("the host is neither an IP address nor a name")
	}
	return Text{}
}

// parseTLS reads how a route is encrypted.
func parseTLS(s *section) TLSMode {
	mode := TLSMode(s.text("tls", string(TLSOpportunistic), says(wantTLS)))
	switch mode {
	case TLSOff, TLSOpportunistic, TLSRequired, TLSVerified, "":
	default:
		s.wrong("tls", says("not a way to encrypt"), says(wantTLS))
	}
	return mode
}

const wantTLS = `write "off", "opportunistic", "required" or "verified"`

// isName reports whether s can name a tenant, a route or a node: a label of lower-case
// letters, digits and hyphens, as in RFC 1123, section 2.1.
func isName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// asciiDomain returns a domain in lower case with A-labels. Address literals are no
// domains of a city.
func asciiDomain(s string) (string, bool) {
	domain, ok := doppelboden.ParseDomain(strings.TrimSuffix(s, "."))
	if !ok {
		return "", false
	}
	if _, err := netip.ParseAddr(domain); err == nil {
		return "", false
	}
	return domain, true
}

// Tenant returns the tenant with a name.
func (c *City) Tenant(name string) (Tenant, bool) {
	i := slices.IndexFunc(c.Tenants, func(t Tenant) bool { return t.Name == name })
	if i < 0 {
		return Tenant{}, false
	}
	return c.Tenants[i], true
}

// Names returns the names of all tenants, in the order of the file.
func (c *City) Names() []string {
	names := make([]string, len(c.Tenants))
	for i, t := range c.Tenants {
		names[i] = t.Name
	}
	return names
}

// Route returns the route of mailboxes in a domain of the tenant.
func (t *Tenant) Route(domain string) *Route {
	for _, r := range t.Routes {
		if slices.Contains(r.Domains, domain) {
			return r
		}
	}
	return t.Routes[0]
}

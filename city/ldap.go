package city

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// An LDAP is a directory of a tenant that says who exists.
type LDAP struct {
	Name       string        // unique within the tenant
	Preset     Preset        // what kind of directory it is
	Servers    []LDAPServer  // in the order of preference; at least one
	StartTLS   bool          // ldap:// connections are encrypted (RFC 4511, section 4.14); ldaps:// always are
	CA         string        // PEM file of who signs the servers' certificates; empty: the system's
	Base       string        // DN below which everybody is
	Filter     string        // narrows what the preset takes; empty: nothing is left out
	Aliases    string        // the attribute with further addresses; empty: none besides the preset's
	Members    string        // the attribute with who may open a function mailbox; empty: none besides the preset's
	BindDN     string        // who asks; empty: nobody
	Password   Secret        // of BindDN
	Refresh    time.Duration // time between two readings
	MaxAge     time.Duration // an older list no longer proves that somebody does not exist
	MaxLost    int           // percent of the addresses that a reading may take away by itself
	MaxEntries int           // a directory with more is refused
}

// A Preset is a kind of directory.
type Preset string

const (
	// OpenLDAP is every directory with inetOrgPerson (RFC 2798) and mail.
	OpenLDAP Preset = "openldap"
	// ActiveDirectory is Microsoft's, with or without Exchange.
	ActiveDirectory Preset = "active-directory"
)

// An LDAPServer is one server of a directory.
type LDAPServer struct {
	TLS  bool   // ldaps://
	Addr string // host:port
}

// String returns the server as city.toml writes it.
func (s LDAPServer) String() string {
	if s.TLS {
		return "ldaps://" + s.Addr
	}
	return "ldap://" + s.Addr
}

// A Secret says where a secret lies; the secret itself is never in a configuration.
type Secret struct {
	File       string // a file, relative to the node's folder of keys
	Credential string // the name of a systemd credential
}

// Limits of [[tenant.ldap]], and what is taken when nothing is written.
const (
	defaultRefresh    = 15      // minutes: a new colleague should not wait longer for the first mail
	maxRefresh        = 24 * 60 // minutes
	defaultMaxAge     = 48      // hours: a directory that is repaired over a weekend costs nobody mail
	maxMaxAge         = 30 * 24 // hours
	defaultMaxLost    = 5       // percent: more people never leave between two readings
	defaultMaxEntries = 200_000 // twice the largest city administration in Germany
	mostMaxEntries    = 1_000_000
)

const (
	wantServers = `write servers = ["ldaps://host:636"]`
	wantPreset  = `write "openldap" or "active-directory"`
	wantSecret  = `write password_file = "ldap.password" (a file in the folder of the keys), or password_credential = "ldap"`
)

// parseDirectories reads the [[tenant.ldap]] of a tenant.
func parseDirectories(s *section) []LDAP {
	names := map[string]int{}
	var all []LDAP
	for _, ls := range s.tables("ldap") {
		l := parseLDAP(ls)
		if line, twice := names[l.Name]; twice && l.Name != "" {
			ls.wrong("name", says("the directory of line %s has the same name", line), says("write another name"))
		}
		names[l.Name] = ls.at("name")
		all = append(all, l)
	}
	return all
}

// parseLDAP reads one [[tenant.ldap]].
func parseLDAP(s *section) LDAP {
	l := LDAP{Name: s.must("name", says(`write lower-case letters, digits and hyphens, such as "ad"`))}
	if l.Name != "" && !isName(l.Name) {
		s.wrong("name", says("not a name"), says(`write lower-case letters, digits and hyphens, such as "ad"`))
	}
	l.Preset = Preset(s.must("preset", says(wantPreset)))
	if l.Preset != "" && l.Preset != OpenLDAP && l.Preset != ActiveDirectory {
		s.wrong("preset", says("not a kind of directory"), says(wantPreset))
	}
	l.Servers = parseServers(s)
	l.StartTLS = parseStartTLS(s)
	l.CA = s.text("ca_file", "", says(`write a PEM file, such as "ldap-ca.pem" (in the folder of the keys)`))
	l.Base = parseDN(s, "base")
	if !s.has("base") {
		s.missing("base", says(`write the DN below which everybody is, such as base = "dc=musterstadt,dc=de"`))
	}
	l.Filter = parseFilter(s)
	l.Aliases = parseAttribute(s, "aliases_attribute")
	l.Members = parseAttribute(s, "members_attribute")
	l.BindDN, l.Password = parseBind(s)
	if l.BindDN != "" && !l.StartTLS {
		refuseClear(s, l.Servers)
	}
	l.Refresh = time.Duration(s.number("refresh_minutes", defaultRefresh, 1, maxRefresh)) * time.Minute
	l.MaxAge = time.Duration(s.number("max_age_hours", defaultMaxAge, 1, maxMaxAge)) * time.Hour
	l.MaxLost = int(s.number("max_removals_percent", defaultMaxLost, 0, 100))
	l.MaxEntries = int(s.number("max_entries", defaultMaxEntries, 1, mostMaxEntries))
	if l.Refresh > l.MaxAge {
		s.wrong("refresh_minutes", says("longer than max_age_hours, so that the list would be too old most of the time"), says("write a shorter time"))
	}
	s.done()
	return l
}

// parseServers reads the servers of a directory.
func parseServers(s *section) []LDAPServer {
	if !s.has("servers") {
		s.missing("servers", says(wantServers))
		return nil
	}
	var servers []LDAPServer
	for i, written := range s.texts("servers", says(wantServers)) {
		if written == "" {
			continue
		}
		server, problem := parseServer(written)
		if problem.IsZero() && slices.Contains(servers, server) {
			problem = says("written twice")
		}
		if !problem.IsZero() {
			s.wrongItem("servers", i, written, problem, says(wantServers))
			continue
		}
		servers = append(servers, server)
	}
	return servers
}

// parseServer reads ldap://host:port or ldaps://host:port; ports have defaults.
func parseServer(written string) (LDAPServer, Text) {
	scheme, rest, ok := strings.Cut(written, "://")
	if !ok || scheme != "ldap" && scheme != "ldaps" {
		return LDAPServer{}, says("not a directory server")
	}
	if strings.Contains(rest, "@") {
		return LDAPServer{}, says("a user and password have no place here")
	}
	if strings.ContainsAny(rest, "/?") {
		return LDAPServer{}, says("only host and port belong here")
	}
	server := LDAPServer{TLS: scheme == "ldaps", Addr: rest}
	if _, _, err := net.SplitHostPort(rest); err != nil && rest != "" {
		port := map[bool]string{false: "389", true: "636"}[server.TLS] // RFC 4516, section 2
		server.Addr = net.JoinHostPort(strings.Trim(rest, "[]"), port)
	}
	return server, badHostPort(server.Addr)
}

// parseStartTLS reads how ldap:// connections are encrypted.
func parseStartTLS(s *section) bool {
	want := says(`write "verified" or "off"`)
	switch mode := s.text("tls", string(TLSVerified), want); mode {
	case string(TLSOff):
		return false
	case string(TLSVerified), "":
	default:
		s.wrong("tls", says("not a way to encrypt"), want)
	}
	return true
}

// parseDN reads a distinguished name: RFC 4514.
func parseDN(s *section, key string) string {
	want := says(`write a DN such as "dc=musterstadt,dc=de"`)
	dn := s.text(key, "", want)
	if dn == "" {
		return ""
	}
	if _, err := ldap.ParseDN(dn); err != nil {
		s.wrong(key, says("not a DN"), want)
	}
	return dn
}

// parseFilter reads a filter: RFC 4515. It must be one whole filter, for it stands within
// another.
func parseFilter(s *section) string {
	want := says(`write a filter in brackets, such as "(department=*)"`)
	filter := s.text("filter", "", want)
	if filter == "" {
		return ""
	}
	if _, err := ldap.CompileFilter(filter); err != nil || !strings.HasPrefix(filter, "(") || !strings.HasSuffix(filter, ")") {
		s.wrong("filter", says("not a filter"), want)
	}
	return filter
}

// parseAttribute reads the name of an attribute: RFC 4512, section 1.4.
func parseAttribute(s *section, key string) string {
	want := says(`write the name of an attribute, such as "mailAlternateAddress"`)
	name := s.text(key, "", want)
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-')) {
			s.wrong(key, says("not the name of an attribute"), want)
			break
		}
	}
	return name
}

// parseBind reads who asks the directory.
func parseBind(s *section) (dn string, secret Secret) {
	dn = s.text("bind_dn", "", says(`write a DN such as "cn=doppelboden,dc=musterstadt,dc=de"`))
	// Active Directory also takes user@domain, so this need not be a DN.
	secret.File = s.text("password_file", "", says(wantSecret))
	secret.Credential = s.text("password_credential", "", says(wantSecret))
	switch {
	case dn != "" && secret == (Secret{}) && !s.has("password_file") && !s.has("password_credential"):
		s.missing("password_file", says(wantSecret))
	case secret.File != "" && secret.Credential != "":
		s.wrong("password_credential", says("contradicts password_file"), says("leave out one of the two"))
	case dn == "" && secret != (Secret{}) && !s.has("bind_dn"):
		s.missing("bind_dn", says(`write a DN such as "cn=doppelboden,dc=musterstadt,dc=de"`))
	}
	if strings.ContainsAny(secret.Credential, "/\x00") {
		s.wrong("password_credential", says("not a name"), says(wantSecret))
	}
	return dn, secret
}

// refuseClear refuses to send a password through a network that others can hear.
func refuseClear(s *section, servers []LDAPServer) {
	for _, server := range servers {
		host, _, _ := net.SplitHostPort(server.Addr)
		ip, err := netip.ParseAddr(host)
		if !server.TLS && host != "localhost" && (err != nil || !ip.IsLoopback()) {
			s.wrong("tls", says("the password would go to %s in clear text", server), says(`leave tls out, or write "ldaps://" in servers`))
			return
		}
	}
}

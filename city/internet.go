package city

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"doppelboden"
)

// An Internet is how a tenant's mail leaves for the world. A tenant without one sends
// nothing there.
type Internet struct {
	Relay    []Host        // smart hosts, in the order of preference; none: the mail exchangers of each domain
	TLS      TLSMode       // of the smart hosts; opportunistic towards mail exchangers
	User     string        // who we are to the smart hosts; empty: they know our address
	Password Secret        // of User
	Helo     string        // what we call ourselves; empty: the node's host name
	Sources  []netip.Addr  // addresses to connect from, at most one of each family; empty: the system chooses
	AtOnce   int           // transactions at once
	PerPlace int           // of these, for one domain
	Expire   time.Duration // how long trying goes on
	Notice   time.Duration // the same for what we make ourselves: nobody waits for it that long
	Delay    time.Duration // how long mail waits before its sender hears of it; 0: he does not
}

// Limits of [tenant.internet], and what is taken when nothing is written.
const (
	defaultAtOnce   = 40 // a city sends some thousand mails an hour; most are gone in a second
	maxAtOnce       = 500
	defaultPerPlace = 4  // large providers allow 10 to 20 connections of one address, small servers few
	maxPerPlace     = 20 // more looks like an attack to whoever gets it
	defaultExpire   = 5  // days; RFC 5321, section 4.5.4.1: at least 4 to 5
	maxExpire       = 30
	defaultNotice   = 2
	defaultDelay    = 4 // hours: long enough for a greylist, short enough to reach for the telephone the same day
	maxDelay        = 7 * 24
)

const wantRelaySecret = `write password_file = "relay.password" (a file in the folder of the keys), or password_credential = "relay"`

const wantSource = `write addresses of this machine, at most one IPv4 and one IPv6: ["192.0.2.1", "2001:db8::1"]`

// parseInternet reads [tenant.internet]; nil when it is not written.
func parseInternet(s *section) *Internet {
	if !s.has("internet") {
		return nil
	}
	s = s.table("internet")
	n := &Internet{TLS: TLSOpportunistic}
	if s.has("relay") {
		n.Relay = parseRelay(s)
		n.TLS = parseTLS(s)
	} else {
		for _, key := range []string{"tls", "user", "password_file", "password_credential"} {
			if s.has(key) {
				s.wrong(key, says("belongs to a smart host, and there is none"), says(`write relay = ["smtp://host:port"], or leave it out`))
			}
		}
	}
	n.User, n.Password = parseLogin(s)
	if n.User != "" && (n.TLS == TLSOff || n.TLS == TLSOpportunistic) {
		if s.has("tls") {
			s.wrong("tls", says("a password must not be sent without encryption"), says(`write "required" or "verified"`))
		}
		n.TLS = TLSVerified
	}
	n.Helo = parseHelo(s)
	n.Sources = parseSources(s)
	n.AtOnce = int(s.number("connections", defaultAtOnce, 1, maxAtOnce))
	n.PerPlace = int(s.number("connections_per_domain", defaultPerPlace, 1, maxPerPlace))
	n.Expire = 24 * time.Hour * time.Duration(s.number("expire_days", defaultExpire, 1, maxExpire))
	n.Notice = 24 * time.Hour * time.Duration(s.number("expire_notice_days", defaultNotice, 1, maxExpire))
	n.Delay = time.Hour * time.Duration(s.number("delay_notice_hours", defaultDelay, 0, maxDelay))
	s.done()
	return n
}

// parseRelay reads the smart hosts.
func parseRelay(s *section) []Host {
	want := says(`write relay = ["smtp://host:port"]`)
	var hosts []Host
	for i, written := range s.texts("relay", want) {
		if written == "" {
			continue
		}
		h, problem := ParseHost(written)
		switch {
		case !problem.IsZero():
		case h.LMTP:
			problem = says("LMTP leads to mailboxes, not to the Internet")
		case slices.Contains(hosts, h):
			problem = says("written twice")
		}
		if !problem.IsZero() {
			s.wrongItem("relay", i, written, problem, want)
			continue
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// parseLogin reads who we are to the smart hosts.
func parseLogin(s *section) (user string, secret Secret) {
	want := says(wantRelaySecret)
	user = s.text("user", "", says(`write the name that the smart host knows, such as "musterstadt"`))
	secret.File = s.text("password_file", "", want)
	secret.Credential = s.text("password_credential", "", want)
	switch {
	case user != "" && secret == Secret{}:
		s.missing("password_file", want)
	case user == "" && secret != Secret{} && s.has("relay"):
		s.missing("user", says(`write the name that the smart host knows, such as "musterstadt"`))
	case secret.File != "" && secret.Credential != "":
		s.wrong("password_credential", says("contradicts password_file"), says("leave out one of the two"))
	case strings.ContainsAny(secret.Credential, "/\x00"):
		s.wrong("password_credential", says("not a name"), want)
	}
	return user, secret
}

// parseHelo reads what we call ourselves: RFC 5321, section 4.1.1.1.
func parseHelo(s *section) string {
	want := says(`write the name that the DNS has for the address, such as "mail.musterstadt.de"`)
	written := s.text("helo", "", want)
	if written == "" {
		return ""
	}
	name, ok := asciiDomain(written)
	if !ok {
		s.wrong("helo", says("not a host name"), want)
	}
	return name
}

// parseSources reads the addresses to connect from.
func parseSources(s *section) []netip.Addr {
	var addrs []netip.Addr
	for i, written := range s.texts("source", says(wantSource)) {
		if written == "" {
			continue
		}
		addr, err := netip.ParseAddr(written)
		switch {
		case err != nil || addr.Zone() != "" || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast():
			s.wrongItem("source", i, written, says("not an address to connect from"), says(wantSource))
		case slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is4() == addr.Is4() }):
			s.wrongItem("source", i, written, says("a second address of the same family"), says(wantSource))
		default:
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// Limit returns how long mail of a class (see doppelboden.Message) is tried.
func (n *Internet) Limit(class string) time.Duration {
	if class == doppelboden.ClassNotice {
		return min(n.Notice, n.Expire)
	}
	return n.Expire
}

// InternetKey names the tenant's way to the Internet among its routes' keys. No route can
// have this name, which holds an upper-case letter.
func (t *Tenant) InternetKey() string { return t.Name + "/Internet" }

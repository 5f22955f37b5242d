package city

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"doppelboden"
)

// A Sender is one of the city's own: groupware, an application, a device. It may send
// through us, to the city and, where the tenant has an Internet, to the world.
type Sender struct {
	Tenant     string // the tenant's name
	Name       string // unique within the tenant
	Owner      string // whom to call when it goes wrong; may be empty
	Department string // whose it is; may be empty

	// It is known by at least one of these.
	Networks     []netip.Prefix // where it sends from; the longest prefix of all senders counts
	Fingerprints [][32]byte     // SHA-256 of its TLS certificates, in DER
	CA           string         // PEM file, relative to the node's keys: who signs its certificates; or empty
	CANames      []string       // names that such a certificate is valid for
	User         string         // its log-in; empty: none
	Password     Secret         // the hash of its password, as "doppelboden sender password" makes it

	// In whose name it may write: the tenant's domains when nothing is written.
	Anybody   bool                  // in anybody's: groupware forwards mail of strangers
	Domains   []string              // of these domains
	Addresses []doppelboden.Address // and of these addresses
}

// Key names the sender within the installation: tenant/name.
func (s *Sender) Key() string { return s.Tenant + "/" + s.Name }

// MaySend reports whether the sender may write in the name of an address.
func (s *Sender) MaySend(a doppelboden.Address) bool {
	return s.Anybody || slices.Contains(s.Domains, a.Domain) ||
		slices.ContainsFunc(s.Addresses, func(b doppelboden.Address) bool { return a.Key() == b.Key() })
}

const (
	// leastBits4 and leastBits6 are the shortest prefixes of a sender or a hop: a shorter
	// one is a part of the Internet and not a network of a city.
	leastBits4, leastBits6 = 8, 16

	wantNetworks    = `write networks = ["192.0.2.10", "10.1.0.0/16"]`
	wantFingerprint = `write what "openssl x509 -noout -fingerprint -sha256" says: ["AB:CD:…"], 32 bytes`
	wantFrom        = `write from = ["musterstadt.de", "amt@example.org"], or ["*"] for groupware that forwards mail`
	wantKnown       = `write networks, certificates, certificate_ca or user, or nobody can be this sender`
	wantHash        = `write password_file = "scanner.password" (made by "doppelboden sender password"), or password_credential`
)

// A senders holds what no two senders of an installation may share, with the line.
type senders struct {
	networks map[netip.Prefix]int
	prints   map[[32]byte]int
	users    map[string]int
}

func newSenders() *senders {
	return &senders{map[netip.Prefix]int{}, map[[32]byte]int{}, map[string]int{}}
}

// parse reads the [[tenant.sender]] of a tenant.
func (all *senders) parse(s *section, t *Tenant) []*Sender {
	names := map[string]int{}
	var list []*Sender
	for _, ss := range s.tables("sender") {
		one := all.parseOne(ss, t)
		if line, twice := names[one.Name]; twice && one.Name != "" {
			ss.wrong("name", says("the sender of line %s has the same name", line), says("write another name"))
		}
		names[one.Name] = ss.at("name")
		list = append(list, one)
	}
	return list
}

func (all *senders) parseOne(s *section, t *Tenant) *Sender {
	one := &Sender{
		Tenant: t.Name, Name: s.must("name", says(`write lower-case letters, digits and hyphens, such as "scanner"`)),
		Owner:      s.text("owner", "", says(`write who is called when it goes wrong, such as "Anna Muster, 4711"`)),
		Department: s.text("department", "", says(`write whose it is, such as "hauptamt"`)),
	}
	if one.Name != "" && !isName(one.Name) {
		s.wrong("name", says("not a name"), says(`write lower-case letters, digits and hyphens, such as "scanner"`))
	}
	one.Networks = parseNetworks(s, "networks")
	for i, p := range one.Networks {
		if tooLarge(p) {
			s.wrongItem("networks", i, p.String(), says("so large that strangers are in it, who could send through us"), says(wantNetworks))
		}
		if line, taken := all.networks[p]; taken {
			s.wrongItem("networks", i, p.String(), says("the sender of line %s has it already", line), says("write every network once"))
		}
		all.networks[p] = s.line
	}
	all.parseCertificates(s, one)
	all.parseUser(s, one)
	one.parseFrom(s, t)
	s.done()
	if len(one.Networks) == 0 && len(one.Fingerprints) == 0 && one.CA == "" && one.User == "" &&
		!s.has("networks") && !s.has("certificates") && !s.has("certificate_ca") && !s.has("user") {
		s.missing("networks", says(wantKnown))
	}
	return one
}

// tooLarge reports whether a network is more than any city's own.
func tooLarge(p netip.Prefix) bool {
	return p.Addr().Is4() && p.Bits() < leastBits4 || p.Addr().Is6() && p.Bits() < leastBits6
}

// parseNetworks reads a list of networks, or of single addresses.
func parseNetworks(s *section, key string) []netip.Prefix {
	var list []netip.Prefix
	for i, written := range s.texts(key, says(wantNetworks)) {
		if written == "" {
			continue
		}
		p, err := netip.ParsePrefix(written)
		if a, addrErr := netip.ParseAddr(written); addrErr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6():
			s.wrongItem(key, i, written, says("neither an address nor a network"), says(wantNetworks))
		case p != p.Masked():
			s.wrongItem(key, i, written, says("an address in the middle of its network"), says("write %s", p.Masked()))
		default:
			list = append(list, p)
		}
	}
	return list
}

// parseCertificates reads by which certificates a sender is known.
func (all *senders) parseCertificates(s *section, one *Sender) {
	for i, written := range s.texts("certificates", says(wantFingerprint)) {
		if written == "" {
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(strings.ToLower(written), ":", ""))
		if err != nil || len(raw) != 32 {
			s.wrongItem("certificates", i, written, says("not a fingerprint by SHA-256"), says(wantFingerprint))
			continue
		}
		print := [32]byte(raw)
		if line, taken := all.prints[print]; taken {
			s.wrongItem("certificates", i, written, says("the sender of line %s has it already", line), says("write every certificate once"))
		}
		all.prints[print] = s.line
		one.Fingerprints = append(one.Fingerprints, print)
	}
	const wantNames = `write certificate_names = ["app.musterstadt.de"]: names in the certificate`
	one.CA = s.text("certificate_ca", "", says(`write a PEM file in the folder of the keys, such as "clients.pem"`))
	for _, name := range s.texts("certificate_names", says(wantNames)) {
		if name != "" {
			one.CANames = append(one.CANames, strings.ToLower(name))
		}
	}
	switch {
	case one.CA != "" && len(one.CANames) == 0 && !s.has("certificate_names"):
		s.missing("certificate_names", says(wantNames))
	case one.CA == "" && len(one.CANames) > 0:
		s.missing("certificate_ca", says(`write a PEM file in the folder of the keys, such as "clients.pem"`))
	}
}

// parseUser reads the log-in of a sender.
func (all *senders) parseUser(s *section, one *Sender) {
	one.User = s.text("user", "", says(`write the name it logs in with, such as "scanner"`))
	one.Password.File = s.text("password_file", "", says(wantHash))
	one.Password.Credential = s.text("password_credential", "", says(wantHash))
	switch {
	case one.User != "" && one.Password == Secret{}:
		s.missing("password_file", says(wantHash))
	case one.User == "" && one.Password != Secret{}:
		s.missing("user", says(`write the name it logs in with, such as "scanner"`))
	case one.Password.File != "" && one.Password.Credential != "":
		s.wrong("password_credential", says("contradicts password_file"), says("leave out one of the two"))
	case strings.ContainsAny(one.Password.Credential, "/\x00"):
		s.wrong("password_credential", says("not a name"), says(wantHash))
	}
	if one.User == "" {
		return
	}
	if line, taken := all.users[one.User]; taken {
		s.wrong("user", says("the sender of line %s has it already", line), says("write another name"))
	}
	all.users[one.User] = s.line
}

// parseFrom reads in whose name a sender may write.
func (one *Sender) parseFrom(s *section, t *Tenant) {
	if !s.has("from") {
		one.Domains = t.Domains
		return
	}
	for i, written := range s.texts("from", says(wantFrom)) {
		if written == "" {
			continue
		}
		if written == "*" {
			one.Anybody = true
			continue
		}
		if domain, ok := asciiDomain(written); ok {
			one.Domains = append(one.Domains, domain)
			continue
		}
		a, err := doppelboden.ParseAddress(written)
		if err != nil {
			s.wrongItem("from", i, written, says("neither a domain nor a mail address"), says(wantFrom))
			continue
		}
		one.Addresses = append(one.Addresses, a)
	}
}

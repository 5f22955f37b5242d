package sender

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"doppelboden"
)

// A Sender is how one of the city's own senders is known. A Sender without any of it is
// never found.
type Sender struct {
	Key          string         // names it within the installation
	Networks     []netip.Prefix // where it sends from
	Fingerprints [][32]byte     // SHA-256 of its certificates, in DER
	CA           *x509.CertPool // who signs its certificates; nil: nobody
	CANames      []string       // names that these must be valid for, one of them
	User         string         // its log-in; empty: none
	Hash         Hash           // of its password
}

// A Book says who a client is. It may be asked by any number of goroutines, and changes
// as a whole with Use.
type Book struct {
	guard *guard
	pages atomic.Pointer[pages]
}

// pages are the senders of one configuration; they never change.
type pages struct {
	networks []network // the longest prefix first
	prints   map[[32]byte]string
	signed   []Sender // those with a CA
	users    map[string]Sender
}

// A network belongs to a sender.
type network struct {
	prefix netip.Prefix
	key    string
}

// NewBook returns a book without senders.
func NewBook(o Options) *Book {
	b := &Book{guard: newGuard(o)}
	b.Use(nil)
	return b
}

// Use makes these the senders from now on.
func (b *Book) Use(list []Sender) {
	p := &pages{prints: map[[32]byte]string{}, users: map[string]Sender{}}
	for _, s := range list {
		for _, n := range s.Networks {
			p.networks = append(p.networks, network{n, s.Key})
		}
		for _, f := range s.Fingerprints {
			p.prints[f] = s.Key
		}
		if s.CA != nil {
			p.signed = append(p.signed, s)
		}
		if s.User != "" {
			p.users[s.User] = s
		}
	}
	slices.SortStableFunc(p.networks, func(a, b network) int { return b.prefix.Bits() - a.prefix.Bits() })
	b.pages.Store(p)
}

// Known returns the key of the sender that a client's certificate or address stands for,
// or "". The certificate says more than the address, which many may share.
func (b *Book) Known(peer netip.Addr, s *tls.ConnectionState) string {
	p := b.pages.Load()
	if s != nil && len(s.PeerCertificates) > 0 {
		if key := p.certified(s.PeerCertificates); key != "" {
			return key
		}
	}
	peer = peer.Unmap().WithZone("")
	for _, n := range p.networks {
		if n.prefix.Contains(peer) {
			return n.key
		}
	}
	return ""
}

// certified returns whose certificate a client has shown; chain[0] is the client's own,
// whose key the client has, as TLS has made sure.
func (p *pages) certified(chain []*x509.Certificate) string {
	leaf := chain[0]
	if key, ok := p.prints[sha256.Sum256(leaf.Raw)]; ok {
		return key
	}
	if len(p.signed) == 0 {
		return ""
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	for _, s := range p.signed {
		if !slices.ContainsFunc(leaf.DNSNames, func(name string) bool {
			return slices.Contains(s.CANames, strings.ToLower(name))
		}) {
			continue
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: s.CA, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err == nil {
			return s.Key
		}
	}
	return ""
}

// Login returns the key of the sender with this user and password. The code of its error
// is Policy when they are wrong, and Busy when it would not be looked at now: too many
// were wrong from this address, or too many log in at once.
func (b *Book) Login(ctx context.Context, peer netip.Addr, user, password string) (string, error) {
	p := b.pages.Load()
	s, known := p.users[user]
	if known && b.guard.remembers(s, password) {
		return s.Key, nil
	}
	if err := b.guard.enter(ctx, peer); err != nil {
		return "", err
	}
	defer b.guard.leave()
	if !known {
		b.guard.nobody.Matches(password)
	} else if s.Hash.Matches(password) {
		b.guard.remember(s, password)
		return s.Key, nil
	}
	b.guard.failed(peer)
	return "", &doppelboden.Error{Code: doppelboden.Policy, Public: "user or password is wrong"}
}

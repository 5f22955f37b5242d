package resolver

import (
	"context"
	"errors"
	"net/netip"
)

// A Resolver answers questions to the DNS. All methods may be called by several
// goroutines. Names are in A-labels, with or without the last dot; what comes back is in
// lower case without it. CodeOf(err) is NotFound when the name or the type does not
// exist (NXDOMAIN, no data), else Temporary. An answer without an error is never empty.
// Answers are shared between callers, who must not change them. An error of a name that
// does not exist at all, nor any below it (RFC 8020), holds ErrNoName.
type Resolver interface {
	// TXT returns the texts of a name, the strings of each record joined, in the order
	// of the answer.
	TXT(ctx context.Context, name string) ([]string, error)
	// MX returns the mail exchangers of a name, best preference first, and in random
	// order within one (RFC 5321, section 5.1). A null MX (RFC 7505) is one MX with the
	// Host ".".
	MX(ctx context.Context, name string) ([]MX, error)
	// Addrs returns the IPv4 and IPv6 addresses of a host, IPv4 first. When only one of
	// the two questions is answered, the answer counts; it is an error when the answer
	// is empty and the other question failed.
	Addrs(ctx context.Context, name string) ([]netip.Addr, error)
	// PTR returns the names of an address: its entries in in-addr.arpa or ip6.arpa.
	// Nothing says that they are true; see mailauth.
	PTR(ctx context.Context, addr netip.Addr) ([]string, error)
}

// An MX is a mail exchanger: RFC 1035, section 3.3.9.
type MX struct {
	Host string // lower case, without the last dot; "." for the null MX
	Pref uint16 // smaller is better
}

// ErrNoName says that a name does not exist, as opposed to one that only has no record
// of the type that was asked for.
var ErrNoName = errors.New("the name does not exist")

// None is the Resolver of a node that is not to ask the DNS: every answer is Temporary.
type None struct{}

func (None) err() error { return temporary("this node asks no name server", nil) }

// TXT implements Resolver.
func (n None) TXT(context.Context, string) ([]string, error) { return nil, n.err() }

// MX implements Resolver.
func (n None) MX(context.Context, string) ([]MX, error) { return nil, n.err() }

// Addrs implements Resolver.
func (n None) Addrs(context.Context, string) ([]netip.Addr, error) { return nil, n.err() }

// PTR implements Resolver.
func (n None) PTR(context.Context, netip.Addr) ([]string, error) { return nil, n.err() }

package courier

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"doppelboden"
	"doppelboden/resolver"
)

// Bodies gives the bytes of stored bodies; package segment does.
type Bodies interface {
	// Reader returns the plain bytes of b. Damage is an error of Read at the latest
	// where io.EOF would be.
	Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error)
}

// A Tally logs what was tried and what was answered, independent of the database;
// package tally does.
type Tally interface {
	// Attempt is called before a final dot, with the deliveries that it is for.
	Attempt(refs []doppelboden.Ref, route string, at time.Time)
	// Answer is called once for each of them afterwards, also when no answer came
	// (Outcome.InDoubt).
	Answer(o doppelboden.Outcome)
}

// A Resolver answers questions about a domain's mail exchangers; package resolver does.
type Resolver interface {
	MX(ctx context.Context, name string) ([]resolver.MX, error)
	Addrs(ctx context.Context, name string) ([]netip.Addr, error)
}

// A Host is one address of a route.
type Host struct {
	LMTP       bool   // speak LMTP (RFC 2033) instead of SMTP
	Addr       string // host:port
	Name       string // the host's name, where Addr holds an IP address that was found by it
	Preference int    // lower is asked first, as in an MX record
}

// A TLSMode says how much a route insists on STARTTLS (RFC 3207).
type TLSMode int

const (
	// Opportunistic uses TLS when it is offered and works, with any certificate.
	Opportunistic TLSMode = iota
	// NoTLS never asks for it.
	NoTLS
	// RequireTLS hands nothing over without it.
	RequireTLS
)

// RouteTLS is a route's TLS policy.
type RouteTLS struct {
	Mode TLSMode
	// Verify checks the certificate against Options.TLS.RootCAs, or the system's, and
	// the server's name. It has a meaning only with RequireTLS: who would go on in
	// plain text gains nothing by being strict.
	Verify bool
	// ServerName is the name in the certificate; empty for the host part of Host.Addr.
	ServerName string
}

// A Route is where mail goes: some hosts that are as good as each other, or whoever takes
// mail for a domain of the Internet.
type Route struct {
	Name     string   // for logs and the tally
	Hosts    []Host   // in any order; Preference counts
	Domain   string   // instead of Hosts: its mail exchangers are looked up (RFC 5321, section 5.1)
	HeloName string   // what we call ourselves; empty for "localhost"
	TLS      RouteTLS // about STARTTLS
	Login    *Login   // who we are to the hosts; nil: they know us by our address

	// XClient has the next server told who our client was, where it offers that: it is a
	// gateway that judges senders by their address.
	XClient bool

	// Internet says that strangers are behind the route, also behind a smart host: what
	// they say about our address or domain is not about the mail; see aboutUs.
	Internet bool
	// Sources are the addresses to connect from, at most one of each family; then only
	// hosts of these families are asked. Empty: the system chooses.
	Sources []netip.Addr
}

// A Login is what a smart host asks for: RFC 4954.
type Login struct {
	User     string
	Password string // never logged, and never sent without TLS
}

// Deadlines bound the waiting for the next server, by phase: RFC 5321, section
// 4.5.3.2. Zero takes the default. Most are shorter than the RFC's, because a city's
// own groupware that needs five minutes for a RCPT is down, and mail is safe with us.
type Deadlines struct {
	Connect  time.Duration // TCP; 10 s
	Greeting time.Duration // the 220; 30 s
	Helo     time.Duration // EHLO, HELO, LHLO, STARTTLS and the handshake; 60 s
	Mail     time.Duration // answer to MAIL; 60 s
	Rcpt     time.Duration // answer to each RCPT; 60 s
	Data     time.Duration // answer to DATA; 60 s
	Block    time.Duration // the server takes one block of the body; 3 min
	Dot      time.Duration // each answer after the final dot; 10 min, as in the RFC: giving up early means duplicates
}

// Options are what all agents of a node have in common.
type Options struct {
	Bodies Bodies // where bodies are; nil: none can be read
	Tally  Tally  // nil: nothing is logged there

	Clock func() time.Time // for Outcome.At and what is remembered of hosts; nil: time.Now
	Log   *slog.Logger     // nil: silent

	// Dial opens connections; nil: net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Resolver finds mail exchangers; without one, mail for a Route.Domain waits.
	Resolver Resolver
	// Own reports whether a mail exchanger is this installation, so that mail which comes
	// back to us is recognized (RFC 5321, section 5.1). nil: none is.
	Own func(name string, addr netip.Addr) bool
	// Memory is what agents of many routes know together of hosts that fail; nil: each
	// agent remembers for itself.
	Memory *Memory
	// ExchangerPort and Loopback exist for tests, whose mail exchangers cannot be on port
	// 25 and are on this machine. Zero: 25, and no mail leads to a loopback address,
	// where we would be taken for a local program.
	ExchangerPort int
	Loopback      bool

	// TLS is the base of every TLS configuration; nil: Go's defaults.
	TLS *tls.Config

	// AuthservID is our name in Authentication-Results (RFC 8601, section 2.5). Header
	// fields of the stored body that claim it are left out. Empty: none are.
	AuthservID string
	// Marks reports whether a line begins a header field in which we say what scanners
	// found. Fields that came with a mail that we scanned are left out; nil: none are.
	Marks func(line []byte) bool

	// MayDot is asked right before each final dot. False cuts the connection instead:
	// a node whose lease is short must not hand over. nil: always true.
	MayDot func() bool

	Deadlines Deadlines
	// DotGrace is how long an answer to a final dot is waited for after the context
	// ended; then the outcome is in doubt. Zero: 5 s.
	DotGrace time.Duration
	// HostRest is how long a host that failed is asked only after the others, and how
	// long STARTTLS that failed is not tried again. Zero: 30 s.
	HostRest time.Duration
	// MaxIdle is how long an unused connection is kept before a new one is opened for
	// the next mail. Zero: 60 s, which is less than servers and firewalls usually wait.
	MaxIdle time.Duration
}

// A Job is one message with the deliveries to hand over in one transaction.
type Job struct {
	Message    *doppelboden.Message   // with Prefix, Sender and Body
	Deliveries []doppelboden.Delivery // of this message, to this route
}

// withDefaults returns o with everything filled in that may be left out.
func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Own == nil {
		o.Own = func(string, netip.Addr) bool { return false }
	}
	if o.ExchangerPort == 0 {
		o.ExchangerPort = 25 // RFC 5321, section 4.5.4.2
	}
	if o.MayDot == nil {
		o.MayDot = func() bool { return true }
	}
	d := &o.Deadlines
	for _, def := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&d.Connect, 10 * time.Second},
		{&d.Greeting, 30 * time.Second},
		{&d.Helo, time.Minute},
		{&d.Mail, time.Minute},
		{&d.Rcpt, time.Minute},
		{&d.Data, time.Minute},
		{&d.Block, 3 * time.Minute},
		{&d.Dot, 10 * time.Minute},
		{&o.DotGrace, 5 * time.Second},
		{&o.HostRest, 30 * time.Second},
		{&o.MaxIdle, time.Minute},
	} {
		if *def.field <= 0 {
			*def.field = def.value
		}
	}
	return o
}

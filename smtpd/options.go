package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what a Server is. Zero numbers mean the defaults that stand beside them.
type Options struct {
	Intake   Intake                // who makes messages; required
	Hostname string                // our name in the greeting; required
	TLS      *tls.Config           // for STARTTLS; nil: not offered
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: nothing is counted
	Resolver Resolver              // for names of clients; nil: none are looked up
	Clock    func() time.Time      // for durations and caches, not for sockets; nil: time.Now

	// BareLF says what becomes of a LF without CR in a body.
	BareLF BareLF
	// Mend takes bodies as scanners and old programs make them: a CR without LF becomes
	// CRLF, and NULs are left out. It is for the city's own senders; at the MX a mail
	// with either is refused.
	Mend bool

	// Gate says who may send through this door: RFC 6409. nil: everybody, as at the MX.
	Gate Gate
	// Hop reports whether an address is a trusted hop's: a gateway or a load balancer in
	// front of us, which tells us who the client is (XCLIENT, the PROXY protocol). Limits
	// for strangers do not hold for it. nil: there are none. It may be asked at any time.
	Hop func(netip.Addr) bool

	// MaxConnections bounds all open connections: 2,000. One costs about 8 KB while
	// idle and at most 40 KB while a body comes in, so 80 MB at the worst. One more is
	// told 421.
	MaxConnections int
	// MaxPerAddress bounds the connections of one IPv4 address or one IPv6 /64 (what
	// one customer owns): 50. Big providers open about 20 from one address.
	MaxPerAddress int
	// Trusted are the networks for which MaxPerAddress and GreetDelay do not hold. Nil
	// means loopback: local programs and tunnels share one address.
	Trusted []netip.Prefix

	// MaxSize bounds a body, in octets: 50 MB (52,428,800). It is announced: RFC 1870.
	MaxSize int64
	// MaxRecipients bounds those of one message: 1,000. RFC 5321, section 4.5.3.1.8,
	// asks for at least 100; more get 452 and come in another transaction.
	MaxRecipients int
	// MaxErrors bounds wrong commands on one connection since its last mail: 20. A
	// program that speaks SMTP makes none.
	MaxErrors int
	// MaxRefusedRecipients bounds RCPT commands that were refused for good since the
	// last mail: 200. An honest list has some dead subscribers; who tries more is
	// guessing names.
	MaxRefusedRecipients int
	// MaxJunk bounds commands that lead to no mail (NOOP, RSET, VRFY, a second EHLO …)
	// since the last mail: 100. Clients that keep connections send one in a while.
	MaxJunk int

	// IdleTimeout is how long a command may take to come: 5 minutes. RFC 5321, section
	// 4.5.3.2.7, asks for at least that.
	IdleTimeout time.Duration
	// ProgressWindow and ProgressOctets bound how slowly a body may come: in every
	// window of 5 minutes at least 32 KB (109 octets a second; the slowest modem did
	// twenty times that), or the end. A body has no deadline as a whole.
	ProgressWindow time.Duration
	ProgressOctets int
	// MaxWithoutMail bounds the time since the last mail, or since the connection was
	// made: 30 minutes. 1,000 recipients at two a second take eight.
	MaxWithoutMail time.Duration
	// WriteTimeout bounds one write of replies: 1 minute. Replies are small; who does
	// not read them for so long is gone.
	WriteTimeout time.Duration
	// TLSTimeout bounds a TLS handshake: 1 minute.
	TLSTimeout time.Duration
	// ProxyTimeout bounds the wait for the header of the PROXY protocol, which comes with
	// the connection: 5 seconds.
	ProxyTimeout time.Duration
	// MaxLoginFailures bounds log-ins that failed on one connection: 3. RFC 4954 has no
	// number; programs that know their password need one.
	MaxLoginFailures int

	// GreetDelay is how long we wait with the greeting for clients who must not talk
	// before it; who does is refused. 0: no wait and no check.
	GreetDelay time.Duration
	// EarlyTalkerTryLater answers an early talker with 421 instead of 554.
	EarlyTalkerTryLater bool
}

// A BareLF says what becomes of a LF without CR in a body.
type BareLF int

const (
	// NormaliseBareLF makes it a CRLF.
	NormaliseBareLF BareLF = iota
	// RefuseBareLF refuses the mail at its end.
	RefuseBareLF
)

// A Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// validate fills in defaults and says what is missing or contradicts itself.
func (o *Options) validate() error {
	if o.Intake == nil {
		return errors.New("smtpd: Options.Intake is missing")
	}
	if o.Hostname == "" || strings.ContainsFunc(o.Hostname, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("smtpd: Options.Hostname %q is not a host name", o.Hostname)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Trusted == nil {
		o.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return errors.Join(
		number("MaxConnections", &o.MaxConnections, 2_000),
		number("MaxPerAddress", &o.MaxPerAddress, 50),
		number("MaxSize", &o.MaxSize, 50<<20),
		number("MaxRecipients", &o.MaxRecipients, 1_000),
		number("MaxErrors", &o.MaxErrors, 20),
		number("MaxRefusedRecipients", &o.MaxRefusedRecipients, 200),
		number("MaxJunk", &o.MaxJunk, 100),
		number("IdleTimeout", &o.IdleTimeout, 5*time.Minute),
		number("ProgressWindow", &o.ProgressWindow, 5*time.Minute),
		number("ProgressOctets", &o.ProgressOctets, 32<<10),
		number("MaxWithoutMail", &o.MaxWithoutMail, 30*time.Minute),
		number("WriteTimeout", &o.WriteTimeout, time.Minute),
		number("TLSTimeout", &o.TLSTimeout, time.Minute),
		number("ProxyTimeout", &o.ProxyTimeout, 5*time.Second),
		number("MaxLoginFailures", &o.MaxLoginFailures, 3),
		number("GreetDelay", &o.GreetDelay, 0),
	)
}

// number puts the default in the place of a zero and refuses what is negative.
func number[T ~int | ~int64](name string, v *T, standard T) error {
	if *v == 0 {
		*v = standard
	}
	if *v < 0 {
		return fmt.Errorf("smtpd: Options.%s is negative", name)
	}
	return nil
}

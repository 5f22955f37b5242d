package mailauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/resolver"

	"github.com/prometheus/client_golang/prometheus"
)

// DNS answers questions as resolver.Resolver does; resolver.Client is one. Unlike there,
// the two kinds of addresses are asked for apart.
type DNS interface {
	TXT(ctx context.Context, name string) ([]string, error)
	MX(ctx context.Context, name string) ([]resolver.MX, error)
	A(ctx context.Context, name string) ([]netip.Addr, error)
	AAAA(ctx context.Context, name string) ([]netip.Addr, error)
	PTR(ctx context.Context, addr netip.Addr) ([]string, error)
}

// A Handling is a tenant's choice of what becomes of mail that fails DMARC.
type Handling int

const (
	// Mark says it in Authentication-Results and does nothing else.
	Mark Handling = iota
	// Hold keeps mail for a person that its domain wants rejected or quarantined.
	Hold
	// Refuse refuses what its domain wants rejected, and holds what it wants quarantined.
	Refuse
)

// Options say what a Checker works with. All fields must be set unless a default is
// named.
type Options struct {
	AuthservID string // our name in Authentication-Results: the node's hostname
	DNS        DNS
	Handling   func(doppelboden.TenantID) Handling
	Log        *slog.Logger
	Registry   prometheus.Registerer

	// Patience bounds all questions about one mail; default 20 s, which RFC 7208,
	// section 4.6.4, asks for at least.
	Patience time.Duration
}

func (o *Options) validate() error {
	if o.AuthservID == "" || o.DNS == nil || o.Handling == nil || o.Log == nil || o.Registry == nil {
		return errors.New("mailauth: all of AuthservID, DNS, Handling, Log and Registry must be set")
	}
	if o.Patience <= 0 {
		o.Patience = 20 * time.Second
	}
	return nil
}

// A Checker is an intake.Check.
type Checker struct {
	opts    Options
	metrics *metrics
}

// New returns a checker. It starts nothing of its own.
func New(o Options) (*Checker, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Checker{opts: o, metrics: newMetrics(o.Registry)}, nil
}

// Check implements intake.Check. It looks at what strangers send; own senders, who have
// logged in or whose address is known, are somebody else's matter. The error has the
// code Policy: the tenant refuses what the sender's domain wants refused.
func (c *Checker) Check(ctx context.Context, in *intake.Incoming) (intake.Finding, error) {
	if in.Envelope.Door != "mx" || in.Envelope.Own != nil {
		return intake.Finding{}, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.opts.Patience)
	defer cancel()
	r := c.look(ctx, in)
	results := r.results()
	for _, one := range results {
		c.metrics.results.WithLabelValues(one.Method, string(one.Value)).Inc()
	}
	found := intake.Finding{Prefix: Format(c.opts.AuthservID, results), Confirmed: c.confirmed(ctx, r)}
	c.metrics.seconds.Observe(time.Since(began).Seconds())
	return found, c.handle(in, r, &found)
}

// A report is all that was found about one mail.
type report struct {
	iprev  Result
	helo   spfVerdict // of the name in EHLO
	from   spfVerdict // of the reverse-path
	sender doppelboden.Address
	helos  string // what the client called itself
	dkim   []*signed
	dmarc  []dmarcVerdict // one for each domain in From
	author bool           // From could be read

	trusted believed
}

// look asks all questions, side by side where they wait for the DNS.
func (c *Checker) look(ctx context.Context, in *intake.Incoming) *report {
	r := &report{sender: in.Envelope.Sender, helos: in.Envelope.Helo, trusted: believe(in.Envelope.Trusted)}
	all := fields(in.Header)
	domains, ok := authors(all)
	var others sync.WaitGroup
	proved := func() evidence { return evidence{spf: r.from, dkim: r.dkim} }
	if ip, err := netip.ParseAddr(in.Envelope.Peer); err != nil {
		// Behind a trusted hop that does not tell its client SPF might have been anything.
		proved = func() evidence {
			return evidence{spf: spfVerdict{domain: r.sender.Domain, value: TempError}, dkim: r.dkim}
		}
	} else {
		ip = ip.Unmap().WithZone("")
		others.Go(func() { r.iprev = c.iprev(ctx, ip) })
		others.Go(func() {
			r.from = c.mailFrom(ctx, ip, r.helos, r.sender)
			if !r.sender.IsNull() {
				r.helo = c.spf(ctx, ip, r.helos, "postmaster", r.helos)
			}
		})
	}
	for _, d := range domains {
		others.Go(func() { _, _, _ = c.recordAt(ctx, d) }) // the answer waits in the cache
	}
	r.dkim = c.dkim(ctx, in, all)
	others.Wait()
	r.author = ok
	for _, d := range domains {
		r.dmarc = append(r.dmarc, c.dmarc(ctx, d, proved()))
	}
	return r
}

// results lists what was found in the order of RFC 8601's examples: how the mail came
// first, what it says of itself last.
func (r *report) results() []Result {
	var all []Result
	if r.iprev.Method != "" {
		all = append(all, r.iprev)
	}
	if r.from.value != "" {
		one := Result{Method: "spf", Value: r.from.value, Reason: r.from.reason}
		if r.sender.IsNull() {
			one.Props = []Property{{"smtp", "helo", r.helos}}
		} else {
			one.Props = []Property{{"smtp", "mailfrom", mailbox(r.sender)}}
		}
		all = append(all, one)
	}
	if r.helo.value != "" && r.helo.value != None {
		all = append(all, Result{Method: "spf", Value: r.helo.value, Reason: r.helo.reason, Props: []Property{{"smtp", "helo", r.helos}}})
	}
	if len(r.dkim) == 0 {
		all = append(all, Result{Method: "dkim", Value: None})
	}
	for _, s := range r.dkim {
		all = append(all, s.result)
	}
	if !r.author {
		all = append(all, Result{Method: "dmarc", Value: PermError, Reason: "From cannot be read"})
	}
	for _, v := range r.dmarc {
		one := Result{Method: "dmarc", Value: v.value, Reason: v.reason, Props: []Property{{"header", "from", v.author}}}
		if v.value == Pass || v.value == Fail {
			one.Props = append(one.Props, Property{"policy", "dmarc", string(v.wish)})
		}
		all = append(all, one)
	}
	return all
}

// mailbox returns an address as it may stand in a result: all of it when it is plain,
// else its domain.
func mailbox(a doppelboden.Address) string {
	for i := range len(a.Local) {
		if c := a.Local[i]; !plain(c) || c == '@' {
			return a.Domain
		}
	}
	return a.Local + "@" + a.Domain
}

// confirmed reports whether the reverse-path is the sender's own (promise 12): SPF says
// so, or DMARC says so of an author whose organisation the reverse-path belongs to. A
// DMARC pass alone says nothing about a reverse-path of somebody else.
func (c *Checker) confirmed(ctx context.Context, r *report) bool {
	if r.sender.IsNull() {
		return false
	}
	// What a hop tells of SPF counts only where we could not ask ourselves: anybody may have
	// written it in its name.
	if r.from.value == Pass || (r.from.value == "" || r.from.value == TempError) && r.trusted.spf[r.sender.Domain] {
		return true
	}
	authors := slices.Collect(maps.Keys(r.trusted.dmarc))
	for _, v := range r.dmarc {
		if v.value == Pass {
			authors = append(authors, v.author)
		}
	}
	for _, author := range authors {
		a := alignment{c: c, author: author}
		if same, err := a.same(ctx, r.sender.Domain, false); err == nil && same {
			return true
		}
	}
	return false
}

// handle does what the tenant has chosen for mail that fails DMARC.
func (c *Checker) handle(in *intake.Incoming, r *report, found *intake.Finding) error {
	handling := c.opts.Handling(in.Message.Tenant)
	if handling != Mark && !r.author {
		// Else one unreadable address would be the way around every policy.
		c.metrics.handled.WithLabelValues("held").Inc()
		found.Hold = "DMARC: From cannot be read as a whole, so nobody can tell in whose name the mail is"
	}
	for _, v := range r.dmarc {
		if handling == Mark || v.value != Fail || v.wish == NoWish || r.trusted.dmarc[v.author] {
			continue
		}
		if handling == Refuse && v.wish == Reject {
			c.metrics.handled.WithLabelValues("refused").Inc()
			return &doppelboden.Error{Code: doppelboden.Policy,
				Public: fmt.Sprintf("%s asks to refuse mail that is not proved to come from there (DMARC)", v.author)}
		}
		c.metrics.handled.WithLabelValues("held").Inc()
		found.Hold = fmt.Sprintf("DMARC: not proved to come from %s, which asks to %s such mail", v.author, v.wish)
	}
	return nil
}

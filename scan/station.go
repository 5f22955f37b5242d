package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"

	"github.com/prometheus/client_golang/prometheus"
)

// A Plan says how a tenant has its mail scanned. A plan without addresses is none.
type Plan struct {
	Rspamd []string // addresses; one that works is asked
	ClamAV []string // addresses; one that works is asked

	Deadline time.Duration // for one mail, all scanners together

	RefuseMalware bool    // at the door, with 554; else it is kept in quarantine
	RejectScore   float64 // spam with this score or more is refused at the door; 0: none is

	// Patience is how long mail waits for scanners. When it is over the mail is handed
	// over with a mark, or, when it is negative, waits on.
	Patience time.Duration
	// Fresh is how old a scan may be when the mail is handed over.
	Fresh time.Duration
}

// None reports whether nothing is scanned.
func (p *Plan) None() bool { return p == nil || len(p.Rspamd) == 0 && len(p.ClamAV) == 0 }

// Options say what a station works with. All fields must be set unless a default is
// named.
type Options struct {
	Hostname string // what we call ourselves towards scanners and in marks
	Log      *slog.Logger
	Registry prometheus.Registerer
	Clock    func() time.Time // default time.Now
	// Back is called when a scanner works again: mail that waits can be
	// scanned. It must return at once.
	Back func()
}

// A Station has the scanners of all tenants.
type Station struct {
	opts    Options
	metrics *metrics

	mu       sync.RWMutex
	plans    map[doppelboden.TenantID]*Plan
	scanners map[string]*scanner // by kind and address
}

// NewStation returns a station without scanners.
func NewStation(o Options) (*Station, error) {
	if o.Hostname == "" || o.Log == nil || o.Registry == nil || o.Back == nil {
		return nil, errors.New("scan: Hostname, Log, Registry and Back must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Station{opts: o, metrics: newMetrics(o.Registry)}, nil
}

// Configure replaces all plans. Scanners that stay keep what is known of them.
func (s *Station) Configure(plans map[doppelboden.TenantID]*Plan) error {
	next := map[string]*scanner{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range plans {
		for kind, addrs := range map[string][]string{Rspamd: p.Rspamd, ClamAV: p.ClamAV} {
			for _, addr := range addrs {
				key := kind + " " + addr
				if next[key] != nil {
					continue
				}
				if next[key] = s.scanners[key]; next[key] != nil {
					continue
				}
				one, err := s.scanner(kind, addr)
				if err != nil {
					return err
				}
				next[key] = one
			}
		}
	}
	for key, one := range s.scanners {
		if next[key] == nil {
			one.close()
			s.metrics.forget(one.kind, one.addr)
		}
	}
	s.plans, s.scanners = plans, next
	return nil
}

// scanner makes a scanner that is believed to work.
func (s *Station) scanner(kind, addr string) (*scanner, error) {
	e, err := newEngine(kind, addr, s.opts.Hostname)
	if err != nil {
		return nil, err
	}
	one := &scanner{kind: kind, addr: addr, engine: e, slots: make(chan struct{}, atOnce),
		log: s.opts.Log, clock: s.opts.Clock, metrics: s.metrics.scanner(kind, addr), back: s.opts.Back}
	one.breaker.since = s.opts.Clock()
	return one, nil
}

// probeEvery is the time between two looks at which scanners are to be probed, calmEvery that
// while all of them work, which is not longer than probeFirst, and probeLimit how long a probe
// may take.
const probeEvery, calmEvery, probeLimit = 250 * time.Millisecond, probeFirst, 5 * time.Second

// Run probes scanners that do not work until ctx ends.
func (s *Station) Run(ctx context.Context) {
	var probes sync.WaitGroup
	defer probes.Wait()
	under := sync.Map{} // scanners that are being probed
	for pace := probeEvery; clock.Sleep(ctx, clock.Beat, pace); {
		pace = calmEvery
		for _, one := range s.all() {
			if one.breaker.allow() {
				continue
			}
			pace = probeEvery
			if !one.breaker.due(s.opts.Clock()) {
				continue
			}
			if _, busy := under.LoadOrStore(one, true); !busy {
				probes.Go(func() { one.probe(ctx, probeLimit); under.Delete(one) })
			}
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, one := range s.scanners {
		one.close()
	}
}

// all returns the scanners in the order of kind and address.
func (s *Station) all() []*scanner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]string, 0, len(s.scanners))
	for key := range s.scanners {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	list := make([]*scanner, len(keys))
	for i, key := range keys {
		list[i] = s.scanners[key]
	}
	return list
}

// Plan returns the plan of a tenant; nil when it has none.
func (s *Station) Plan(t doppelboden.TenantID) *Plan {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := s.plans[t]; !p.None() {
		return p
	}
	return nil
}

// works reports whether every kind of scanner in a plan has one that works.
func (s *Station) works(p *Plan) bool {
	for kind, addrs := range map[string][]string{Rspamd: p.Rspamd, ClamAV: p.ClamAV} {
		some := len(addrs) == 0
		for _, one := range s.of(kind, addrs) {
			up, _, _ := one.breaker.state()
			some = some || up
		}
		if !some {
			return false
		}
	}
	return true
}

// of returns the scanners of a kind at addresses.
func (s *Station) of(kind string, addrs []string) []*scanner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*scanner, 0, len(addrs))
	for _, addr := range addrs {
		if one := s.scanners[kind+" "+addr]; one != nil {
			list = append(list, one)
		}
	}
	return list
}

// A Result is what all scanners of a plan say about a mail.
type Result struct {
	State   doppelboden.ScanState // Unscanned, Clean, Spam or Malware
	Malware string                // name of it; harmless
	Scanner string                // of Malware and Trouble: which
	Trouble string                // of Unscanned: why
	Alone   bool                  // of Unscanned: the trouble is this mail's, not the scanner's

	rspamd report // zero when rspamd did not answer
}

// Scan asks the scanners of a plan side by side, at most for its deadline. again says
// that the mail was asked about before.
func (s *Station) Scan(ctx context.Context, p *Plan, m *Mail, again bool) Result {
	ctx, cancel := context.WithTimeout(ctx, p.Deadline)
	defer cancel()
	var clamReport, spamReport report
	var clamErr, spamErr error
	rspamds, clams := s.of(Rspamd, p.Rspamd), s.of(ClamAV, p.ClamAV)
	var other sync.WaitGroup
	if len(rspamds) > 0 {
		ask := func() { spamReport, spamErr = first(ctx, rspamds, m, again) }
		if len(clams) > 0 {
			other.Go(ask)
		} else {
			ask()
		}
	}
	if len(clams) > 0 {
		if clamReport, clamErr = first(ctx, clams, m, again); clamReport.state == malware {
			cancel() // what rspamd says changes nothing any more
		}
		other.Wait()
	}
	r := join(spamReport, spamErr, clamReport, clamErr)
	s.metrics.results.WithLabelValues(r.State.String()).Inc()
	return r
}

// join makes one result of what both scanners said.
func join(spamReport report, spamErr error, clamReport report, clamErr error) Result {
	switch {
	case clamReport.state == malware:
		return Result{State: doppelboden.Malware, Malware: clamReport.name, Scanner: ClamAV, rspamd: spamReport}
	case clamErr != nil:
		return trouble(ClamAV, clamErr, spamReport)
	case spamErr != nil:
		return trouble(Rspamd, spamErr, spamReport)
	case spamReport.state == spam:
		return Result{State: doppelboden.Spam, rspamd: spamReport}
	}
	return Result{State: doppelboden.Clean, rspamd: spamReport}
}

// trouble is the result of a mail that a scanner did not answer about.
func trouble(scanner string, err error, spamReport report) Result {
	alone := errors.Is(err, errTooLarge) || errors.Is(err, errLater)
	return Result{State: doppelboden.Unscanned, Scanner: scanner, Trouble: brief([]byte(err.Error())), Alone: alone, rspamd: spamReport}
}

// first asks one scanner after another until one answers.
func first(ctx context.Context, scanners []*scanner, m *Mail, again bool) (r report, err error) {
	var errs []error
	for _, one := range scanners {
		r, err = one.scan(ctx, m, again)
		if err == nil || errors.Is(err, errTooLarge) || errors.Is(err, errLater) || ctx.Err() != nil {
			return r, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", one.addr, err))
	}
	return report{}, errors.Join(errs...)
}

// A Status says how a scanner is.
type Status struct {
	Kind     string    `json:"kind"` // "rspamd" or "ClamAV"
	Address  string    `json:"address"`
	Up       bool      `json:"up"`
	Since    time.Time `json:"since"`                    // of up or down
	Trouble  string    `json:"trouble,omitempty"`        // what went wrong last
	TooLarge int64     `json:"too_large_bytes,omitzero"` // size of a mail of the last day that it called too large
}

// Status returns how the scanners are, by kind and address.
func (s *Station) Status() []Status {
	var all []Status
	for _, one := range s.all() {
		up, since, why := one.breaker.state()
		st := Status{Kind: one.kind, Address: one.addr, Up: up, Since: since, Trouble: why}
		if at := time.Unix(one.largeAt.Load(), 0); s.opts.Clock().Sub(at) < largeFor {
			st.TooLarge = one.large.Load()
		}
		all = append(all, st)
	}
	return all
}

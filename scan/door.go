package scan

import (
	"context"
	"fmt"

	"doppelboden"
)

// A Judgement is what a result means for a mail that has not been acknowledged yet.
type Judgement struct {
	State  doppelboden.ScanState
	Prefix []byte // header lines that say it; each ends in CRLF
	Hold   string // why its deliveries begin held; empty when they don't
}

// Quarantine begins the reason of every delivery that is held because of malware.
const Quarantine = "quarantine: "

// Door scans a mail that has arrived and says what becomes of it. Its error refuses the
// mail: a permanent reply in the dialogue that sends it makes no backscatter.
func (s *Station) Door(ctx context.Context, t doppelboden.TenantID, m *Mail) (Judgement, error) {
	p := s.Plan(t)
	if p == nil {
		return Judgement{}, nil
	}
	return s.judge(p, s.Scan(ctx, p, m, false), !m.MustTake)
}

// judge decides about a mail at the door, which may refuse it or not.
func (s *Station) judge(p *Plan, r Result, mayRefuse bool) (Judgement, error) {
	j := Judgement{State: r.State, Prefix: marks(s.opts.Hostname, p, r)}
	switch {
	case r.State == doppelboden.Malware && p.RefuseMalware && mayRefuse:
		s.metrics.refused.WithLabelValues("malware").Inc()
		// RFC 3463, section 3.8: X.7.1, delivery not authorized.
		return j, &doppelboden.Error{Code: doppelboden.Policy, Public: "this message holds malware and is refused",
			Cause: fmt.Errorf("%s found %s", r.Scanner, r.Malware)}
	case r.State == doppelboden.Malware:
		j.Hold = Quarantine + found(r)
	case r.State == doppelboden.Spam && mayRefuse && p.RejectScore > 0 && r.rspamd.score >= p.RejectScore:
		s.metrics.refused.WithLabelValues("spam").Inc()
		return j, &doppelboden.Error{Code: doppelboden.Policy, Public: "this message looks like spam and is refused",
			Cause: fmt.Errorf("score %.2f, refused from %.2f on", r.rspamd.score, p.RejectScore)}
	case r.State == doppelboden.Unscanned:
		// What it is will be said when it has been scanned.
		j.Prefix = nil
	}
	return j, nil
}

// found says what was found in a mail, and by whom.
func found(r Result) string { return r.Malware + " (" + r.Scanner + ")" }

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
	return s.judge(p, s.Scan(ctx, p, m, false))
}

// judge decides about a mail at the door.
func (s *Station) judge(p *Plan, r Result) (Judgement, error) {
	j := Judgement{State: r.State, Prefix: marks(s.opts.Hostname, p, r)}
	switch {
	case r.State == doppelboden.Malware && p.RefuseMalware:
		s.metrics.refused.WithLabelValues("malware").Inc()
		// RFC 3463, section 3.8: X.7.1, delivery not authorized.
		return j, &doppelboden.Error{Code: doppelboden.Policy, Public: "this message holds malware and is refused",
			Cause: fmt.Errorf("%s found %s", r.Scanner, r.Malware)}
	case r.State == doppelboden.Malware:
		j.Hold = reason(r)
	case r.State == doppelboden.Spam && p.RejectScore > 0 && r.rspamd.score >= p.RejectScore:
		s.metrics.refused.WithLabelValues("spam").Inc()
		return j, &doppelboden.Error{Code: doppelboden.Policy, Public: "this message looks like spam and is refused",
			Cause: fmt.Errorf("score %.2f, refused from %.2f on", r.rspamd.score, p.RejectScore)}
	case r.State == doppelboden.Unscanned:
		// What it is will be said when it has been scanned.
		j.Prefix = nil
	}
	return j, nil
}

// reason says why a mail is in quarantine.
func reason(r Result) string { return Quarantine + r.Malware + " (" + r.Scanner + ")" }

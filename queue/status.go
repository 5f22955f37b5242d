package queue

import (
	"cmp"
	"slices"
	"time"
)

// A LaneStatus says what a lane is doing.
type LaneStatus struct {
	Name     string    `json:"name"`
	Up       bool      `json:"up"`
	Since    time.Time `json:"since"`                // of up or down
	Waiting  int64     `json:"waiting"`              // deliveries; an estimate, the store knows
	InFlight int       `json:"in_flight"`            // transactions
	AtOnce   int       `json:"at_once"`              // transactions that may be in flight now
	Reply    string    `json:"last_reply,omitempty"` // what went wrong last; hostile text
	Probe    time.Time `json:"next_probe,omitzero"`  // while down

	Oldest time.Time     `json:"oldest,omitzero"`  // when the oldest of what waits was received
	Filing *FilingStatus `json:"filing,omitempty"` // of a lane that puts old mail straight into mailboxes
	Flow   *Flow         `json:"flow,omitempty"`   // nil while nothing flows

	// Of a way to the Internet: how many domains mail waits for, and those of them that do
	// not take it, at most shownDomains, those with most mail first.
	Internet bool           `json:"internet,omitempty"`
	Waits    int            `json:"domains,omitempty"`
	Away     bool           `json:"away,omitempty"` // nobody at all has answered lately: it may be our own line
	Ill      []DomainStatus `json:"domains_ill,omitempty"`
}

// A DomainStatus says why mail for a domain of the Internet waits.
type DomainStatus struct {
	Domain  string    `json:"domain"`
	Waiting int64     `json:"waiting"`              // deliveries; an estimate
	Since   time.Time `json:"since"`                // since when it is so
	Refuses bool      `json:"refuses_us,omitempty"` // for our address or domain, whatever the mail; else it does not answer
	Reply   string    `json:"last_reply"`           // hostile text
	Probe   time.Time `json:"next_probe,omitzero"`
}

// shownDomains bounds a status: who has more has another problem than the single domain.
const shownDomains = 20

// status returns the lane's.
func (l *lane) status() LaneStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LaneStatus{
		Name: l.conf.Route.Name, Up: !l.health.down, Since: l.health.since, Waiting: l.queued,
		InFlight: l.inFlight, AtOnce: l.throttle.now, Reply: l.health.reply,
	}
	if l.health.down {
		s.Probe = l.health.probe
	}
	now := l.q.opts.Clock()
	if f := &l.filing; l.conf.FileAfter > 0 && l.q.opts.Filer != nil {
		s.Filing = &FilingStatus{Up: !f.health.down, Since: f.health.since, After: l.conf.FileAfter.String(),
			Boxes: f.ready.n, InFlight: f.inFlight, AtOnce: f.throttle.now, Reply: f.health.reply}
		if f.health.down {
			s.Filing.Probe = f.health.probe
		}
	}
	for _, b := range l.boxes {
		if b.queued > 0 && !b.since.IsZero() && (s.Oldest.IsZero() || b.since.Before(s.Oldest)) {
			s.Oldest = b.since
		}
	}
	s.Flow = l.flowed(now)
	return s
}

// A FilingStatus says how a lane puts old mail straight into mailboxes.
type FilingStatus struct {
	Up       bool      `json:"up"`
	Since    time.Time `json:"since"`                // of up or down
	After    string    `json:"after"`                // from what age on, such as "6h0m0s"
	Boxes    int       `json:"mailboxes"`            // that wait for their turn
	InFlight int       `json:"in_flight"`            // runs
	AtOnce   int       `json:"at_once"`              // runs that may be in flight now
	Reply    string    `json:"last_reply,omitempty"` // what went wrong last; hostile text
	Probe    time.Time `json:"next_probe,omitzero"`  // while down
}

func sortStatus(all []LaneStatus) {
	slices.SortFunc(all, func(a, b LaneStatus) int { return cmp.Compare(a.Name, b.Name) })
}

// status returns the outlet's.
func (o *outlet) status() LaneStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := LaneStatus{
		Name: o.name, Up: !o.health.down, Since: o.health.since, Waiting: o.queued, InFlight: o.inFlight,
		AtOnce: o.conf.AtOnce, Reply: o.health.reply, Internet: true, Waits: len(o.domains),
		Away: o.away(),
	}
	if o.health.down {
		s.Probe = o.health.probe
	}
	silent, refusing := 0, 0
	for _, d := range o.domains {
		ill := DomainStatus{Domain: d.name, Waiting: d.queued, Since: d.own.since, Reply: d.own.reply, Probe: d.own.probe}
		switch {
		case !d.blocked.IsZero():
			refusing++
			ill.Since, ill.Refuses, ill.Reply = d.blocked, true, d.why
		case d.own.down:
			silent++
		default:
			continue
		}
		s.Ill = append(s.Ill, ill)
	}
	o.counts.well.Set(float64(len(o.domains) - silent - refusing))
	o.counts.silent.Set(float64(silent))
	o.counts.refusing.Set(float64(refusing))
	slices.SortFunc(s.Ill, func(a, b DomainStatus) int {
		if a.Refuses != b.Refuses { // somebody can do something about these
			if a.Refuses {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Domain, b.Domain))
	})
	s.Ill = s.Ill[:min(len(s.Ill), shownDomains)]
	return s
}

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
}

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
	return s
}

func sortStatus(all []LaneStatus) {
	slices.SortFunc(all, func(a, b LaneStatus) int { return cmp.Compare(a.Name, b.Name) })
}

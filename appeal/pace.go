package appeal

import (
	"math/rand/v2"
	"time"
)

// Pace holds the times between trials, and how much is tried at once.
type Pace struct {
	// First is the time from a refusal to the first trial of its group: a groupware that is
	// not ready yet after its start needs some minutes.
	First time.Duration
	// Then follows Trials times, and Late from then on: what a person has to repair takes
	// hours, and one trial of each group costs a groupware nothing.
	Then, Late time.Duration
	Trials     int
	// Restart is the time from our start to the first trial of what was refused before.
	Restart time.Duration
	// Patience is how long the outcome of a trial is waited for before the group goes on
	// without it: its mail is queued then like any other.
	Patience time.Duration
	// Wave is how many mailboxes follow the first one that was taken, and MostWave how many
	// at most after that, twice as many with every wave that goes well.
	Wave, MostWave int
	// Most bounds the deliveries of one lane that are tried at once.
	Most int
	// Others is how many other mailboxes of the route must have taken mail before one is
	// believed to be the only one that is refused: not one, which may be the only one that
	// works.
	Others int
	// Fresh is how old their successes may be at most.
	Fresh time.Duration
}

// DefaultPace returns the times that suit a city's own groupware.
func DefaultPace() Pace {
	return Pace{
		First: 10 * time.Minute, Then: time.Hour, Late: 4 * time.Hour, Trials: 6,
		Restart: 30 * time.Second, Patience: time.Minute,
		Wave: 4, MostWave: 256, Most: 1000,
		Others: 3, Fresh: 24 * time.Hour,
	}
}

// after returns the time until the next trial, after so many that failed in a row. A
// tenth of it is left to chance, so that groups do not all go at the same moment.
func (p *Pace) after(failed int) time.Duration {
	d := p.Late
	switch {
	case failed <= 0:
		d = p.First
	case failed <= p.Trials:
		d = p.Then
	}
	return d - time.Duration(rand.Int64N(int64(d)/10+1))
}

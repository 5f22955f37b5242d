package event

import "time"

// Pace holds the thresholds. Those for the way in and the way out differ.
type Pace struct {
	// Probe is how long a route gives no answer before it is asked for one; Again is the
	// time to the next probe after one that failed.
	Probe, Again time.Duration
	// Dead is for how long a route fails, at least twice in a row, before it counts as
	// dead. Shorter is a restart of a frontend.
	Dead time.Duration
	// Hung is how long transactions are in flight without any of them ending before the
	// route counts as dead although it greets.
	Hung time.Duration

	// Window is how far back failures of different mailboxes belong together.
	Window time.Duration
	// Span is for how long mailboxes are refused before they are in an outage: what is over
	// at the second attempt was a hiccup.
	Span time.Duration
	// Crowd is how many mailboxes make an outage when they are a large share of what they
	// share, and Mass how many do when they are not.
	Crowd, Mass int
	// Lonely is after how long a single mailbox has an event of lesser weight.
	Lonely time.Duration

	// Calm is for how long mail must be taken, without the route failing, before anybody
	// counts as well again.
	Calm time.Duration
	// Trial is the shortest time between two letters that show whether mail is taken.
	Trial time.Duration
	// Shrink is the time between two steps that let mailboxes go that are well.
	Shrink time.Duration
	// Reopen is how long after its end an event goes on when the groupware falls again.
	Reopen time.Duration
	// Grace is how long after its planned end a maintenance may last before that is an
	// alarm.
	Grace time.Duration
}

// DefaultPace returns the thresholds that suit a city.
func DefaultPace() Pace {
	return Pace{
		// 10 s without an answer, then a probe that takes 8 s at most and one more 2 s
		// later: a dead route is known after 30 s at the latest.
		Probe: 10 * time.Second, Again: 2 * time.Second, Dead: 8 * time.Second, Hung: 2 * time.Minute,
		Window: 10 * time.Minute, Span: 10 * time.Second, Crowd: 3, Mass: 20, Lonely: 10 * time.Minute,
		Calm: time.Minute, Trial: 10 * time.Minute, Shrink: time.Minute, Reopen: 30 * time.Minute, Grace: 5 * time.Minute,
	}
}

// Shares of those that were asked, in percent.
const (
	// crowdShare of a department or building make an outage of it.
	crowdShare = 50
	// routeShare of a route make one: half of the mailboxes would be 50, less what got no
	// mail yet.
	routeShare = 25
	// massShare must be reached by a mass, so that a few hundred people who left long ago
	// are no outage of a city with 20,000.
	massShare = 2
	// wholeShare of a route say that it is the route that does not work.
	wholeShare = 95
	// doneShare of those for whom mail waits must have got some before an event ends.
	doneShare = 50
)

// wholeLeast is how many mailboxes must be refused before the route is to blame for all of
// them, unless it has fewer.
const wholeLeast = 10

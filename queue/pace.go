package queue

import (
	"math/rand/v2"
	"time"
)

// Pace holds the times between attempts.
type Pace struct {
	// RouteFirst and RouteMost bound the time between two probes of a route that does
	// not answer. RouteMost is 10 s because a route must be found again within 30 s of
	// its return, also when a probe hangs in a connect for 10 s at each of two hosts.
	RouteFirst, RouteMost time.Duration
	// BoxFirst and BoxMost bound the time between two attempts for a mailbox that is
	// refused for the time being. BoxMost is short, because the next server is the
	// city's own and the people behind it wait.
	BoxFirst, BoxMost time.Duration
	// Suspect is how many transactions in a row may break off before the route counts
	// as down; a single mail that breaks connections must not stop all others.
	Suspect int
	// StepOver is after how many attempts a mail that alone is refused for the time
	// being no longer stops the mails behind it.
	StepOver int

	// FarFirst and FarMost bound the time between two probes of a domain of the Internet
	// that does not answer: a restart takes minutes, and what takes longer, hours. FarAway
	// stands for FarMost while nobody at all answers: then it is our line, and some domain
	// must tell us soon that it is back.
	FarFirst, FarMost, FarAway time.Duration
	// MailFirst and MailMost bound the time between two attempts for a mail that a domain
	// of the Internet puts off. Greylisting asks for five minutes (RFC 6647, section 4.5,
	// knows one to 60), so the first is longer than that, also with the jitter.
	MailFirst, MailMost time.Duration
}

// DefaultPace returns the times that suit a city's own groupware.
func DefaultPace() Pace {
	return Pace{
		RouteFirst: time.Second, RouteMost: 10 * time.Second,
		BoxFirst: 15 * time.Second, BoxMost: 5 * time.Minute,
		Suspect: 5, StepOver: 3,
		FarFirst: 2 * time.Minute, FarMost: time.Hour, FarAway: 5 * time.Minute,
		MailFirst: 7 * time.Minute, MailMost: 2 * time.Hour,
	}
}

// backoff returns first doubled with every attempt after the first, at most most, with
// a jitter of up to a fifth less, so that what failed together does not return together.
func backoff(first, most time.Duration, attempt int) time.Duration {
	d := first
	for i := 1; i < attempt && d < most; i++ {
		d *= 2
	}
	d = min(d, most)
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}

// A throttle decides how many transactions a lane may have in flight: it grows by one
// for every ten that went well and is halved by one that did not (additive increase,
// multiplicative decrease, as TCP does).
type throttle struct {
	most  int // never more than this
	now   int // the present limit, at least 1
	going int // in a row that went well since the last change
}

func newThrottle(most int) throttle { return throttle{most: most, now: min(2, most)} }

// well counts a transaction that the next server took.
func (t *throttle) well() {
	t.going++
	if t.going >= 10 && t.now < t.most {
		t.now++
		t.going = 0
	}
}

// badly counts one that it put off.
func (t *throttle) badly() {
	t.now = max(1, t.now/2)
	t.going = 0
}

// restart begins again gently, after a time in which nothing went.
func (t *throttle) restart() { t.now, t.going = min(2, t.most), 0 }

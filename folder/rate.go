package folder

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"doppelboden"
)

// hour is the time within which recipients are counted.
const hour = time.Hour

// rates counts to how many recipients each person has written lately. It is kept in memory
// of one node: a restart forgets it, which a thief of a password can't bring about.
type rates struct {
	clock func() time.Time

	mu    sync.Mutex
	spent map[string]*bucket // by person
}

// A bucket is what somebody has used of what an hour allows; it runs out evenly.
type bucket struct {
	used float64
	at   time.Time
}

func newRates(clock func() time.Time) *rates {
	return &rates{clock: clock, spent: map[string]*bucket{}}
}

// take uses n of most in an hour, or returns after which time it could.
func (r *rates) take(who string, n, most int) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	b := r.spent[who]
	if b == nil {
		r.forget(now)
		b = &bucket{at: now}
		r.spent[who] = b
	}
	perSecond := float64(most) / hour.Seconds()
	b.used = max(0, b.used-max(0, now.Sub(b.at).Seconds())*perSecond)
	b.at = now
	if over := b.used + float64(n) - float64(most); over > 0 {
		return time.Duration(over / perSecond * float64(time.Second)), false
	}
	b.used += float64(n)
	return 0, true
}

// give takes back a use of n: nothing was sent.
func (r *rates) give(who string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.spent[who]; b != nil {
		b.used = max(0, b.used-float64(n))
	}
}

// forget drops people who have not written for an hour. The caller holds mu.
func (r *rates) forget(now time.Time) {
	for who, b := range r.spent {
		if now.Sub(b.at) > hour {
			delete(r.spent, who)
		}
	}
}

// ErrTooMany is in the tree of what Allow refuses. Pages say it in their language.
var ErrTooMany = errors.New("more recipients than an hour allows")

// Allow counts recipients to which somebody writes from a mailbox, and refuses more than an
// hour allows: a stolen password must not burn the city's reputation. Doors that take
// people's mail by SMTP ask it; Send does by itself. The code is Policy for what no hour
// allows, else Busy.
func (r *Room) Allow(m doppelboden.Mailbox, by string, recipients int) error {
	most := r.opts.Most(m)
	wait, ok := r.rates.take(by, recipients, most)
	if ok {
		return nil
	}
	if r.opts.Limited != nil {
		r.opts.Limited(m, by, most)
	}
	if recipients > most {
		return &doppelboden.Error{Code: doppelboden.Policy, Public: fmt.Sprintf("you may write to %d recipients within an hour, and this mail has %d; please ask your administrator", most, recipients), Cause: ErrTooMany}
	}
	return &doppelboden.Error{Code: doppelboden.Busy, Public: fmt.Sprintf("you may write to %d recipients within an hour; please try again in %d minutes", most, int(wait.Minutes())+1), Cause: ErrTooMany}
}

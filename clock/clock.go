// Package clock lets who waits for a time be told when the clock is moved: a test that lets
// three months pass must have happen what happens in three months. Everybody else waits in
// real time. It starts no goroutines.
package clock

import (
	"context"
	"time"
)

// A Timer sends the time once, d later. stop must be called when nobody waits any more; it
// may be called again.
type Timer func(d time.Duration) (fired <-chan time.Time, stop func() bool)

// Real waits in real time.
func Real(d time.Duration) (fired <-chan time.Time, stop func() bool) {
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// Beat is Real for who waits again and again: it fires at a full multiple of d, so after half
// of d at the least and one and a half of it at the most. All who wait by it wake together,
// and an idle machine's processor goes to sleep once a second instead of for each of them.
// It is not for who compares what has passed with a few times d: two beats are a moment
// less than 2*d apart as often as a moment more.
func Beat(d time.Duration) (fired <-chan time.Time, stop func() bool) {
	return Real(toBeat(time.Now(), d))
}

// toBeat returns how long it is from now to the next beat.
func toBeat(now time.Time, d time.Duration) time.Duration {
	left := now.Truncate(d).Add(d).Sub(now)
	if left < d/2 {
		left += d
	}
	return left
}

// Or returns t, or Real when it is nil.
func Or(t Timer) Timer {
	if t == nil {
		return Real
	}
	return t
}

// Every calls do again and again, each time d after the last call has ended, until ctx ends.
func Every(ctx context.Context, t Timer, d time.Duration, do func()) {
	for Sleep(ctx, t, d) {
		do()
	}
}

// Sleep waits for d and reports whether that time passed; false: ctx ended.
func Sleep(ctx context.Context, t Timer, d time.Duration) bool {
	fired, stop := t(d)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-fired:
		return ctx.Err() == nil
	}
}

// Package hand has a clock for tests that goes on in real time and can be moved forward by
// any time at any moment. Who waits by its timers is told at once.
package hand

import (
	"sync"
	"time"
)

// A Clock is the real time and what it was moved by. It may be used by several goroutines.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
	waits map[*wait]bool
}

// A wait is a timer that has not fired.
type wait struct {
	at    time.Time
	fired chan time.Time
	real  *time.Timer
}

// At returns a clock that says t now.
func At(t time.Time) *Clock { return &Clock{ahead: time.Until(t), waits: map[*wait]bool{}} }

// Now returns the time. It is a plain time: what lies between two of them is what this
// clock says, not what really passed.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time { return time.Now().Round(0).Add(c.ahead) }

// Timer implements clock.Timer.
func (c *Clock) Timer(d time.Duration) (fired <-chan time.Time, stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &wait{at: c.now().Add(d), fired: make(chan time.Time, 1)}
	w.real = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fire(w)
	})
	c.waits[w] = true
	return w.fired, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		w.real.Stop()
		was := c.waits[w]
		delete(c.waits, w)
		return was
	}
}

// fire tells who waits, once.
func (c *Clock) fire(w *wait) {
	if c.waits[w] {
		delete(c.waits, w)
		w.fired <- c.now()
	}
}

// Waiting returns how many timers have not fired.
func (c *Clock) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waits)
}

// Forward moves the clock by d and has all timers fire whose time has come.
func (c *Clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	now := c.now()
	for w := range c.waits {
		if !w.at.After(now) {
			w.real.Stop()
			c.fire(w)
		}
	}
}

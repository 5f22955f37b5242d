package scan

import (
	"sync"
	"time"
)

const (
	// breakAfter is how many scans in a row must fail before a scanner is left alone:
	// one mail that no scanner gets through must not stop the scanning of all others.
	breakAfter = 3
	// probeFirst and probeMost bound the time between two probes. probeMost is short,
	// because mail waits.
	probeFirst, probeMost = time.Second, 15 * time.Second
)

// A breaker decides whether a scanner is asked at all. It is closed while the scanner
// works, opens when it does not, and closes when a probe was answered.
type breaker struct {
	mu       sync.Mutex
	open     bool
	bad      int       // scans in a row that failed
	failures int       // times it opened and probes that failed since a mail was answered
	since    time.Time // of the last change between open and closed
	probe    time.Time // while open: not before this
	why      string    // what went wrong last
}

// allow reports whether a scan may begin.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open
}

// well counts a mail that was answered, and reports whether that closed the breaker.
func (b *breaker) well(now time.Time) (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad, b.failures = 0, 0
	return b.close(now)
}

// badly counts a scan that failed, and reports whether that opened the breaker.
func (b *breaker) badly(now time.Time, why string) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.why = why
	b.bad++
	if b.open || b.bad < breakAfter {
		return false
	}
	b.open, b.since = true, now
	b.wait(now)
	return true
}

// wait sets the time of the next probe; the caller holds b.mu. A scanner that answers
// probes and no mails is given more and more time.
func (b *breaker) wait(now time.Time) {
	b.probe = now.Add(min(probeFirst<<min(b.failures, 8), probeMost))
	b.failures++
}

// due reports whether a probe is to be made now.
func (b *breaker) due(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open && !now.Before(b.probe)
}

// probed notes what a probe found, and reports whether that closed the breaker.
func (b *breaker) probed(now time.Time, err error) (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		return b.close(now)
	}
	b.why = brief([]byte(err.Error()))
	b.wait(now)
	return false
}

// close closes the breaker, if it is open; the caller holds b.mu.
func (b *breaker) close(now time.Time) (closed bool) {
	if !b.open {
		return false
	}
	b.open, b.bad, b.since = false, 0, now
	return true
}

// state returns whether the scanner works, since when that is so, and what went wrong
// last.
func (b *breaker) state() (up bool, since time.Time, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open, b.since, b.why
}

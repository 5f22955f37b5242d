package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
)

// monitorEvery is how often the store looks whether it could commit.
const monitorEvery = time.Second

// idleProbe is how long after the last clean commit one is tried, so that a server that
// went away is noticed before a mail comes.
const idleProbe = 2 * time.Second

// stuckAfter is how long a batch may take until the store does not call itself ready: a
// server that is frozen, or waits for a standby, breaks no connection.
const stuckAfter = 10 * time.Second

// health is why the store could not take a message now, kept for Ready.
type health struct {
	mu    sync.Mutex
	write error     // the last write failed like this
	clean time.Time // of the last clean commit, on the machine's own clock
}

// Ready returns nil when the store could take a message now; otherwise why not.
func (s *Store) Ready() error {
	select {
	case <-s.closing:
		return closedError()
	default:
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.write != nil {
		return s.health.write
	}
	if since := s.writer.since.Load(); since != 0 {
		if took := time.Since(time.Unix(0, since)); took > stuckAfter {
			return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicBusy,
				Cause: fmt.Errorf("the database has not answered for %s", took.Round(time.Second))}
		}
	}
	return nil
}

// failed remembers that writing does not work; the monitor tries until it does.
func (h *health) failed(s *Store, what string, err error) {
	h.mu.Lock()
	first := h.write == nil
	h.write = outward(err)
	h.mu.Unlock()
	s.metrics.failures.Inc()
	if first {
		s.opts.Log.Error("database does not take writes", "during", what, "error", err)
	}
}

// wrote forgets a failure: a commit was clean.
func (h *health) wrote(s *Store) {
	h.mu.Lock()
	again := h.write != nil
	h.write, h.clean = nil, time.Now()
	h.mu.Unlock()
	if again {
		s.opts.Log.Info("database takes writes again")
	}
}

// due reports whether a commit is to be tried: the last one failed, or was some time ago.
func (h *health) due() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.write != nil || time.Since(h.clean) >= idleProbe
}

// monitor probes the writer until Close.
func (s *Store) monitor() {
	for {
		fired, stop := clock.Beat(monitorEvery)
		select {
		case <-s.closing:
			stop()
			return
		case <-fired:
		}
		if s.health.due() {
			s.probe()
		}
	}
}

// allTables fails when a table is lost that messages need. It reads nothing.
const allTables = `SELECT FROM message, delivery, copy, folder, notice, held, link, count, sequence, node, destination WHERE false`

// probe commits, and the commit itself says whether it worked; what it writes, every
// transaction without a link writes. A batch that is under way is a probe as well.
func (s *Store) probe() {
	limited, cancel := context.WithTimeout(background, monitorEvery)
	defer cancel()
	s.write(limited, func(t *tx) error { return t.query(nil, allTables) })
}

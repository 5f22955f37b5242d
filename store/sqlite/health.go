package sqlite

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"doppelboden"
	"doppelboden/clock"
)

// monitorEvery is how often free space is measured and a broken writer is probed. In a
// second the door can take some thousand small mails or 100 MB: MinFree must be more.
const monitorEvery = time.Second

// health is why the store could not take a message now, kept for Ready.
type health struct {
	mu    sync.Mutex
	write error // the last write failed like this
	space error // the file system has less free than it must
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
	if s.health.space != nil {
		return s.health.space
	}
	return s.health.write
}

// failed remembers that writing does not work; the monitor tries until it does.
func (h *health) failed(s *Store, what string, err error) {
	h.mu.Lock()
	first := h.write == nil
	h.write = outward(err)
	h.mu.Unlock()
	s.metrics.failures.Inc()
	if first {
		s.opts.Log.Error("storage does not take writes", "during", what, "error", err)
	}
}

// wrote forgets a failure: a commit was clean.
func (h *health) wrote(s *Store) {
	h.mu.Lock()
	again := h.write != nil
	h.write = nil
	h.mu.Unlock()
	if again {
		s.opts.Log.Info("storage takes writes again")
	}
}

// broken reports whether the last write failed.
func (h *health) broken() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.write != nil
}

// monitor measures the free space, probes a broken writer, and closes connections that
// nobody needs, until Close.
func (s *Store) monitor() {
	rested := time.Now()
	for {
		fired, stop := clock.Beat(monitorEvery)
		select {
		case <-s.closing:
			stop()
			return
		case <-fired:
		}
		s.measure()
		if s.health.broken() {
			s.probe()
		}
		if time.Since(rested) >= restEvery {
			rested = time.Now()
			s.readers.rest()
		}
	}
}

// probe writes a row. The commit itself says whether it worked.
func (s *Store) probe() {
	s.write(background, func(t *tx) error {
		_, err := t.c.exec(background, "UPDATE probe SET at = ?", t.at.UnixMicro())
		return err
	})
}

// measure compares the free space with what must be free.
func (s *Store) measure() {
	var fs syscall.Statfs_t
	var err error
	if e := syscall.Statfs(filepath.Dir(s.opts.Path), &fs); e != nil {
		err = &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage, Cause: fmt.Errorf("measure free space: %w", e)}
	} else {
		free := int64(fs.Bavail) * fs.Bsize
		s.metrics.freeBytes.Set(float64(free))
		err = s.enough(free)
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	s.health.space = err
}

// enough says whether so many free bytes will do.
func (s *Store) enough(free int64) error {
	if free >= s.opts.MinFree {
		return nil
	}
	return &doppelboden.Error{Code: doppelboden.StorageFull, Public: publicFull,
		Cause: fmt.Errorf("%d bytes are free, %d must be", free, s.opts.MinFree)}
}

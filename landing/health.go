package landing

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"doppelboden"
	"doppelboden/clock"
)

// Public texts of errors.
const (
	publicFull    = "insufficient system storage"
	publicStorage = "storage problem, please try again"
	publicClosed  = "shutting down, please try again"
)

// monitorEvery is how often free space is measured and a broken disk is tried. In a second
// the doors can take some thousand small mails or 100 MB: MinFree must be more.
const monitorEvery = time.Second

// health is why no message could be taken now, kept for Ready.
type health struct {
	mu    sync.Mutex
	write error // the last round failed like this
	space error // the file system has less free than it must
}

// Ready returns nil when a message could be taken now; otherwise why not. It costs no disk
// access and may be asked for every MAIL.
func (l *Landing) Ready() error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicClosed}
	}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	if l.health.space != nil {
		return l.health.space
	}
	return l.health.write
}

// failed remembers that writing does not work; the monitor tries until it does.
func (h *health) failed(l *Landing, err error) {
	h.mu.Lock()
	first := h.write == nil
	h.write = err
	h.mu.Unlock()
	l.metrics.failures.Inc()
	if first {
		l.opts.Log.Error("the landing does not take writes", "err", err)
	}
}

// wrote forgets a failure.
func (h *health) wrote(l *Landing) {
	h.mu.Lock()
	again := h.write != nil
	h.write = nil
	h.mu.Unlock()
	if again {
		l.opts.Log.Info("the landing takes writes again")
	}
}

// broken reports whether the last round failed.
func (h *health) broken() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.write != nil
}

// monitor measures the free space and tries a broken disk until ctx ends.
func (l *Landing) monitor(ctx context.Context) {
	noted := time.Now()
	for clock.Sleep(ctx, clock.Beat, monitorEvery) {
		l.measure()
		if l.health.broken() {
			l.probe(ctx)
		}
		if time.Since(noted) >= markEvery {
			noted = time.Now()
			l.drainer.writeMark()
		}
	}
}

// probe has a record without content written. It sees also through what was not sure.
func (l *Landing) probe(ctx context.Context) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	r := l.gather()
	r.probe = true
	l.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

// measure compares the free space with what must be free.
func (l *Landing) measure() {
	var fs syscall.Statfs_t
	var err error
	if e := syscall.Statfs(l.opts.Dir, &fs); e != nil {
		err = &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage, Cause: fmt.Errorf("measure free space: %w", e)}
	} else if free := int64(fs.Bavail) * fs.Bsize; free < l.opts.MinFree {
		err = &doppelboden.Error{Code: doppelboden.StorageFull, Public: publicFull,
			Cause: fmt.Errorf("%d bytes are free, %d must be", free, l.opts.MinFree)}
	}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	l.health.space = err
}

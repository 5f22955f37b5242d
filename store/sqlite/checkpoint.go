package sqlite

import (
	"fmt"
	"time"
)

// Sizes of the write-ahead log in pages.
const (
	// walStart starts a checkpoint. A longer log merges more writes to one page; 16,384
	// pages are 64 MiB, which is read in a fraction of a second after a crash.
	walStart = 16 << 10
	// walKeep is how much of the log's file is kept when it starts over.
	walKeep = 2 * walStart
	// walRest is how many pages the last pass may copy while the writer stands still:
	// about as many as a large batch writes.
	walRest = 256
	// walPasses bounds the passes beside the writer. Each copies what was written
	// during the one before, so a few are enough unless the disk cannot follow; then
	// the last pass holds the writer up, which is what bounds the log.
	walPasses = 6
)

// walPause is the shortest time between two looks at the length of the log.
const walPause = 20 * time.Millisecond

// A checkpointer owns checkpoints: it copies the log into the database file on a
// connection of its own, beside the writer, so that commits do not wait for it.
//
// The log can only start over at a moment when all of it is copied. Under load that
// moment never comes by itself, so the checkpointer makes it: when little is left, it
// takes the writer's place for one last short pass.
type checkpointer struct {
	s *Store
	c *conn
}

// newCheckpointer opens the connection.
func newCheckpointer(s *Store) (*checkpointer, error) {
	c, err := connect(s.opts.Path, s.opts.Synchronous, checkpointing)
	if err != nil {
		return nil, err
	}
	return &checkpointer{s: s, c: c}, nil
}

// loop looks at the log after commits until Close.
func (k *checkpointer) loop() {
	defer func() {
		if k.c != nil {
			k.c.close()
		}
	}()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-k.s.closing:
			return
		case <-k.s.wrote:
		}
		if err := k.look(); err != nil {
			k.s.opts.Log.Warn("checkpoint failed", "error", err)
			k.reopen()
		}
		pause.Reset(walPause)
		select {
		case <-k.s.closing:
			return
		case <-pause.C:
		}
	}
}

// reopen replaces a connection that met an error. Without one the next look tries again.
func (k *checkpointer) reopen() {
	if k.c != nil {
		k.c.close()
	}
	k.c, _ = connect(k.s.opts.Path, k.s.opts.Synchronous, checkpointing)
}

// look measures the log and copies it when it is long.
func (k *checkpointer) look() error {
	if k.c == nil {
		c, err := connect(k.s.opts.Path, k.s.opts.Synchronous, checkpointing)
		if err != nil {
			return err
		}
		k.c = c
	}
	pages, _, err := k.pass("PRAGMA wal_checkpoint(NOOP)")
	if err != nil {
		return err
	}
	k.s.metrics.walPages.Set(float64(pages))
	if pages < walStart {
		return nil
	}
	return k.checkpoint()
}

// checkpoint copies the whole log.
func (k *checkpointer) checkpoint() error {
	for range walPasses {
		start := time.Now()
		pages, copied, err := k.pass("PRAGMA wal_checkpoint(PASSIVE)")
		if err != nil {
			return err
		}
		k.s.metrics.checkpoints.Observe(time.Since(start).Seconds())
		if pages, copied, err = k.pass("PRAGMA wal_checkpoint(NOOP)"); err != nil {
			return err
		}
		if pages-copied <= walRest {
			break
		}
	}
	k.s.writing.Lock()
	defer k.s.writing.Unlock()
	_, _, err := k.pass("PRAGMA wal_checkpoint(PASSIVE)")
	return err
}

// pass runs a checkpoint and returns the length of the log and how much of it is in the
// database file, in pages.
func (k *checkpointer) pass(pragma string) (pages, copied int64, err error) {
	row, err := k.c.one(background, pragma)
	if err != nil {
		return 0, 0, fmt.Errorf("checkpoint: %w", err)
	}
	return asInt(row[1]), asInt(row[2]), nil
}

package sqlite

import (
	"errors"
	"fmt"
	"time"
)

// Sizes of the write-ahead log in pages.
const (
	// walStart starts a checkpoint. A longer log merges more writes to one page; 32,768
	// pages are 128 MiB, which is read in a fraction of a second after a crash.
	walStart = 32 << 10
	// walKeep is how much of the log's file is kept when it starts over.
	walKeep = walStart + walStart/2
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

// The last pass waits for those who still read from the log, and the writer waits with
// it: readerWait in milliseconds, which is longer than nearly all reads. When that was
// not enough it is tried again after readerPause.
const (
	readerWait  = 100
	readerPause = 250 * time.Millisecond
)

// errReader says that somebody read for so long that the log could not start over.
var errReader = errors.New("checkpoint: a reader does not end")

// A checkpointer owns checkpoints: it copies the log into the database file on a
// connection of its own, beside the writer, so that commits do not wait for it.
//
// The log can only start over at a moment when all of it is copied and nobody reads from
// it. Under load that moment never comes by itself, so the checkpointer makes it: when
// little is left, it takes the writer's place for one last short pass and waits until
// those who read are done; who begins to read then does not need the log any more.
//
// SQLite syncs the database file only in that pass, with all that the others copied. So
// the checkpointer syncs it after each, on a descriptor of its own. That one is open as
// long as the store: closing it would give up SQLite's locks (POSIX, fcntl), which belong
// to the process and not to a descriptor.
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
		wait := walPause
		switch err := k.look(); {
		case errors.Is(err, errReader):
			k.s.opts.Log.Debug("the log could not start over", "error", err)
			wait = readerPause
		case err != nil:
			k.s.opts.Log.Warn("checkpoint failed", "error", err)
			k.reopen()
		}
		pause.Reset(wait)
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
	if pages < k.s.opts.walPages || k.s.copying.Load() > 0 {
		return nil // a snapshot reads for so long that trying would only hold up the writer
	}
	return k.checkpoint()
}

// checkpoint copies the whole log.
func (k *checkpointer) checkpoint() error {
	for range walPasses {
		start := time.Now()
		if _, _, err := k.pass("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
			return err
		}
		if k.s.opts.Synchronous != "OFF" {
			if err := k.s.file.Sync(); err != nil {
				return fmt.Errorf("sync database: %w", err)
			}
		}
		k.s.metrics.checkpoints.Observe(time.Since(start).Seconds())
		pages, copied, err := k.pass("PRAGMA wal_checkpoint(NOOP)")
		if err != nil {
			return err
		}
		if pages-copied <= walRest {
			break
		}
	}
	k.s.writing.Lock()
	defer k.s.writing.Unlock()
	_, _, err := k.pass("PRAGMA wal_checkpoint(RESTART)")
	return err
}

// pass runs a checkpoint and returns the length of the log and how much of it is in the
// database file, in pages.
func (k *checkpointer) pass(pragma string) (pages, copied int64, err error) {
	row, err := k.c.one(background, pragma)
	if err != nil {
		return 0, 0, fmt.Errorf("checkpoint: %w", err)
	}
	if asInt(row[0]) != 0 {
		return 0, 0, errReader
	}
	return asInt(row[1]), asInt(row[2]), nil
}

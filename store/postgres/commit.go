package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"doppelboden"
)

// A writer owns the connection that writes. It is one goroutine.
type writer struct {
	s         *Store
	c         *conn                // nil after an error that nobody should build on
	shard     int64                // of the counts and the probe that this connection writes
	pending   *doppelboden.Link    // written by a commit whose outcome is unknown
	found     bool                 // whether the connection showed that link when it was opened
	live      atomic.Pointer[conn] // c, for cut and health
	abandoned atomic.Bool          // Close has waited long enough
	since     atomic.Int64         // when the batch that is under way began, in Unix nanoseconds; 0: none is
}

// errUnknown marks a COMMIT that gave no clean answer: nobody knows what it did, or
// whether it would outlive the server.
var errUnknown = errors.New("outcome of commit is unknown")

// errAbandoned is what calls get that Close did not wait for any longer.
var errAbandoned = errors.New("the database did not answer until the end")

// loop takes what waits and commits it, until nothing more comes. What a batch refers to
// is synced while its rows are written, and is on the disk before the COMMIT.
func (w *writer) loop() {
	for first := range w.s.ops {
		batch := w.s.collect(first)
		w.since.Store(time.Now().UnixNano())
		s := w.s.startSync()
		w.commit(batch, s)
		s.wait() // a batch that failed early did not
		w.since.Store(0)
	}
	w.discard()
}

// commit writes a batch and answers each of its operations.
func (w *writer) commit(batch []*op, s *syncing) {
	answers, err := w.attempt(batch, s)
	switch {
	case err == nil:
	case len(batch) > 1 && aboutItem(err):
		// One operation is bad. Nobody knows which, so each gets its own commit.
		w.s.metrics.singly.Inc()
		for _, o := range batch {
			w.commit([]*op{o}, s)
		}
		return
	default:
		if !aboutItem(err) && !again(err) && !errors.Is(err, errSync) {
			w.s.health.failed(w.s, "commit", err)
		}
	}
	for i, o := range batch {
		switch {
		case err != nil:
			o.done <- err
		default:
			o.done <- answers[i]
		}
	}
}

// maxMeetings is how often a batch is run again because it met another node's.
const maxMeetings = 10

// attempt runs a batch, and again on a new connection when the outcome of its commit is
// unknown: only a clean commit is an answer.
func (w *writer) attempt(batch []*op, s *syncing) ([]error, error) {
	answers, err := w.meet(batch, s, false)
	if !errors.Is(err, errUnknown) {
		return answers, err
	}
	w.s.opts.Log.Warn("commit gave no clean answer, writing the same again on a new connection", "error", err)
	w.discard()
	if w.abandoned.Load() {
		return nil, err
	}
	if opening := w.open(background); opening != nil {
		return nil, opening
	}
	return w.meet(batch, s, w.found)
}

// meet runs a batch, and again when another node was in its way.
func (w *writer) meet(batch []*op, s *syncing, found bool) ([]error, error) {
	answers, err := w.once(batch, s, found)
	for range maxMeetings {
		if err == nil || !again(err) {
			break
		}
		w.s.metrics.meetings.Inc()
		answers, err = w.once(batch, s, found)
	}
	return answers, err
}

// once runs a batch in one transaction. found says that the link of this very batch was
// found in the database.
func (w *writer) once(batch []*op, s *syncing, found bool) ([]error, error) {
	if w.abandoned.Load() {
		return nil, &storageError{errAbandoned}
	}
	if w.c == nil {
		if err := w.open(background); err != nil {
			return nil, err
		}
	}
	w.s.still.Lock()
	defer w.s.still.Unlock()
	start := time.Now()
	t := newTx(w, found)
	err := t.begin(batch)
	var answers []error
	var link *doppelboden.Link
	if err == nil {
		answers, link, err = t.fill(batch)
	}
	if err == nil {
		err = s.wait()
	}
	if err != nil {
		w.rollback(err)
		return nil, err
	}
	if err := w.finish(link); err != nil {
		return nil, err
	}
	w.s.metrics.committed(len(batch), time.Since(start))
	return answers, nil
}

// finish commits, and only then moves what is kept in memory. Whatever the server says at
// a commit besides its word for it makes the outcome unknown: a standby that was not
// waited for is a WARNING.
func (w *writer) finish(link *doppelboden.Link) error {
	err := w.s.opts.faults.hit(faultBeforeCommit, nil)
	if err == nil {
		err = w.c.commit()
	}
	if err == nil {
		err = w.s.opts.faults.hit(faultAfterCommit, nil)
	}
	if err != nil {
		if link != nil {
			w.pending = link
		}
		return &storageError{fmt.Errorf("%w: %w", errUnknown, err)}
	}
	if link != nil {
		w.s.opts.Chain.Advance(*link)
	}
	w.s.health.wrote(w.s)
	return nil
}

// commit ends a transaction. Its error says that nobody knows the outcome.
func (c *conn) commit() error {
	c.notices = nil
	tag, err := c.run(background, nil, "COMMIT", nil)
	switch {
	case err != nil:
		return err
	case tag.String() != "COMMIT":
		return fmt.Errorf("the server answered COMMIT by %q", tag)
	case len(c.notices) > 0:
		return fmt.Errorf("the server added to COMMIT: %s", strings.Join(c.notices, "; "))
	}
	return nil
}

// rollback takes a transaction back. A connection on which that fails, or whose storage is
// in trouble, is not used again.
func (w *writer) rollback(cause error) {
	if !aboutItem(cause) && !again(cause) && !errors.Is(cause, errSync) {
		w.discard()
		return
	}
	if _, err := w.c.exec(background, "ROLLBACK"); err != nil {
		w.discard()
	}
}

// discard closes the connection.
func (w *writer) discard() {
	if w.c == nil {
		return
	}
	w.live.Store(nil)
	w.c.close()
	w.c = nil
}

// cut ends the connection under a call that is waiting on it.
func (w *writer) cut() {
	if c := w.live.Load(); c != nil {
		c.pg.Conn().Close()
	}
}

// open opens a connection to a server that keeps what it commits, and learns what became
// of a commit whose outcome is unknown.
func (w *writer) open(ctx context.Context) (err error) {
	c, err := w.s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := w.s.admit(ctx, c); err != nil {
		return err
	}
	row, err := c.one(ctx, "SELECT pg_backend_pid()::bigint % 16")
	if err != nil {
		return fmt.Errorf("choose shard: %w", err)
	}
	if err := w.reconcile(ctx, c); err != nil {
		return err
	}
	w.c, w.shard = c, asInt(row[0])
	w.live.Store(c)
	return nil
}

// reconcile asks a new connection whether the link of the unknown commit is in the
// database. If so the chain must go on behind it. It does not make the commit an answer:
// the batch is written again, and finds itself there.
//
// The lock is the one that every transaction of this writer holds, so after it was got
// the transaction of the lost connection has ended, whether its server noticed the loss
// or not.
func (w *writer) reconcile(ctx context.Context, c *conn) error {
	w.found = false
	if w.pending == nil {
		return nil
	}
	if _, err := c.exec(ctx, lockWriter, w.s.lock); err != nil {
		return fmt.Errorf("wait for the lost transaction: %w", err)
	}
	row, err := c.one(ctx, "SELECT hash FROM link WHERE chain = $1 AND number = $2", w.pending.Chain, w.pending.Number)
	switch {
	case errors.Is(err, errNoRow):
		w.pending = nil
		return nil
	case err != nil:
		return fmt.Errorf("look for link: %w", err)
	case asSum(row[0]) != w.pending.Hash:
		return &storageError{fmt.Errorf("link %d of chain %s is not the one that was written", w.pending.Number, w.pending.Chain)}
	}
	w.s.opts.Chain.Advance(*w.pending)
	w.pending, w.found = nil, true
	return nil
}

// lockWriter waits until no other transaction of this writer is under way.
const lockWriter = "SELECT pg_advisory_xact_lock($1)"

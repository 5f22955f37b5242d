package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"doppelboden"
)

// background is the context of everything the writer does: a commit has no deadline.
var background = context.Background()

// A writer owns the connection that writes. It is one goroutine.
type writer struct {
	s       *Store
	c       *conn             // nil after an error that nobody should build on
	next    int64             // the Seq of the next delivery
	names   map[string]int64  // numbers of segments seen lately
	chains  map[string]int64  // numbers of chains
	pending *doppelboden.Link // written by a commit whose outcome is unknown
	found   bool              // whether the connection showed that link when it was opened
	written int               // operations since the last rest
}

// maxNames bounds the memory for segment names: a day needs a few, and every big body
// has one of its own.
const maxNames = 256

// A tx is one transaction of the writer and what it will have changed.
type tx struct {
	*writer
	at      time.Time
	entries []doppelboden.Entry
	changes map[countKey]change
	next    int64 // as in writer, with this transaction
	token   int64 // names the transaction in table numbering
	fresh   bool  // names or chains were added, which a rollback takes back
}

// A change is what a transaction does to one count.
type change struct {
	by      int64
	entered int64 // the smallest Seq that entered the state, or 0
}

// errUnknown marks a COMMIT that returned an error: nobody knows what it did.
var errUnknown = errors.New("outcome of commit is unknown")

// loop takes what waits and commits it, until nothing more comes. What a batch refers to
// is synced while its rows are written, and is on the disk before the COMMIT. Syncing
// the next batch beside the commit was tried: it makes twice as many batches of half the
// size, and 5,900 instead of 6,600 mails a second with 20 senders, because what costs is
// the batch and not the mail.
func (w *writer) loop() {
	pause := time.NewTicker(restEvery)
	defer pause.Stop()
	for {
		select {
		case first, open := <-w.s.ops:
			if !open {
				w.s.failed = w.discard()
				return
			}
			batch := w.s.collect(first)
			s := w.s.startSync(batch)
			w.commit(batch, s)
			s.wait() // a batch that failed early did not
			w.written += len(batch)
		case <-pause.C:
			w.rest()
		}
	}
}

const (
	// restEvery is how often it is asked whether there is anything to do.
	restEvery = 15 * time.Second
	// calmWrites is how many operations there are at most from one rest to the next where
	// there is not: a node that gets no mail notes something now and then.
	calmWrites = 30
)

// rest gives back the pages that are kept in memory, when little was written lately.
func (w *writer) rest() {
	calm := w.written <= calmWrites
	w.written = 0
	if !calm || w.c == nil {
		return
	}
	if err := w.c.script("PRAGMA shrink_memory"); err != nil {
		w.s.opts.Log.Warn("the database's memory was not given back", "error", err)
	}
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
		if !aboutItem(err) && !errors.Is(err, errSync) {
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

// attempt runs a batch, and once more on a new connection when the outcome of its
// commit is unknown: only a clean commit is an answer.
func (w *writer) attempt(batch []*op, s *syncing) ([]error, error) {
	answers, err := w.once(batch, s, false)
	if !errors.Is(err, errUnknown) {
		return answers, err
	}
	w.s.opts.Log.Warn("commit failed, trying again on a new connection", "error", err)
	w.discard()
	if opening := w.open(); opening != nil {
		return nil, opening
	}
	return w.once(batch, s, w.found)
}

// once runs a batch in one transaction. found says that the link of this very batch
// was found in the database.
func (w *writer) once(batch []*op, s *syncing, found bool) ([]error, error) {
	if w.c == nil {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	w.s.writing.Lock()
	defer w.s.writing.Unlock()
	start := time.Now()
	if _, err := w.c.exec(background, "BEGIN IMMEDIATE"); err != nil {
		w.discard()
		return nil, &storageError{fmt.Errorf("begin: %w", err)}
	}
	t := &tx{writer: w, at: w.s.opts.Clock(), next: w.next, token: rand.Int64N(math.MaxInt64) + 1, changes: map[countKey]change{}}
	answers, link, err := t.fill(batch, found)
	if err == nil {
		err = s.wait()
	}
	if err != nil {
		w.rollback(t, err)
		return nil, err
	}
	if err := w.finish(t, link); err != nil {
		return nil, err
	}
	w.s.metrics.committed(len(batch), time.Since(start))
	return answers, nil
}

// fill runs the operations and writes what belongs to all of them.
func (t *tx) fill(batch []*op, found bool) ([]error, *doppelboden.Link, error) {
	answers := make([]error, len(batch))
	for i, o := range batch {
		if o.notOnItsOwn && found {
			continue
		}
		err := t.s.opts.faults.hit(faultRun, o)
		if err == nil {
			err = o.run(t)
		}
		var refused *refusal
		if errors.As(err, &refused) {
			answers[i] = refused.err
		} else if err != nil {
			return nil, nil, err
		}
	}
	link, err := t.writeLink()
	if err == nil {
		err = t.writeCounts()
	}
	return answers, link, err
}

// finish commits, and only then moves what is kept in memory.
func (w *writer) finish(t *tx, link *doppelboden.Link) error {
	err := w.s.opts.faults.hit(faultBeforeCommit, nil)
	if err == nil {
		_, err = w.c.exec(background, "COMMIT")
	}
	if err == nil {
		err = w.s.opts.faults.hit(faultAfterCommit, nil)
	}
	if err != nil {
		w.pending = link
		return &storageError{fmt.Errorf("%w: %w", errUnknown, err)}
	}
	if link != nil {
		w.s.opts.Chain.Advance(*link)
	}
	w.next = t.next
	w.s.tallies.apply(t.changes)
	w.s.health.wrote(w.s)
	select {
	case w.s.wrote <- struct{}{}:
	default:
	}
	return nil
}

// rollback takes a transaction back. A connection on which that fails, or whose storage
// is in trouble, is not used again.
func (w *writer) rollback(t *tx, cause error) {
	if t.fresh {
		clear(w.names)
		clear(w.chains)
	}
	if _, err := w.c.exec(background, "ROLLBACK"); err != nil || !aboutItem(cause) {
		w.discard()
	}
}

// discard closes the connection.
func (w *writer) discard() error {
	if w.c == nil {
		return nil
	}
	err := w.c.close()
	w.c = nil
	return err
}

// open opens a connection and loads what the writer keeps in memory.
//
// Before anything is built on what the file shows, all of it is checkpointed: after a
// crash or a failed fsync the WAL may show commits that are not on disk yet, and the
// kernel may have forgotten to write them. What the checkpoint has written and synced
// into the database is there.
func (w *writer) open() (err error) {
	c, err := connect(w.s.opts.Path, w.s.opts.Synchronous, writing)
	if err != nil {
		return &storageError{err}
	}
	defer func() {
		if err != nil {
			c.close()
			err = &storageError{err}
		}
	}()
	row, err := c.one(background, "PRAGMA wal_checkpoint(FULL)")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if asInt(row[0]) != 0 {
		return errReader
	}
	row, err = c.one(background, "SELECT next FROM sequence WHERE name = 'delivery'")
	if err != nil {
		return fmt.Errorf("load sequence: %w", err)
	}
	next := asInt(row[0])
	counts := map[countKey]int64{}
	err = c.query(background, func(row []driver.Value) error {
		counts[countKey{doppelboden.TenantID(asInt(row[0])), doppelboden.State(asInt(row[1]))}] = asInt(row[2])
		return nil
	}, "SELECT tenant, state, deliveries FROM count")
	if err != nil {
		return fmt.Errorf("load counts: %w", err)
	}
	if err := w.reconcile(c); err != nil {
		return err
	}
	w.c, w.next = c, next
	w.names, w.chains = map[string]int64{}, map[string]int64{}
	w.s.tallies.load(counts)
	return nil
}

// reconcile asks a new connection whether the link of the unknown commit is in the
// database. If so the chain must go on behind it.
func (w *writer) reconcile(c *conn) error {
	w.found = false
	if w.pending == nil {
		return nil
	}
	row, err := c.one(background, `SELECT hash FROM link
		WHERE chain = (SELECT id FROM chain WHERE name = ?) AND number = ?`, w.pending.Chain, w.pending.Number)
	switch {
	case errors.Is(err, errNoRow):
		w.pending = nil
		return nil
	case err != nil:
		return fmt.Errorf("look for link: %w", err)
	case asSum(row[0]) != w.pending.Hash:
		return fmt.Errorf("link %d of chain %s is not the one that was written", w.pending.Number, w.pending.Chain)
	}
	w.s.opts.Chain.Advance(*w.pending)
	w.pending, w.found = nil, true
	return nil
}

// writeLink makes and writes the link over the transaction's entries, if it has any.
func (t *tx) writeLink() (*doppelboden.Link, error) {
	if len(t.entries) == 0 {
		return nil, nil
	}
	l := t.s.opts.Chain.Next(t.at, t.entries)
	chain, err := t.chain(l.Chain)
	if err != nil {
		return nil, err
	}
	_, err = t.c.exec(background, "INSERT INTO link (chain, number, at, prev, root, hash, entries) VALUES (?, ?, ?, ?, ?, ?, ?)",
		chain, l.Number, l.At.UnixMicro(), l.Prev[:], l.Root[:], l.Hash[:], blob(l.Entries))
	if err != nil {
		return nil, &storageError{fmt.Errorf("write link: %w", err)}
	}
	return &l, nil
}

// chain returns the number of a chain, which it may have to give.
func (t *tx) chain(name string) (int64, error) {
	return t.numberOf(t.chains, name, "INSERT INTO chain (name) VALUES (?) ON CONFLICT DO NOTHING",
		"SELECT id FROM chain WHERE name = ?")
}

// segment returns the number of a segment, which it may have to give.
func (t *tx) segment(name string) (int64, error) {
	return t.numberOf(t.names, name, "INSERT INTO segment (name) VALUES (?) ON CONFLICT DO NOTHING",
		"SELECT num FROM segment WHERE name = ?")
}

// numberOf looks a name up in a bounded memory and in its table.
func (t *tx) numberOf(memory map[string]int64, name, insert, find string) (int64, error) {
	if n, ok := memory[name]; ok {
		return n, nil
	}
	if _, err := t.c.exec(background, insert, name); err != nil {
		return 0, fmt.Errorf("number %q: %w", name, err)
	}
	row, err := t.c.one(background, find, name)
	if err != nil {
		return 0, fmt.Errorf("find %q: %w", name, err)
	}
	if len(memory) >= maxNames {
		clear(memory)
	}
	memory[name] = asInt(row[0])
	t.fresh = true
	return memory[name], nil
}

// count notes that a delivery entered a state, or left it for by = -1.
func (t *tx) count(tenant doppelboden.TenantID, state doppelboden.State, by, seq int64) {
	k := countKey{tenant, state}
	c := t.changes[k]
	c.by += by
	if by > 0 && (c.entered == 0 || seq < c.entered) {
		c.entered = seq
	}
	t.changes[k] = c
}

// writeCounts writes the changed counts and the sequence.
func (t *tx) writeCounts() error {
	for k, c := range maps.All(t.changes) {
		if c.by == 0 {
			continue
		}
		_, err := t.c.exec(background, `INSERT INTO count (tenant, state, deliveries) VALUES (?, ?, ?)
			ON CONFLICT (tenant, state) DO UPDATE SET deliveries = deliveries + excluded.deliveries`,
			int64(k.tenant), int64(k.state), c.by)
		if err != nil {
			return fmt.Errorf("write count: %w", err)
		}
	}
	if t.next == t.writer.next {
		return nil
	}
	if _, err := t.c.exec(background, "UPDATE sequence SET next = ? WHERE name = 'delivery'", t.next); err != nil {
		return fmt.Errorf("write sequence: %w", err)
	}
	return nil
}

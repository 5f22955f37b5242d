// Package sqlite keeps the contract of package store with SQLite, in one file on one
// machine.
//
// It takes operations from many goroutines and puts what arrives at the same moment
// into one transaction with one ledger link. It promises that an operation that
// returned nil is on disk (WAL, synchronous=FULL), that one bad operation fails alone,
// and that it goes on by itself when a full or read-only disk is well again. It never
// answers from a look-up what only a commit may answer, never shares its data folder
// with a second process, and never lets a reader or a checkpoint hold up the writer for
// longer than a commit takes.
//
// One goroutine takes all operations that wait, syncs what they refer to (segments,
// tallies) and writes them; meanwhile the next batch gathers. Times are kept in
// microseconds, in UTC. Empty bytes come back as nil.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/store"
)

// Options says what a Store needs.
type Options struct {
	Path     string                // the database file; its folder must exist
	Sync     []func() error        // run side by side before every commit; must be durable when they return
	Chain    store.Chain           // makes the ledger links
	Clock    func() time.Time      // nil: time.Now
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: nothing is counted
	MinFree  int64                 // bytes that must be free on the file system for Ready; 0: not asked

	// Synchronous replaces FULL in SQLite's pragma of that name. It exists so that the
	// power-cut test can show that it finds a store that does not sync. Only "", "FULL"
	// and "OFF" are known.
	Synchronous string

	// What follows is for the tests of this package.
	walPages   int64   // in the log start a checkpoint; 0: walStart
	faults     *faults // what goes wrong; nil: nothing
	migrations fs.FS   // nil: those of the program
}

// validate fills in defaults and reports what is wrong.
func (o *Options) validate() error {
	if o.Path == "" {
		return errors.New("no path for the database")
	}
	if o.Chain == nil {
		return errors.New("no chain for the ledger")
	}
	if o.Synchronous == "" {
		o.Synchronous = "FULL"
	}
	if !slices.Contains([]string{"FULL", "OFF"}, o.Synchronous) {
		return fmt.Errorf("synchronous is %q, wanted FULL or OFF", o.Synchronous)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.walPages == 0 {
		o.walPages = walStart
	}
	if o.faults == nil {
		o.faults = &faults{}
	}
	if o.migrations == nil {
		o.migrations = migrations
	}
	return nil
}

// A Store is an open database.
type Store struct {
	opts    Options
	lock    *os.File
	file    *os.File // the database; see checkpointer
	metrics *metrics
	health  health
	tallies tallies
	readers *readers
	expiry  expiry
	copying atomic.Int32 // snapshots that are being made: the log must not start over

	ops     chan *op      // to the writer; unbuffered, so that who waits can withdraw
	wrote   chan struct{} // wakes the checkpointer; holds one
	writing sync.Mutex    // held for each transaction; the checkpointer's last pass takes it

	closing chan struct{} // closed by Close
	closed  sync.Once
	callers sync.WaitGroup // calls that may still send to ops
	gate    sync.RWMutex   // guards callers.Add against Close
	stages  sync.WaitGroup // the writer
	helpers sync.WaitGroup // monitor and checkpointer
	failed  error          // what Close found
}

var _ store.Store = (*Store)(nil)

// Open opens the database, brings its schema up to date and starts the store's
// goroutines, which end with Close. The folder is locked against other processes.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := lockFile(o.Path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		opts: o, lock: lock, metrics: newMetrics(o.Registry),
		ops: make(chan *op), wrote: make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	s.readers = newReaders(o.Path, o.Synchronous)
	w := &writer{s: s}
	err = s.prepare(ctx, w)
	var keeper *checkpointer
	if err == nil {
		keeper, err = newCheckpointer(s)
	}
	if err != nil {
		w.discard()
		s.metrics.unregister()
		s.file.Close() // nil is fine
		lock.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.measure()
	s.stages.Go(w.loop)
	s.helpers.Go(s.monitor)
	s.helpers.Go(keeper.loop)
	return s, nil
}

// prepare makes the file, private to its owner, and opens the writer.
func (s *Store) prepare(ctx context.Context, w *writer) error {
	f, err := os.OpenFile(s.opts.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	s.file = f
	err = f.Chmod(0o600)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncFolder(filepath.Dir(s.opts.Path))
	}
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	if err := migrate(ctx, s.opts.Path, s.opts.migrations); err != nil {
		return err
	}
	return w.open()
}

// Close waits for running calls, commits what was promised and closes the database.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.gate.Lock()
		close(s.closing)
		s.gate.Unlock()
		s.helpers.Wait() // the monitor's probe is a caller as well
		s.callers.Wait()
		s.readers.close()
		close(s.ops)
		s.stages.Wait() // the writer is the last connection: it checkpoints
		s.metrics.unregister()
		s.failed = errors.Join(s.failed, s.file.Close(), s.lock.Close())
	})
	if s.failed != nil {
		return fmt.Errorf("close store: %w", s.failed)
	}
	return nil
}

// lockFile takes an exclusive lock that ends with the process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: "the data folder is in use by another process",
			Cause:  fmt.Errorf("lock %s: %w", path, err)}
	}
	return f, nil
}

// syncFolder makes a folder's entries durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// closedError is what calls after Close get.
func closedError() error {
	return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicClosed}
}

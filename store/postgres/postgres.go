// Package postgres keeps the contract of package store with PostgreSQL, 15 or newer, for
// one node or several.
//
// It takes operations from many goroutines and puts what arrives at the same moment into
// one transaction with one ledger link, in few round trips however many they are. It
// promises that an operation that returned nil was committed by a server that syncs, in a
// commit about which the server had nothing to add; that one bad operation fails alone; and
// that it goes on by itself when the server is back. It never answers from a look-up what
// only a commit may answer: after a commit whose outcome is unknown the same is written
// again on a new connection. It never sets a deadline on a commit, nor cancels one. It
// never lets a node write that another has replaced (Lease).
//
// Several stores may share a database. Seqs are given while a row is locked until the
// commit, so they grow in the order of commits over all nodes. A ledger chain belongs to
// one store. One goroutine takes all operations that wait, syncs what they refer to and
// writes them; meanwhile the next batch gathers. Times are kept in microseconds, in UTC.
// Empty bytes come back as nil. Everything lies in the schema "doppelboden".
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"doppelboden/store"
)

// Options says what a Store needs.
type Options struct {
	DSN      string                // as libpq has it, a URL or key=value; several hosts may be named
	Sync     []func() error        // run side by side before every commit; must be durable when they return
	Chain    store.Chain           // makes the ledger links
	Clock    func() time.Time      // nil: time.Now
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: nothing is counted

	// Unsafe takes a server that does not keep what it commits. It exists so that the
	// fault tests can show that they find one.
	Unsafe bool

	// What follows is for the tests of this package.
	faults     *faults       // what goes wrong; nil: nothing
	migrations fs.FS         // nil: those of the program
	closeLimit time.Duration // 0: closeLimit
}

// validate fills in defaults and reports what is wrong.
func (o *Options) validate() error {
	if o.DSN == "" {
		return errors.New("no database is named")
	}
	if o.Chain == nil {
		return errors.New("no chain for the ledger")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.faults == nil {
		o.faults = &faults{}
	}
	if o.migrations == nil {
		o.migrations = migrations
	}
	if o.closeLimit == 0 {
		o.closeLimit = closeLimit
	}
	return nil
}

// A Store is an open database.
type Store struct {
	opts    Options
	config  *pgconn.Config
	metrics *metrics
	health  health
	readers readers
	writer  *writer
	expiry  expiry
	lock    int64 // of the advisory lock that every transaction of this store's writer takes

	still sync.Mutex // held for each transaction of the writer; Snapshot takes it

	ops chan *op // to the writer; unbuffered, so that who waits can withdraw

	opened  atomic.Bool   // Open has succeeded
	closing chan struct{} // closed by Close
	closed  sync.Once
	callers sync.WaitGroup // calls that may still send to ops
	gate    sync.RWMutex   // guards callers.Add against Close
	stages  sync.WaitGroup // the writer
	helpers sync.WaitGroup // monitor
	leaving sync.WaitGroup // connections that end by themselves
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Drainer = (*Store)(nil)
)

// Open is New and Store.Open: what it returns has a server.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := s.Open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// randomLock names the lock of one store: no other store has it, nor an earlier run.
func randomLock() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return int64(binary.BigEndian.Uint64(b[:]))
}

// closeLimit is how long Close waits for a server that does not answer. Then connections
// are cut, and those who wait learn that nobody knows the outcome.
const closeLimit = 20 * time.Second

// Close waits for running calls, commits what was promised and closes the connections.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.gate.Lock()
		close(s.closing)
		s.gate.Unlock()
		ended := make(chan struct{})
		s.leaving.Go(func() { s.abandon(ended) })
		s.helpers.Wait() // the monitor's probe is a caller as well
		s.callers.Wait()
		close(s.ops)
		s.stages.Wait()
		close(ended)
		s.readers.close()
		s.leaving.Wait()
		s.metrics.unregister()
	})
	return nil
}

// abandon makes the writer give up when Close has waited long enough.
func (s *Store) abandon(ended chan struct{}) {
	timer := time.NewTimer(s.opts.closeLimit)
	defer timer.Stop()
	for {
		select {
		case <-ended:
			return
		case <-timer.C:
			s.writer.abandoned.Store(true)
			s.writer.cut()
			timer.Reset(time.Second) // it may have begun just before it could know
		}
	}
}

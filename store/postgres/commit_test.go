package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"doppelboden"
	"doppelboden/store"
)

var errDisk = fmt.Errorf("disk: %w", syscall.EIO)

// script is a list of faults: the first ones to come get the first errors.
type script struct {
	mu   sync.Mutex
	plan map[fault][]error
}

// withFaults opens a store whose faults the test plans.
func withFaults(t *testing.T) (*Store, *script) {
	f := &script{plan: map[fault][]error{}}
	return openNew(t, func(o *Options) {
		o.faults = &faults{at: func(at fault, _ *op) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.plan[at]) == 0 {
				return nil
			}
			err := f.plan[at][0]
			f.plan[at] = f.plan[at][1:]
			return err
		}}
	}), f
}

// next plans what comes next at a place.
func (f *script) next(at fault, errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan[at] = errs
}

// entriesIn counts the entries in links.
func entriesIn(links []doppelboden.Link) (n int) {
	for _, l := range links {
		n += len(l.Entries) / entrySize
	}
	return n
}

func TestACommitWhoseOutcomeIsUnknownIsWrittenAgainAndCountsOnce(t *testing.T) {
	for name, at := range map[string]fault{"it had not been written": faultBeforeCommit, "it had been written": faultAfterCommit} {
		t.Run(name, func(t *testing.T) {
			s, f := withFaults(t)
			accept(t, s, 1, 1)
			f.next(at, errDisk)
			m := accept(t, s, 1, 1)
			f.next(at, errDisk)
			if err := s.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: time.Now(), Note: "version 1"}); err != nil {
				t.Fatal(err)
			}
			f.next(at, errDisk)
			landed := benchLanded(&testChain{name: "landing/1"}, 2, 1)
			if err := s.Drain(ctx, landed); err != nil {
				t.Fatal(err)
			}
			accept(t, s, 1, 1)
			if got, err := s.Message(ctx, m.ID); err != nil || got.Deliveries[0].Seq != m.Deliveries[0].Seq {
				t.Errorf("the message of the unknown commit: %v, wanted it with Seq %d", err, m.Deliveries[0].Seq)
			}
			if n := entriesIn(links(t, s)); n != 6 {
				t.Errorf("%d entries in the ledger, wanted 6: five messages and a note, each once", n)
			}
			if n := len(rowsOf(t, s)); n != 5 {
				t.Errorf("%d deliveries, wanted 5", n)
			}
			counts, err := s.Counts(ctx)
			if err != nil || len(counts) != 1 || counts[0].Deliveries != 5 {
				t.Errorf("counts are %v (%v), wanted 5 queued", counts, err)
			}
			if err := s.Ready(); err != nil {
				t.Errorf("not ready after all went well in the end: %v", err)
			}
		})
	}
}

func TestACommitThatKeepsFailingIsAnErrorAndTheStoreGoesOnByItself(t *testing.T) {
	for name, at := range map[string]fault{"before": faultBeforeCommit, "after": faultAfterCommit} {
		t.Run(name, func(t *testing.T) {
			s, f := withFaults(t)
			m := message(1, 1)
			f.next(at, errDisk, errDisk, errDisk, errDisk)
			_, err := s.Accept(ctx, m)
			if code := doppelboden.CodeOf(err); err == nil || code != doppelboden.Temporary {
				t.Fatalf("Accept: %v with code %v, wanted a temporary error", err, code)
			}
			if public := doppelboden.PublicOf(err); public != publicStorage {
				t.Errorf("a peer reads %q, wanted %q", public, publicStorage)
			}
			if s.Ready() == nil {
				t.Errorf("ready after a commit that failed")
			}
			eventually(t, "ready again", func() bool { return s.Ready() == nil })
			if _, err := s.Accept(ctx, m); err != nil {
				t.Fatalf("Accept of the same message on a good server: %v", err)
			}
			accept(t, s, 1, 1)
			if n := entriesIn(links(t, s)); n != 2 {
				t.Errorf("%d entries in the ledger, wanted 2", n)
			}
		})
	}
}

// raw opens a connection as the node's role that is no store's.
func raw(t *testing.T, s *Store) *conn {
	t.Helper()
	c, err := s.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// waiting reports whether somebody waits for a lock in the database of c.
func waiting(t *testing.T, c *conn) bool {
	t.Helper()
	r, err := c.one(ctx, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE NOT l.granted AND a.datname = current_database()`)
	if err != nil {
		t.Fatal(err)
	}
	return asInt(r[0]) > 0
}

// A recorder is a chain that knows the link that was made last.
type recorder struct {
	*testChain
	last doppelboden.Link
}

func (r *recorder) Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link {
	r.last = r.testChain.Next(at, entries)
	return r.last
}

// The connection is lost in COMMIT, and the server works on it still: what is looked up
// before that has ended is not there, and then it is.
func TestAWriterWaitsUntilTheTransactionOfItsLostConnectionHasEnded(t *testing.T) {
	dsn := database(t)
	other, chain := openAt(t, dsn), &recorder{testChain: &testChain{name: "node/1"}}
	lost, look := raw(t, other), raw(t, other)
	var s *Store
	var once sync.Once
	holds := make(chan error, 1)
	s = openAt(t, dsn, func(o *Options) {
		o.Chain = chain
		o.faults = &faults{at: func(at fault, _ *op) (err error) {
			if at != faultBeforeCommit || len(chain.last.Chain) == 0 {
				return nil
			}
			once.Do(func() {
				l := chain.last
				go func() {
					err := lost.script(ctx, fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d)", s.lock))
					if err == nil {
						_, err = lost.exec(ctx, "INSERT INTO link (chain, number, at, prev, root, hash) VALUES ($1, $2, $3, $4, $5, $6)",
							l.Chain, l.Number, l.At.UnixMicro(), l.Prev[:], l.Root[:], l.Hash[:])
					}
					holds <- err
				}()
				eventually(t, "the lost transaction is next", func() bool { return waiting(t, look) })
				err = errDisk
			})
			return err
		}}
	})
	done, m := make(chan error, 1), message(1, 1)
	go func() { _, err := s.Accept(ctx, m); done <- err }()
	if err := <-holds; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the writer waits", func() bool { return waiting(t, look) })
	select {
	case err := <-done:
		t.Fatalf("Accept returned %v while the lost transaction was under way", err)
	default:
	}
	if err := lost.script(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("Accept when the lost transaction had ended: %v", err)
	}
	if all := links(t, s); len(all) != 2 {
		t.Errorf("%d links, wanted 2: the lost one and one behind it", len(all))
	}
}

// standby names the standby that every commit of the server waits for; "" for none. It
// returns when commits do wait: processes of the server hear of a setting in their turn.
func standby(t *testing.T, name string) {
	t.Helper()
	for _, text := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + name + "'", "SELECT pg_reload_conf()"} {
		if _, err := shared(t).SQL(context.Background(), "postgres", text); err != nil {
			t.Fatal(err)
		}
	}
	if name == "" {
		return
	}
	// Small commits, until one of them waits. It ends when nobody waits for the standby any more.
	var enough atomic.Bool
	done := make(chan error, 1)
	go func() {
		var err error
		for !enough.Load() && err == nil {
			_, err = shared(t).SQL(context.Background(), "postgres", "SELECT pg_logical_emit_message(true, 'test', '')")
		}
		done <- err
	}()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "a commit waits for the standby "+name, func() bool {
		n, err := shared(t).SQL(context.Background(), "postgres",
			"SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND wait_event = 'SyncRep'")
		if err != nil {
			t.Fatal(err)
		}
		enough.Store(strings.TrimSpace(n) != "0")
		return enough.Load()
	})
}

// waitsForStandby reports whether a commit in the database of c waits for the standby.
func waitsForStandby(t *testing.T, c *conn) bool {
	t.Helper()
	r, err := c.one(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'")
	if err != nil {
		t.Fatal(err)
	}
	return asInt(r[0]) > 0
}

// A standby that nobody waited for: the server says so in a WARNING at COMMIT, and shows
// the rows all the same.
func TestACommitThatDidNotWaitForTheStandbyIsNoAnswer(t *testing.T) {
	s := openNew(t)
	accept(t, s, 1, 1)
	look := raw(t, s)
	inCommit := func() bool { return waitsForStandby(t, look) }
	standby(t, "missing")
	defer standby(t, "")
	m, done := message(1, 1), make(chan error, 1)
	go func() { _, err := s.Accept(ctx, m); done <- err }()
	// An impatient administrator cancels whatever waits. Two commits in doubt are an error,
	// and then it is the caller's turn.
	eventually(t, "Accept gives up", func() bool {
		_, err := look.one(ctx, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = 'SyncRep'`)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err == nil {
				t.Fatal("Accept was answered although no standby has the message")
			}
			return true
		default:
			return false
		}
	})
	eventually(t, "the message can be seen on this server", func() bool { _, err := s.Message(ctx, m.ID); return err == nil })
	if s.Ready() == nil {
		t.Error("ready while no standby takes anything")
	}
	go func() { _, err := s.Accept(ctx, m); done <- err }()
	eventually(t, "the same waits again", inCommit)
	select {
	case err := <-done:
		t.Errorf("the second Accept was answered (%v) from what this server shows", err)
	default:
	}
	standby(t, "")
	if err := <-done; err != nil {
		t.Errorf("the second Accept, when there is nobody to wait for any more: %v", err)
	}
	eventually(t, "ready again", func() bool { return s.Ready() == nil })
	if n := entriesIn(links(t, s)); n != 2 {
		t.Errorf("%d entries, wanted 2", n)
	}
}

func TestCloseEndsAlsoWhenTheServerNeverAnswers(t *testing.T) {
	dsn := database(t)
	look := raw(t, openAt(t, dsn))
	s := openAt(t, dsn, func(o *Options) { o.closeLimit = 100 * time.Millisecond })
	standby(t, "missing")
	defer standby(t, "")
	done := make(chan error, 1)
	go func() { _, err := s.Accept(ctx, message(1, 1)); done <- err }()
	eventually(t, "a commit waits for the standby", func() bool { return waitsForStandby(t, look) })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Errorf("Accept whose commit was never answered: %v, wanted a temporary error", err)
	}
}

func TestACommitIsCleanOnlyWithoutAWordBesides(t *testing.T) {
	c := raw(t, openNew(t))
	for _, text := range []string{"BEGIN", "SELECT 1/0"} {
		c.script(ctx, text) // the second fails, which ends the transaction badly
	}
	if err := c.commit(); err == nil || !strings.Contains(err.Error(), "ROLLBACK") {
		t.Errorf("COMMIT of a failed transaction: %v, wanted an error that names ROLLBACK", err)
	}
	if err := c.commit(); err == nil || !strings.Contains(err.Error(), "WARNING") {
		t.Errorf("COMMIT without a transaction: %v, wanted an error with the server's WARNING", err)
	}
	if err := c.script(ctx, "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if err := c.commit(); err != nil {
		t.Errorf("a clean COMMIT: %v", err)
	}
}

func TestAnAcceptThatFindsItsMessageThereStillWrites(t *testing.T) {
	s := openNew(t)
	m := accept(t, s, 1, 1)
	look := raw(t, s)
	written := func() int64 {
		r, err := look.one(ctx, "SELECT max(at) FROM probe")
		if err != nil {
			t.Fatal(err)
		}
		return asInt(r[0])
	}
	before := written()
	if _, err := s.Accept(ctx, m); err != nil {
		t.Fatal(err)
	}
	if written() == before {
		t.Error("an Accept whose message was there wrote nothing, so its commit waited for nothing")
	}
}

func TestErrorsHaveCodesAndTextsThatSayThem(t *testing.T) {
	of := func(state string) error {
		return fmt.Errorf("write: %w", &pgconn.PgError{Code: state, Message: "secret"})
	}
	for _, c := range []struct {
		err    error
		code   doppelboden.Code
		public string
		item   bool
	}{
		{of("53100"), doppelboden.StorageFull, publicFull, false},
		{of("25006"), doppelboden.Temporary, publicReadOnly, false},
		{of("42P01"), doppelboden.Temporary, publicStorage, false}, // a table is missing
		{of("57P01"), doppelboden.Temporary, publicStorage, false}, // the server is shut down
		{of("23505"), doppelboden.Temporary, publicStorage, true},
		{of("54000"), doppelboden.Temporary, publicStorage, true},
		{of("40P01"), doppelboden.Temporary, publicStorage, false},
		{&storageError{syscall.ENOSPC}, doppelboden.StorageFull, publicFull, false},
		{&storageError{errDisk}, doppelboden.Temporary, publicStorage, false},
		{errors.New("own"), doppelboden.Temporary, publicStorage, true},
	} {
		got := outward(c.err)
		if doppelboden.CodeOf(got) != c.code || doppelboden.PublicOf(got) != c.public || aboutItem(c.err) != c.item {
			t.Errorf("%v: code %v, public %q, about an item %v; wanted %v, %q, %v", c.err, doppelboden.CodeOf(got),
				doppelboden.PublicOf(got), aboutItem(c.err), c.code, c.public, c.item)
		}
	}
}

// settled settles one delivery.
func settled(s *Store, lease store.Lease, m *doppelboden.Message, state doppelboden.State) error {
	return s.Settle(ctx, lease, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: state, By: "courier", Attempt: true, At: time.Now()}})
}

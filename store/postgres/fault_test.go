package postgres

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/test/peer"
)

// ownServer starts a PostgreSQL for one test, which it may kill.
func ownServer(t *testing.T, o peer.Postgres) *peer.PostgresServer {
	t.Helper()
	if o.Parent == "" {
		o.Parent = quick()
	}
	p := peer.For(t, o)
	s, err := Open(ctx, Options{DSN: p.DSN(), Chain: &testChain{name: "first"}})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// behind opens a store that reaches its database through a proxy.
func behind(t *testing.T, p *proxy, database string) *Store {
	t.Helper()
	return openAt(t, peer.PostgresDSN(p.addr(), database))
}

// nameOf is the database of an address.
func nameOf(dsn string) string { return filepath.Base(dsn[:len(dsn)-len("?sslmode=disable")]) }

// cutCommits lets the load run while connections are cut at COMMIT, half of the time, and
// returns how many messages are missing.
func cutCommits(t *testing.T, cuts int64, fault func(store.Acceptor) store.Acceptor) (missing int) {
	dsn := database(t)
	p := newProxy(t, shared(t).Addr())
	s := behind(t, p, nameOf(dsn))
	l := startLoad(t, s, fault(s))
	l.more(50)
	dice := rand.New(rand.NewPCG(4, 2))
	var made atomic.Int64
	p.on(func(int32) moment {
		if made.Add(1) > cuts || dice.IntN(2) == 0 {
			return never
		}
		return moment(1 + dice.IntN(3))
	})
	eventually(t, "enough commits were tried", func() bool { return made.Load() > cuts })
	p.on(nil)
	l.more(50)
	l.end()
	if l.refused == 0 {
		t.Error("connections were cut at COMMIT, and every call was good: the test does nothing")
	}
	return l.check(openAt(t, dsn))
}

func TestWhatWasAnsweredIsThereOnceWhereverACommitIsCut(t *testing.T) {
	honest := func(a store.Acceptor) store.Acceptor { return a }
	if missing := cutCommits(t, 400, honest); missing != 0 {
		t.Errorf("%d messages that got nil are missing", missing)
	}
}

func TestTheCutsFindACommitWhoseErrorIsTakenForSuccess(t *testing.T) {
	if missing := cutCommits(t, 200, func(a store.Acceptor) store.Acceptor { return credulous{a} }); missing == 0 {
		t.Error("errors were taken for success while commits were cut, and nothing is missing")
	}
}

// killInCommit has something killed a moment after the server got a COMMIT.
func (p *proxy) killInCommit(dice *rand.Rand, kill func(backend int32)) chan struct{} {
	killed := make(chan struct{})
	var once atomic.Bool
	p.on(func(backend int32) moment {
		if once.CompareAndSwap(false, true) {
			delay := time.Duration(dice.IntN(3000)) * time.Microsecond
			p.workers.Go(func() {
				<-time.After(delay)
				kill(backend)
				close(killed)
			})
		}
		return never
	})
	return killed
}

func TestWhatWasAnsweredOutlivesTheServersKilledInCommit(t *testing.T) {
	server := ownServer(t, peer.Postgres{})
	p := newProxy(t, server.Addr())
	s := behind(t, p, peer.PostgresDatabase)
	l := startLoad(t, s, s)
	dice := rand.New(rand.NewPCG(4, 3))
	for round := range 6 {
		l.more(30)
		if round%2 == 0 {
			// The backend dies, and PostgreSQL ends all others and recovers.
			<-p.killInCommit(dice, func(backend int32) { syscall.Kill(int(backend), syscall.SIGKILL) })
			continue
		}
		var o peer.Postgres
		var err error
		<-p.killInCommit(dice, func(int32) { o, err = server.Halt() })
		if err != nil {
			t.Fatal(err)
		}
		server = peer.For(t, o)
	}
	l.more(30)
	l.end()
	if missing := l.check(openAt(t, server.DSN())); missing != 0 {
		t.Errorf("%d messages that got nil are missing", missing)
	}
	if l.refused == 0 {
		t.Error("the server was killed six times, and every call was good: the test does nothing")
	}
}

// unwell waits until a store says for this reason that it takes nothing.
func unwell(t *testing.T, s *Store, public string) {
	t.Helper()
	eventually(t, "the store says: "+public, func() bool { err := s.Ready(); return err != nil && doppelboden.PublicOf(err) == public })
}

func TestAServerThatIsRestartedOrReadOnlyCostsNothingThatWasAnswered(t *testing.T) {
	server := ownServer(t, peer.Postgres{})
	s := openAt(t, server.DSN())
	l := startLoad(t, s, s)
	sql := func(text string) {
		t.Helper()
		if _, err := server.SQL(ctx, "postgres", text); err != nil {
			t.Fatal(err)
		}
	}
	l.more(50)
	sql("ALTER SYSTEM SET default_transaction_read_only = on")
	sql("SELECT pg_reload_conf()")
	unwell(t, s, publicReadOnly)
	sql("ALTER SYSTEM RESET default_transaction_read_only")
	sql("SELECT pg_reload_conf()")
	l.more(50)
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + peer.PostgresRole + "'")
	l.more(50)

	// It comes back as a standby, whose primary nobody is, and is promoted.
	o, err := server.End()
	if err != nil {
		t.Fatal(err)
	}
	unwell(t, s, publicStorage)
	signal := filepath.Join(server.Data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	server = peer.For(t, o)
	unwell(t, s, publicReadOnly)
	sql("SELECT pg_promote()")
	l.more(50)
	l.end()
	if missing := l.check(s); missing != 0 {
		t.Errorf("%d messages that got nil are missing", missing)
	}
}

// A cut-off primary shows rows that its successor will not have. Who looks them up instead
// of committing answers for what is lost.
func TestALookUpIsNoAnswerWhenThePrimaryIsCutOff(t *testing.T) {
	server := ownServer(t, peer.Postgres{})
	p := newProxy(t, server.Addr())
	s := behind(t, p, peer.PostgresDatabase)
	var kept []*doppelboden.Message
	for range 5 {
		kept = append(kept, accept(t, s, 1, 1))
	}
	// The successor has everything that was answered so far. Then it is cut off.
	o, err := server.Halt()
	if err != nil {
		t.Fatal(err)
	}
	successor := peer.Postgres{Dir: o.Dir + "-successor"} // where PostgreSQL's user may go
	if out, err := exec.Command("cp", "-a", o.Dir, successor.Dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	o.Settings = []string{"synchronous_standby_names=successor"}
	server = peer.For(t, o)

	var looked []*doppelboden.Message
	answers, gone := make(chan error, 3), make(chan struct{})
	for range cap(answers) {
		m := message(1, 1)
		looked = append(looked, m)
		go func() {
			for {
				_, err := s.Accept(ctx, m)
				select {
				case <-gone:
				default:
					if err != nil {
						continue // as a door does
					}
				}
				answers <- err
				return
			}
		}()
	}
	eye := openEye(t, server.DSN())
	eventually(t, "the cut-off primary shows what nobody else has", func() bool {
		_, err := server.SQL(ctx, "postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range looked {
			if !eye(m.ID) {
				return false
			}
		}
		return true
	})
	close(gone)
	p.cut(true) // and its node is gone
	if _, err := server.Halt(); err != nil {
		t.Fatal(err)
	}
	for range looked {
		if err := <-answers; err == nil {
			t.Error("Accept was answered by a primary that is cut off from its standby")
		}
	}
	next := openAt(t, peer.For(t, successor).DSN())
	for _, m := range kept {
		if _, err := next.Message(ctx, m.ID); err != nil {
			t.Errorf("a message that was answered is missing: %v", err)
		}
	}
	lost := 0
	for _, m := range looked {
		if _, err := next.Message(ctx, m.ID); err != nil {
			lost++
		}
	}
	if lost == 0 {
		t.Error("who had answered from a look-up would have lost nothing: this test finds nothing")
	}
}

// openEye returns a function that looks whether a server shows a message. It commits
// nothing.
func openEye(t *testing.T, dsn string) func(id doppelboden.ID) bool {
	t.Helper()
	s, err := New(Options{DSN: dsn, Chain: &testChain{name: "eye"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close()
		s.Close()
	})
	return func(id doppelboden.ID) bool {
		r, err := c.one(ctx, "SELECT EXISTS (SELECT FROM message WHERE id = $1)", id[:])
		if err != nil {
			t.Fatal(err)
		}
		return asBool(r[0])
	}
}

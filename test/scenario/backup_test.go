package scenario

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden/test/load"
	"doppelboden/test/peer"
)

// onEngines runs a test with a city on SQLite and with one on PostgreSQL. burn destroys the
// working database, as the loss of a machine does, and leaves an empty one.
func onEngines(t *testing.T, boxes int, test func(t *testing.T, c *city, groupware *load.Receiver, burn func())) {
	receive := func(t *testing.T) *load.Receiver {
		groupware := &load.Receiver{}
		if err := groupware.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { groupware.Stop() })
		return groupware
	}
	t.Run("sqlite", func(t *testing.T) {
		groupware := receive(t)
		test(t, found(t, "", "smtp://"+groupware.Addr, boxes), groupware, func() {})
	})
	t.Run("postgres", func(t *testing.T) {
		groupware := receive(t)
		server := peer.For[*peer.PostgresServer](t, peer.Postgres{})
		c := foundAs(t, "", "smtp://"+groupware.Addr, boxes, func(c *city) {
			c.onPostgres(server)
		})
		test(t, c, groupware, func() {
			for _, statement := range []string{"DROP DATABASE " + peer.PostgresDatabase + " WITH (FORCE)",
				"CREATE DATABASE " + peer.PostgresDatabase + " OWNER " + peer.PostgresRole} {
				if _, err := server.SQL(t.Context(), "postgres", statement); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// TestABackupUnderLoadBecomesANodeElsewhereAndMailGoesOn backs up a node while mail comes in
// and goes out, loses the machine, and makes a node of the backup.
func TestABackupUnderLoadBecomesANodeElsewhereAndMailGoesOn(t *testing.T) {
	const boxes = 200
	onEngines(t, boxes, func(t *testing.T, c *city, groupware *load.Receiver, burn func()) {
		acked := &ackedMails{records: map[string]load.Record{}}
		stop := c.underLoad(boxes, acked)
		acked.await(t, 200)
		dir := filepath.Join(t.TempDir(), "backup")
		c.must("backup", dir, "--plain-keys")
		acked.await(t, acked.count()+200)
		before := acked.snapshot()
		began := time.Now()
		slowest := acked.slowest(func() { c.must("backup", dir, "--plain-keys") })
		// On a machine that is busy with other work all takes longer, the backup as well.
		if took := time.Since(began); slowest > 5*time.Second && slowest > took/2 {
			t.Errorf("while it was backed up, which took %v, acceptance stood still for %v", took, slowest)
		}
		acked.await(t, acked.count()+200)
		c.kill()
		stop()
		burn()
		again := c.restored(dir)
		out := again.must("backup", filepath.Join(t.TempDir(), "further"), "--plain-keys")
		if !strings.Contains(out, "IN CLEAR") {
			t.Errorf("a backup with the keys in clear does not say so:\n%s", out)
		}
		b := again.settled(5 * time.Minute)
		if b.Difference != 0 {
			t.Errorf("the balance has a difference of %d: %+v", b.Difference, b)
		}
		checkArrived(t, groupware.Arrivals(), before)
		if out, code := again.run("ledger", "verify"); code != 0 {
			t.Errorf("ledger verify: exit code %d\n%s", code, out)
		}
		more := &ackedMails{records: map[string]load.Record{}}
		stop = again.underLoad(boxes, more)
		more.await(t, 100)
		stop()
		if b = again.settled(5 * time.Minute); b.Difference != 0 {
			t.Errorf("with further mail the balance has a difference of %d: %+v", b.Difference, b)
		}
		checkArrived(t, groupware.Arrivals(), more)
		t.Logf("%d mails acknowledged before the backup, %d in all; acceptance stood still for %v at most; balance %+v", before.count(), acked.count(), slowest, b)
	})
}

// TestADatabaseOfYesterdayIsMadeWholeAndNothingGoesTwice loses the commits since a backup
// while the machine with its landing stays, as a promotion does that lost commits.
func TestADatabaseOfYesterdayIsMadeWholeAndNothingGoesTwice(t *testing.T) {
	const boxes = 50
	onEngines(t, boxes, func(t *testing.T, c *city, groupware *load.Receiver, burn func()) {
		acked := &ackedMails{records: map[string]load.Record{}}
		stop := c.underLoad(boxes, acked)
		acked.await(t, 100)
		dir := filepath.Join(t.TempDir(), "backup")
		c.must("backup", dir)
		acked.await(t, acked.count()+300)
		stop()
		was := c.settled(5 * time.Minute)
		c.stop()
		burn()
		for _, ending := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(c.dir, "data", "doppelboden.db"+ending)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		c.must("restore", dir, c.dir, "--database-only")
		c.start()
		c.must("salvage")
		b := c.settled(5 * time.Minute)
		if b.Difference != 0 || b.Accepted != was.Accepted {
			t.Errorf("after the salvage: %+v; want as many accepted as before (%d), and difference 0", b, was.Accepted)
		}
		again := checkArrived(t, groupware.Arrivals(), acked)
		if again > was.InDoubt+was.Duplicates+b.InDoubt {
			t.Errorf("%d deliveries came twice, although the log of the replies tells what was delivered", again)
		}
		t.Logf("%d mails acknowledged, %d deliveries came twice; balance %+v", acked.count(), again, b)
	})
}

// TestABackupThatIsKilledIsNoneAndCanBeRepeated kills the command at several moments.
func TestABackupThatIsKilledIsNoneAndCanBeRepeated(t *testing.T) {
	c := found(t, "", "smtp://127.0.0.1:1", 20)
	acked := &ackedMails{records: map[string]load.Record{}}
	stop := c.underLoad(20, acked)
	acked.await(t, 400)
	stop()
	c.stop() // the command does the work itself then
	dir := filepath.Join(t.TempDir(), "backup")
	cut, whole := 0, 0
	for wait := time.Duration(0); whole == 0; wait += wait/5 + 15*time.Millisecond { // on a slow machine too there are not many
		cmd := exec.Command(program, "--node", filepath.Join(c.dir, "node.toml"), "backup", dir, "--plain-keys")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait) // the moment to kill it
		_ = cmd.Process.Kill()
		err := cmd.Wait()
		if err == nil {
			whole++
			continue
		}
		cut++
		if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
			break // it was whole before it died
		}
		if out, code := c.run("backup", "--verify", dir); code == 0 || !strings.Contains(out, "no backup") {
			t.Fatalf("killed after %v: verify says %d\n%s", wait, code, out)
		}
		if out, code := c.run("restore", dir, filepath.Join(t.TempDir(), "to")); code == 0 || !strings.Contains(out, "no backup") {
			t.Fatalf("killed after %v: restore says %d\n%s", wait, code, out)
		}
	}
	if cut < 3 {
		t.Errorf("it was cut only %d times: the test is too slow to be one", cut)
	}
	c.must("backup", dir, "--plain-keys")
	if out := c.must("backup", "--verify", dir); !strings.Contains(out, "The backup is good.") {
		t.Errorf("after %d cuts: %s", cut, out)
	}
}

// underLoad sends mail until stop is called.
func (c *city) underLoad(boxes int, acked *ackedMails) (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var running sync.WaitGroup
	corpus := load.NewCorpus(load.CorpusOptions{Seed: uint64(time.Now().UnixNano()), Recipients: users(boxes), Largest: 400 << 10, NoUTF8: true})
	running.Go(func() {
		if _, err := load.Run(ctx, load.Options{
			Addr: c.mx, Source: corpus, Duration: 20 * time.Minute, Messages: 2_000_000,
			Connections: 8, Reconnect: true, Each: acked.note,
		}); err != nil {
			c.t.Errorf("send: %v", err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// restored makes a city of a backup and starts it at the same addresses.
func (c *city) restored(dir string) *city {
	c.t.Helper()
	again := &city{t: c.t, dir: filepath.Join(c.t.TempDir(), "elsewhere"), mx: c.mx, submission: c.submission, log: &lines{}}
	again.must("restore", dir, again.dir)
	again.start()
	c.t.Cleanup(again.end)
	return again
}

// snapshot returns what was acknowledged until now.
func (a *ackedMails) snapshot() *ackedMails {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &ackedMails{records: maps.Clone(a.records)}
}

// slowest runs do and returns the longest time in which nothing was acknowledged.
func (a *ackedMails) slowest(do func()) (longest time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	last, count := time.Now(), a.count()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return longest
		case <-tick.C:
		}
		if n := a.count(); n != count {
			last, count = time.Now(), n
		}
		longest = max(longest, time.Since(last))
	}
}

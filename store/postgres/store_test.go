package postgres

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppelboden/store"
	"doppelboden/store/storetest"
	"doppelboden/test/peer"
)

// serverVariable tells processes that a test starts where the server of this one is: its
// folder and its address.
const serverVariable = "DOPPELBODEN_TEST_POSTGRES"

// server is the PostgreSQL that the tests of this package share. A test that cannot have
// it fails.
var server = sync.OnceValues(func() (*peer.PostgresServer, error) {
	if dir, addr, found := strings.Cut(os.Getenv(serverVariable), " "); found {
		return peer.Postgres{Dir: dir, Addr: addr}.Attach()
	}
	p, err := peer.Postgres{Parent: quick()}.Start()
	if err != nil {
		return nil, err
	}
	started = p
	// A database with our schema, which every test gets a copy of.
	s, err := Open(context.Background(), Options{DSN: p.DSN(), Chain: &testChain{name: "template"}})
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		err = os.Setenv(serverVariable, p.Options().Dir+" "+p.Addr())
	}
	return p, err
})

// quick returns a folder in memory for the server's data where there is room, or "": no
// test here cuts the power, so what a disk would take time for shows nothing. Benchmarks
// want the disk.
func quick() string {
	const memory, room = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if bench := flag.Lookup("test.bench"); bench.Value.String() != "" || syscall.Statfs(memory, &fs) != nil {
		return ""
	}
	sweep(memory)
	if int64(fs.Bavail)*fs.Bsize < room {
		return ""
	}
	return memory
}

// sweep removes what tests that were killed an hour ago and more have left in memory.
func sweep(memory string) {
	left, _ := filepath.Glob(filepath.Join(memory, "doppelboden-postgres-*")) // no error: the pattern is good
	for _, dir := range left {
		about, err := os.Stat(dir)
		if err != nil || time.Since(about.ModTime()) < time.Hour {
			continue
		}
		pid, _ := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid")) // none: it was shut down
		first, _, _ := strings.Cut(string(pid), "\n")
		if _, err := os.Stat("/proc/" + first); first == "" || err != nil {
			os.RemoveAll(dir)
		}
	}
}

// started is the server, once this process has started it.
var started *peer.PostgresServer

func TestMain(m *testing.M) {
	code := m.Run()
	if started != nil {
		if err := started.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared returns the server that the tests share.
func shared(t testing.TB) *peer.PostgresServer {
	t.Helper()
	p, err := server()
	if err != nil {
		t.Fatalf("a test of PostgreSQL that cannot run is a failed test: %v", err)
	}
	return p
}

// database makes a fresh database with our schema for a test and returns its address.
func database(t testing.TB) string {
	t.Helper()
	p := shared(t)
	name, err := p.NewDatabase(t.Context(), peer.PostgresDatabase)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return p.DSNOf(name)
}

// databaseIn returns the address of the database that belongs to a folder; a new one for a
// new folder. A process that a test starts finds it by the same folder.
func databaseIn(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "dsn")
	dsn, err := os.ReadFile(file)
	if err == nil {
		return string(dsn)
	}
	made := database(t)
	if err := os.WriteFile(file, []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	return made
}

// modelChecks is how often the model is played: each time takes a database of its own, and
// the same model is played more often on SQLite.
const modelChecks = 25

func TestStore(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		f.Value.Set(strconv.Itoa(modelChecks))
		defer f.Value.Set(f.DefValue)
	}
	storetest.Run(t, func(t testing.TB, o storetest.Setup) store.Store {
		s, err := Open(context.Background(), Options{DSN: databaseIn(t, o.Dir), Sync: o.Sync, Chain: o.Chain, Clock: o.Clock})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

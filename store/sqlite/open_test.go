package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"doppelboden"
)

func TestTwoStoresNeverOpenOneFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	_, err := Open(ctx, Options{Path: path, Chain: &testChain{}})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("the second Open: %v, wanted that the folder is in use", err)
	}
	accept(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	accept(t, openAt(t, path))
}

func TestADatabaseOfANewerProgramIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	openAt(t, path).Close()
	alter(t, path, "PRAGMA user_version = 4711")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time shows that the lock was given back
		_, err = Open(ctx, Options{Path: path, Chain: &testChain{}})
		if err == nil || !strings.Contains(err.Error(), "schema version 4711") || doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Fatalf("Open: %v, wanted that version 4711 is refused", err)
		}
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("the file was changed")
	}
}

func TestAStrangersDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	alter(t, path, "CREATE TABLE message (id)")
	if _, err := Open(ctx, Options{Path: path, Chain: &testChain{}}); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("Open: %v, wanted that another program made it", err)
	}
	path = filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database at all\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Options{Path: path, Chain: &testChain{}}); err == nil {
		t.Errorf("Open of a text file worked")
	}
}

// alter runs a statement on a database that no store has open.
func alter(t *testing.T, path, statement string) {
	t.Helper()
	c, err := connect(path, "FULL", writing)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.script(statement), c.close()); err != nil {
		t.Fatal(err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	accept(t, s)
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %v, wanted 0600", filepath.Base(path+suffix), mode)
		}
	}
}

func TestAPathMayHoldAnything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c=d%20&_pragma=x#ü")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	accept(t, openAt(t, filepath.Join(dir, "store.db")))
	if _, err := os.Stat(filepath.Join(dir, "store.db")); err != nil {
		t.Error(err)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	for name, o := range map[string]Options{
		"no path":             {Chain: &testChain{}},
		"no chain":            {Path: path},
		"unknown synchronous": {Path: path, Chain: &testChain{}, Synchronous: "NORMAL"},
		"no folder":           {Path: filepath.Join(path, "missing", "store.db"), Chain: &testChain{}},
	} {
		if s, err := Open(ctx, o); err == nil {
			s.Close()
			t.Errorf("%s: Open worked", name)
		}
	}
}

func TestEveryConnectionSyncsFully(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	openAt(t, path).Close()
	for _, r := range []role{writing, reading, checkpointing} {
		c, err := connect(path, "FULL", r)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		for pragma, want := range map[string]int64{"synchronous": 2, "mmap_size": 0, "wal_autocheckpoint": 0} {
			row, err := c.one(ctx, "PRAGMA "+pragma)
			if err != nil || asInt(row[0]) != want {
				t.Errorf("connection %d: %s is %v (%v), wanted %d", r, pragma, row, err, want)
			}
		}
		row, err := c.one(ctx, "PRAGMA journal_mode")
		if err != nil || asText(row[0]) != "wal" {
			t.Errorf("connection %d: journal_mode is %v (%v), wanted wal", r, row, err)
		}
	}
}

func TestReadyLooksAtTheFreeSpace(t *testing.T) {
	s := openNew(t, func(o *Options) { o.MinFree = 1 << 62 })
	err := s.Ready()
	if doppelboden.CodeOf(err) != doppelboden.StorageFull || doppelboden.PublicOf(err) != publicFull {
		t.Errorf("Ready with too little space: %v, wanted %q", err, publicFull)
	}
	if err := openNew(t, func(o *Options) { o.MinFree = 1 }).Ready(); err != nil {
		t.Errorf("Ready with enough space: %v", err)
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := openNew(t)
	accept(t, s)
	rows(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.opts.Path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the log is still there (%v)", err)
	}
}

func TestMetricsHaveUnitsAndAStoreCanBeOpenedAgain(t *testing.T) {
	r := prometheus.NewRegistry()
	path := filepath.Join(t.TempDir(), "store.db")
	for range 2 {
		s := openAt(t, path, func(o *Options) { o.Registry = r; o.Sync = []func() error{func() error { return nil }} })
		accept(t, s)
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range families {
			got[f.GetName()] = true
			if h := f.GetMetric()[0].GetHistogram(); h != nil && strings.HasSuffix(f.GetName(), "commit_seconds") && h.GetSampleCount() == 0 {
				t.Errorf("%s counted nothing", f.GetName())
			}
		}
		for _, want := range []string{"batch_operations", "commit_seconds", "sync_seconds", "wal_pages", "free_bytes", "write_failures_total"} {
			if !got["doppelboden_store_"+want] {
				t.Errorf("there is no doppelboden_store_%s", want)
			}
		}
		s.Close()
	}
}

func TestAReceiptIsFoundAlsoWhenTheMailTookHoursToArrive(t *testing.T) {
	s := openNew(t)
	var made realistic
	hour := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	for _, late := range []time.Duration{-59 * time.Minute, 0, time.Microsecond, 59 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		m := made.message(1)
		m.Receipt, m.Received = doppelboden.NewReceipt(hour), hour.Add(late)
		if _, err := s.Accept(ctx, m); err != nil {
			t.Fatal(err)
		}
		if id, err := s.ByReceipt(ctx, m.Receipt); err != nil || id != m.ID {
			t.Errorf("received %v after its receipt's hour began: found %v (%v), wanted %v", late, id, err, m.ID)
		}
	}
	if _, err := s.ByReceipt(ctx, doppelboden.Receipt{0: 0xff}); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("a receipt of another time: %v, wanted not found", err)
	}
}

func TestTheHourOfAReceiptIsTheOneItWasMadeIn(t *testing.T) {
	for _, at := range []time.Time{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 14, 9, 59, 59, 0, time.UTC),
		time.Date(2060, 7, 1, 12, 30, 0, 0, time.UTC)} {
		if got, want := hourOf(doppelboden.NewReceipt(at)), at.Truncate(time.Hour); !got.Equal(want) {
			t.Errorf("receipt of %v: hour %v, wanted %v", at, got, want)
		}
	}
}

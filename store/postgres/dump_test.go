package postgres

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"doppelboden"
)

// TestADumpIsOneMomentWhileMailFlowsAndBecomesADatabaseElsewhere turns red when moment is
// called while the writer goes on, and when pg_dump sees another moment.
func TestADumpIsOneMomentWhileMailFlowsAndBecomesADatabaseElsewhere(t *testing.T) {
	s := openNew(t)
	for range 50 {
		accept(t, s, 1, 7)
	}
	running, stop := context.WithCancel(ctx)
	var senders sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[doppelboden.ID]bool{}
	for range 4 {
		senders.Go(func() {
			for running.Err() == nil {
				m := message(1, 7)
				if _, err := s.Accept(ctx, m); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[m.ID] = true
				mu.Unlock()
			}
		})
	}
	before := map[doppelboden.ID]bool{}
	var written int64
	to := filepath.Join(t.TempDir(), "dump")
	got, err := s.Snapshot(ctx, to, func() error {
		mu.Lock()
		for id := range acknowledged {
			before[id] = true
		}
		mu.Unlock()
		return s.read(ctx, func(c *conn) error {
			r, err := c.one(ctx, "SELECT count(*) FROM message")
			written = asInt(r[0])
			return err
		})
	})
	stop()
	senders.Wait()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := shared(t).NewDatabase(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer shared(t).DropDatabase(context.Background(), empty)
	dsn := shared(t).DSNOf(empty)
	if err := Restore(ctx, dsn, to); err != nil {
		t.Fatal(err)
	}
	if err := Restore(ctx, dsn, to); doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restore into a full database: wanted that it is not empty, got %v", err)
	}
	again := openAt(t, dsn)
	if rows := rowsOf(t, again); int64(len(rows)) != got.Messages || got.Messages != written {
		t.Errorf("the copy has %d messages; the dump says %d, and at the moment there were %d", len(rows), got.Messages, written)
	}
	for id := range before {
		if _, err := again.Message(ctx, id); err != nil {
			t.Errorf("%v was acknowledged before the moment: %v", id, err)
		}
	}
	if len(got.Bodies) == 0 || got.Schema == 0 {
		t.Errorf("the dump says %+v, wanted bodies and a schema", got)
	}
	accept(t, again, 1, 7)
}

func TestADumpThatFailsLeavesNoFile(t *testing.T) {
	s := openNew(t)
	to := filepath.Join(t.TempDir(), "dump")
	boom := errors.New("boom")
	if _, err := s.Snapshot(ctx, to, func() error { return boom }); !errors.Is(err, boom) {
		t.Errorf("wanted the error of moment, got %v", err)
	}
	cut, cancel := context.WithCancel(ctx)
	if _, err := s.Snapshot(cut, to, func() error { cancel(); return nil }); err == nil {
		t.Error("a dump whose context ended worked")
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	accept(t, s, 1, 7)
	if err := Restore(ctx, shared(t).DSN()+"&connect_timeout=2", to); err == nil {
		t.Error("restore of no file worked")
	}
}

// TestAFailedMigrationLeavesEverythingAsItWas turns red with one transaction for each
// migration.
func TestAFailedMigrationLeavesEverythingAsItWas(t *testing.T) {
	dsn := database(t)
	s := openAt(t, dsn)
	m := accept(t, s, 1, 7)
	s.Close()
	more := fstest.MapFS{}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		more[name] = &fstest.MapFile{Data: text}
	}
	more["migrations/9001_good.sql"] = &fstest.MapFile{Data: []byte("ALTER TABLE message ADD COLUMN later bigint;")}
	more["migrations/9002_bad.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE more (id bigint);\nUPDATE nowhere SET x = 1;")}
	_, err = Open(ctx, Options{DSN: dsn, Chain: &testChain{name: "later"}, migrations: more})
	if err == nil || !strings.Contains(err.Error(), "9002_bad.sql") || !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("open: wanted the name of the migration and why, got %v", err)
	}
	s = openAt(t, dsn) // the program of before
	if _, err := s.Message(ctx, m.ID); err != nil {
		t.Error(err)
	}
	s.Close()
	delete(more, "migrations/9002_bad.sql")
	s = openAt(t, dsn, func(o *Options) { o.migrations = more })
	accept(t, s, 1, 7)
	s.Close()
	if _, err := Open(ctx, Options{DSN: dsn, Chain: &testChain{name: "old"}}); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("the older program opened a newer database: %v", err)
	}
}

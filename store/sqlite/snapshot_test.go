package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"doppelboden"
)

// TestASnapshotIsOneMomentWhileMailFlows turns red when moment is called without the
// writer standing still, or before the state is fixed.
func TestASnapshotIsOneMomentWhileMailFlows(t *testing.T) {
	s := openNew(t)
	for range 2000 {
		accept(t, s)
	}
	running, stop := context.WithCancel(ctx)
	var senders sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[doppelboden.ID]bool{}
	for n := range 4 {
		senders.Go(func() {
			made := realistic{}
			for running.Err() == nil {
				m := made.message(n + 1)
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
	copyAt := filepath.Join(t.TempDir(), "copy.db")
	var links int64
	got, err := s.Snapshot(ctx, copyAt, func() error {
		mu.Lock()
		defer mu.Unlock()
		for id := range acknowledged {
			before[id] = true
		}
		// What is measured here must be what the copy has.
		return s.readers.with(ctx, func(c *conn) error {
			row, err := c.one(ctx, "SELECT count(*) FROM link")
			links = asInt(row[0])
			return err
		})
	})
	stop()
	senders.Wait()
	if err != nil {
		t.Fatal(err)
	}
	again := openAt(t, copyAt)
	var messages, have int64
	err = again.readers.with(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT count(*) FROM message")
		if err != nil {
			return err
		}
		messages = asInt(row[0])
		if row, err = c.one(ctx, "SELECT count(*) FROM link"); err == nil {
			have = asInt(row[0])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if messages != got.Messages || have != links {
		t.Errorf("the copy has %d messages and %d links, wanted %d and %d", messages, have, got.Messages, links)
	}
	for id := range before {
		if _, err := again.Message(ctx, id); err != nil {
			t.Errorf("%v was acknowledged before the moment: %v", id, err)
		}
	}
	if len(got.Bodies) == 0 {
		t.Errorf("no segment has a body")
	}
	accept(t, again)
}

func TestASnapshotThatIsCutLeavesNoFile(t *testing.T) {
	s := openNew(t)
	accept(t, s)
	to := filepath.Join(t.TempDir(), "copy.db")
	boom := errors.New("boom")
	if _, err := s.Snapshot(ctx, to, func() error { return boom }); !errors.Is(err, boom) {
		t.Errorf("wanted the error of moment, got %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	if _, err := s.Snapshot(cancelled, to, func() error { cancel(); return nil }); err == nil {
		t.Errorf("a snapshot whose context ended worked")
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if err := os.WriteFile(to, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(ctx, to, nil); err == nil {
		t.Errorf("a snapshot wrote over a file")
	}
	if text, _ := os.ReadFile(to); string(text) != "somebody's" {
		t.Errorf("the file holds %q now", text)
	}
	accept(t, s)
}

func TestADatabaseIsCopiedWhileNobodyHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	m := accept(t, s)
	to := filepath.Join(t.TempDir(), "copy.db")
	if _, err := Copy(ctx, path, to, nil); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("copy of an open database: wanted invalid, got %v", err)
	}
	s.Close()
	got, err := Copy(ctx, path, to, nil)
	if err != nil || got.Messages != 1 {
		t.Fatalf("copy: %+v, %v; wanted one message", got, err)
	}
	if _, err := openAt(t, to).Message(ctx, m.ID); err != nil {
		t.Error(err)
	}
	if _, err := Copy(ctx, path+".none", to+"2", nil); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("copy of nothing: wanted not found, got %v", err)
	}
}

// TestAFailedMigrationLeavesEverythingAsItWas turns red with one transaction for each
// migration.
func TestAFailedMigrationLeavesEverythingAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	m := accept(t, s)
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
	more["migrations/9001_good.sql"] = &fstest.MapFile{Data: []byte("ALTER TABLE message ADD COLUMN later INTEGER;")}
	more["migrations/9002_bad.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE more (id INTEGER);\nUPDATE nowhere SET x = 1;")}
	_, err = Open(ctx, Options{Path: path, Chain: &testChain{}, migrations: more})
	if err == nil || !strings.Contains(err.Error(), "9002_bad.sql") || !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("open: wanted the name of the migration and why, got %v", err)
	}
	s = openAt(t, path) // the program of before
	if _, err := s.Message(ctx, m.ID); err != nil {
		t.Error(err)
	}
	err = s.readers.with(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT count(*) FROM pragma_table_info('message') WHERE name = 'later'")
		if err == nil && asInt(row[0]) != 0 {
			err = fmt.Errorf("the first of two migrations stayed")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	s.Close()
	delete(more, "migrations/9002_bad.sql")
	s = openAt(t, path, func(o *Options) { o.migrations = more })
	accept(t, s)
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	engine "modernc.org/sqlite"

	"doppelboden"
	"doppelboden/store"
)

var _ store.Snapshotter = (*Store)(nil)

// snapshotStep is how many pages are copied before the context is asked again: 4 MiB.
const snapshotStep = 1024

// Snapshot implements store.Snapshotter. The copy is made page by page of what one read
// transaction sees, so it has the size of the database. While it lasts the log cannot
// start over and grows with what is written.
func (s *Store) Snapshot(ctx context.Context, to string, moment func() error) (store.Snapshot, error) {
	s.gate.RLock()
	select {
	case <-s.closing:
		s.gate.RUnlock()
		return store.Snapshot{}, closedError()
	default:
	}
	s.callers.Add(1)
	s.gate.RUnlock()
	defer s.callers.Done()
	s.copying.Add(1)
	defer func() {
		s.copying.Add(-1)
		select {
		case s.wrote <- struct{}{}: // the log may be long by now
		default:
		}
	}()
	got, err := snapshot(ctx, s.opts.Path, to, func(fix func() error) error {
		s.writing.Lock()
		defer s.writing.Unlock()
		if err := fix(); err != nil || moment == nil {
			return err
		}
		return moment()
	})
	return got, outward(err)
}

// Copy does what Snapshot does with a database that no Store has open, and keeps others
// from opening it meanwhile. The code is Invalid when one has, NotFound when there is none.
func Copy(ctx context.Context, from, to string, moment func() error) (store.Snapshot, error) {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return store.Snapshot{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no database", Cause: err}
	}
	lock, err := lockFile(from + ".lock")
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("copy database: %w", err)
	}
	defer lock.Close()
	got, err := snapshot(ctx, from, to, func(fix func() error) error {
		if err := fix(); err != nil || moment == nil {
			return err
		}
		return moment()
	})
	return got, outward(err)
}

// snapshot copies the database from into the new file to. still calls what it is given at
// a moment at which nobody commits.
func snapshot(ctx context.Context, from, to string, still func(fix func() error) error) (got store.Snapshot, err error) {
	if err := makeFile(to); err != nil {
		return got, err
	}
	defer func() {
		if err != nil {
			os.Remove(to)
		}
	}()
	c, err := connect(from, "FULL", reading)
	if err != nil {
		return got, err
	}
	defer c.close()
	err = still(func() error {
		if _, err := c.exec(ctx, "BEGIN"); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		_, err := schemaVersion(ctx, c) // a read is what fixes the state
		return err
	})
	if err != nil {
		return got, err
	}
	if err := copyPages(ctx, c, to); err != nil {
		return got, fmt.Errorf("copy database: %w", err)
	}
	got, err = describe(ctx, c)
	if err != nil {
		return got, err
	}
	return got, syncFile(to)
}

// makeFile makes an empty file that only its owner may read.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make the copy of the database: %w", err)
	}
	return f.Close()
}

// syncFile makes a file and its name durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync the copy of the database: %w", err)
	}
	err = errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("sync the copy of the database: %w", err)
	}
	return nil
}

// copyPages copies what the transaction of c sees. The copy needs no journal of its own:
// it is nothing until it is whole.
func copyPages(ctx context.Context, c *conn, to string) error {
	abs, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}}.Encode()}
	b, err := c.driver.(interface {
		NewBackup(dst string) (*engine.Backup, error)
	}).NewBackup(dsn.String())
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			more, err = b.Step(snapshotStep)
		}
	}
	return errors.Join(err, b.Finish())
}

// describe says what the transaction of c sees.
func describe(ctx context.Context, c *conn) (store.Snapshot, error) {
	got := store.Snapshot{Bodies: map[string]int64{}}
	var err error
	if got.Schema, err = schemaVersion(ctx, c); err != nil {
		return got, err
	}
	if got.Rows, err = countRows(ctx, c); err != nil {
		return got, err
	}
	got.Messages = got.Rows["message"]
	err = c.query(ctx, func(row []driver.Value) error {
		got.Counts = append(got.Counts, store.Count{Tenant: doppelboden.TenantID(asInt(row[0])),
			State: doppelboden.State(asInt(row[1])), Deliveries: asInt(row[2])})
		return nil
	}, "SELECT tenant, state, deliveries FROM count WHERE deliveries > 0 ORDER BY tenant, state")
	if err != nil {
		return got, fmt.Errorf("count deliveries: %w", err)
	}
	err = c.query(ctx, func(row []driver.Value) error {
		got.Bodies[asText(row[0])] = asInt(row[1])
		return nil
	}, "SELECT s.name, max(m.offset + m.size) FROM message m JOIN segment s ON s.num = m.segment GROUP BY s.name")
	if err != nil {
		return got, fmt.Errorf("find the bodies' segments: %w", err)
	}
	row, err := c.one(ctx, "SELECT number, at, hash FROM knot ORDER BY number DESC LIMIT 1")
	switch {
	case errors.Is(err, errNoRow):
	case err != nil:
		return got, fmt.Errorf("find the last knot: %w", err)
	default:
		got.LastKnot = doppelboden.Knot{Number: asInt(row[0]), At: asTime(row[1]), Hash: asSum(row[2])}
	}
	return got, nil
}

// Schema returns how many migrations the database has seen.
func (s *Store) Schema(ctx context.Context) (version int, err error) {
	err = s.read(ctx, func(c *conn) error {
		version, err = schemaVersion(ctx, c)
		return err
	})
	return version, err
}

// Check reads the whole database and says what is wrong with its pages, if anything is.
func (s *Store) Check(ctx context.Context) error {
	return s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "PRAGMA quick_check(1)")
		if err == nil && asText(row[0]) != "ok" {
			err = fmt.Errorf("check database: %s", asText(row[0]))
		}
		return err
	})
}

// countRows counts the rows of all tables.
func countRows(ctx context.Context, c *conn) (map[string]int64, error) {
	var tables []string
	err := c.query(ctx, func(row []driver.Value) error {
		tables = append(tables, asText(row[0]))
		return nil
	}, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	rows := map[string]int64{}
	for _, table := range tables { // the names are those of our migrations
		row, err := c.one(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(table, `"`, `""`)+`"`)
		if err != nil {
			return nil, fmt.Errorf("count rows of %s: %w", table, err)
		}
		rows[table] = asInt(row[0])
	}
	return rows, nil
}

// Rows counts the rows of all tables in a file that no Store has open, and changes nothing.
func Rows(ctx context.Context, path string) (map[string]int64, error) {
	c, err := connect(path, "FULL", reading)
	if err != nil {
		return nil, err
	}
	defer c.close()
	rows, err := countRows(ctx, c)
	return rows, outward(err)
}

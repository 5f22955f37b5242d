package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"
)

var _ store.Snapshotter = (*Store)(nil)

// Snapshot implements store.Snapshotter with pg_dump, in PostgreSQL's custom format. What
// other nodes commit at the moment is in it or not, as a whole.
func (s *Store) Snapshot(ctx context.Context, to string, moment func() error) (got store.Snapshot, err error) {
	dump, err := program("pg_dump")
	if err != nil {
		return got, err
	}
	env, dsn, err := asLibpq(s.opts.DSN)
	if err != nil {
		return got, err
	}
	if _, err := os.Lstat(to); err == nil {
		return got, fmt.Errorf("dump database: %s exists", to)
	}
	defer func() {
		if err != nil {
			os.Remove(to)
		}
	}()
	c, err := s.connect(ctx)
	if err != nil {
		return got, outward(err)
	}
	defer c.close()
	id, err := s.export(ctx, c, moment)
	if err != nil {
		return got, outward(err)
	}
	cmd := exec.CommandContext(ctx, dump, "--format=custom", "--no-owner", "--no-privileges", "--no-password",
		"--schema="+schema, "--snapshot="+id, "--file="+to, "--dbname="+dsn)
	if err := runProgram(ctx, cmd, env); err != nil {
		return got, err
	}
	if got, err = describe(ctx, c); err != nil {
		return got, outward(err)
	}
	return got, syncDump(to)
}

// Copy does what Snapshot does with a database that no Store has open. It changes nothing
// there.
func Copy(ctx context.Context, dsn, to string, moment func() error) (store.Snapshot, error) {
	config, err := configure(dsn)
	if err != nil {
		return store.Snapshot{}, err
	}
	s := &Store{opts: Options{DSN: dsn}, config: config, metrics: newMetrics(nil)}
	defer s.leaving.Wait()
	return s.Snapshot(ctx, to, moment)
}

// export begins a transaction that sees one moment, at which nobody here commits, and
// returns the name under which pg_dump sees the same.
func (s *Store) export(ctx context.Context, c *conn, moment func() error) (string, error) {
	// pg_dump takes longer than a node may be silent within a transaction; and what is
	// counted here is whole tables.
	err := c.script(ctx, "SET idle_in_transaction_session_timeout = 0; SET enable_seqscan = on; SET enable_hashjoin = on")
	if err != nil {
		return "", err
	}
	s.still.Lock()
	defer s.still.Unlock()
	if _, err := c.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return "", err
	}
	r, err := c.one(ctx, "SELECT pg_export_snapshot()::text")
	if err != nil {
		return "", err
	}
	if moment == nil {
		return asText(r[0]), nil
	}
	return asText(r[0]), moment()
}

// describe says what the transaction of c sees.
func describe(ctx context.Context, c *conn) (store.Snapshot, error) {
	got := store.Snapshot{Bodies: map[string]int64{}}
	var err error
	if got.Rows, err = countRows(ctx, c); err != nil {
		return got, err
	}
	got.Schema, got.Messages = int(got.Rows["migration"]), got.Rows["message"]
	err = c.query(ctx, func(r row) error {
		got.Counts = append(got.Counts, store.Count{Tenant: doppelboden.TenantID(asInt(r[0])),
			State: doppelboden.State(asInt(r[1])), Deliveries: asInt(r[2])})
		return nil
	}, "SELECT tenant, state, sum(deliveries)::bigint FROM count GROUP BY tenant, state HAVING sum(deliveries) > 0 ORDER BY tenant, state")
	if err != nil {
		return got, fmt.Errorf("count deliveries: %w", err)
	}
	err = c.query(ctx, func(r row) error {
		got.Bodies[asText(r[0])] = asInt(r[1])
		return nil
	}, "SELECT segment, max(start + size) FROM message GROUP BY segment")
	if err != nil {
		return got, fmt.Errorf("find the bodies' segments: %w", err)
	}
	r, err := c.one(ctx, "SELECT number, at, hash FROM knot ORDER BY number DESC LIMIT 1")
	switch {
	case errors.Is(err, errNoRow):
	case err != nil:
		return got, fmt.Errorf("find the last knot: %w", err)
	default:
		got.LastKnot = doppelboden.Knot{Number: asInt(r[0]), At: asTime(r[1]), Hash: asSum(r[2])}
	}
	return got, nil
}

// countRows counts the rows of all tables.
func countRows(ctx context.Context, c *conn) (map[string]int64, error) {
	var tables []string
	err := c.query(ctx, func(r row) error {
		tables = append(tables, asText(r[0]))
		return nil
	}, "SELECT relname::text FROM pg_class WHERE relnamespace = '"+schema+"'::regnamespace AND relkind = 'r' ORDER BY relname")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	rows := map[string]int64{}
	for _, table := range tables {
		r, err := c.one(ctx, "SELECT count(*) FROM "+schema+"."+quoteName(table))
		if err != nil {
			return nil, fmt.Errorf("count rows of %s: %w", table, err)
		}
		rows[table] = asInt(r[0])
	}
	return rows, nil
}

// Rows counts the rows of all tables, and changes nothing.
func Rows(ctx context.Context, dsn string) (rows map[string]int64, err error) {
	err = once(ctx, dsn, func(c *conn) error {
		rows, err = countRows(ctx, c)
		return err
	})
	return rows, err
}

// syncDump makes a dump durable.
func syncDump(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Chmod(0o600), f.Sync(), f.Close(), disk.OS{}.SyncDir(filepath.Dir(path)))
	}
	return disk.Fail("sync the dump of the database", err)
}

// Restore puts a dump that Snapshot wrote into a database that holds nothing of ours, all
// of it or nothing. The code is Invalid when there is something.
func Restore(ctx context.Context, dsn, dump string) error {
	restore, err := program("pg_restore")
	if err != nil {
		return err
	}
	env, bare, err := asLibpq(dsn)
	if err != nil {
		return err
	}
	if err := Vacant(ctx, dsn); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, restore, "--no-owner", "--no-privileges", "--no-password",
		"--single-transaction", "--exit-on-error", "--dbname="+bare, dump)
	return runProgram(ctx, cmd, env)
}

// Vacant returns nil when a database can be reached and holds nothing of ours. The code
// is Invalid when it does.
func Vacant(ctx context.Context, dsn string) error {
	return once(ctx, dsn, func(c *conn) error {
		r, err := c.one(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = '"+schema+"')")
		if err == nil && asBool(r[0]) {
			err = &doppelboden.Error{Code: doppelboden.Invalid, Public: "the database is not empty: it has a schema " + schema + "; nothing was changed"}
		}
		return err
	})
}

// Clear removes everything of ours from a database.
func Clear(ctx context.Context, dsn string) error {
	return once(ctx, dsn, func(c *conn) error { return c.script(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE") })
}

// Beside makes an empty database on the server of another one, and returns how to reach it
// and what removes it. The role of dsn must be allowed to (CREATEDB).
func Beside(ctx context.Context, dsn string, now time.Time) (beside string, drop func(context.Context) error, err error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", nil, notURL()
	}
	name := "doppelboden_check_" + strconv.FormatInt(now.UnixMicro(), 36)
	err = once(ctx, dsn, func(c *conn) error { return c.script(ctx, "CREATE DATABASE "+name) })
	if err != nil {
		return "", nil, fmt.Errorf("make a database for the check: %w", err)
	}
	u.Path = "/" + name
	return u.String(), func(ctx context.Context) error {
		return once(ctx, dsn, func(c *conn) error { return c.script(ctx, "DROP DATABASE "+name) })
	}, nil
}

// once lends one connection without a Store.
func once(ctx context.Context, dsn string, f func(c *conn) error) error {
	config, err := configure(dsn)
	if err != nil {
		return err
	}
	s := &Store{config: config, metrics: newMetrics(nil)}
	c, err := s.connect(ctx)
	if err != nil {
		return outward(err)
	}
	err = f(c)
	c.close()
	s.leaving.Wait()
	return outward(err)
}

// Schema returns how many migrations the database has seen.
func (s *Store) Schema(ctx context.Context) (version int, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, "SELECT count(*) FROM migration")
		if err == nil {
			version = int(asInt(r[0]))
		}
		return err
	})
	return version, err
}

// program finds one of PostgreSQL's own programs: the newest in Debian's folders, or the
// one in the PATH.
func program(name string) (string, error) {
	newest, best := "", -1
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	for _, path := range found {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && version > best {
			newest, best = path, version
		}
	}
	if newest != "" {
		return newest, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &doppelboden.Error{Code: doppelboden.Invalid, Public: "PostgreSQL's program " + name +
			" is not installed on this machine (Debian: apt install postgresql-client)", Cause: err}
	}
	return path, nil
}

// asLibpq takes the password out of a URL: arguments of programs can be seen by all.
func asLibpq(dsn string) (env []string, bare string, err error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, "", notURL()
	}
	if password, ok := u.User.Password(); ok {
		env = append(env, "PGPASSWORD="+password)
		u.User = url.User(u.User.Username())
	}
	return env, u.String(), nil
}

func notURL() error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the address of the database is no URL such as postgres://user@host/name"}
}

// runProgram runs a program and returns what it says when it fails.
func runProgram(ctx context.Context, cmd *exec.Cmd, env []string) error {
	var said bytes.Buffer
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	cmd.Stderr = &said
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.Contains(said.String(), "No space left on device"):
		return &doppelboden.Error{Code: doppelboden.StorageFull, Public: publicFull, Cause: errors.New(said.String())}
	}
	text := strings.Join(strings.Fields(said.String()), " ")
	return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, text[:min(len(text), 1000)])
}

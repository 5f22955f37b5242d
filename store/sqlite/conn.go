package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"

	engine "modernc.org/sqlite"
)

// A conn is one connection to the database with its prepared statements. It belongs to
// one goroutine at a time. It speaks to the driver itself: database/sql would convert
// every value once more, and its pool has no place for a connection that is kept.
type conn struct {
	driver driver.Conn
	stmts  map[string]*stmt // by their text; the texts are constants, so there are few
}

// A stmt is a prepared statement with room for its arguments and for one row.
type stmt struct {
	driver driver.Stmt
	exec   driver.StmtExecContext
	query  driver.StmtQueryContext
	args   []driver.NamedValue
	row    []driver.Value
}

// A role says what a connection is for.
type role int

const (
	writing role = iota
	reading
	checkpointing
)

// Sizes of the page caches in KiB. The writer's holds the inner pages of all indexes
// of some million rows; readers walk and do not come back.
const (
	writerCache = 12 << 10
	readerCache = 1 << 10
)

// lockWait is how long in milliseconds a statement waits for a lock. Only opening ever
// waits, for a checkpoint that is under way.
const lockWait = 10000

// errNoRow is what one returns when there is none.
var errNoRow = errors.New("no row")

// connect opens a connection to the file. The pragmas hold for this connection alone,
// so every connection gets them.
func connect(path, synchronous string, r role) (*conn, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find database: %w", err)
	}
	cache, wait := readerCache, lockWait
	switch r {
	case writing:
		cache = writerCache
	case checkpointing:
		wait = readerWait
	}
	pragmas := []string{
		"busy_timeout(" + strconv.Itoa(wait) + ")",
		"synchronous(" + synchronous + ")",
		"cache_size(-" + strconv.Itoa(cache) + ")",
		"mmap_size(0)", // a bad disk must give an error, not a signal
		"temp_store(MEMORY)",
		"wal_autocheckpoint(0)", // checkpoints have an owner of their own
		"journal_size_limit(" + strconv.Itoa(walKeep*pageSize) + ")",
	}
	switch r {
	case writing:
		pragmas = append(pragmas, "journal_mode(WAL)")
	case reading:
		pragmas = append(pragmas, "query_only(1)")
	}
	options := url.Values{"_pragma": pragmas, "_dqs": {"0"}}
	if r == reading {
		options.Set("mode", "rw") // a file that has gone is not made anew
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: options.Encode()}
	connector, err := engine.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	dc, err := connector.Connect(context.Background())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return &conn{driver: dc, stmts: map[string]*stmt{}}, nil
}

// close gives the connection and its statements back.
func (c *conn) close() error {
	for _, s := range c.stmts {
		s.driver.Close()
	}
	return c.driver.Close()
}

// script runs several statements without arguments.
func (c *conn) script(text string) error {
	_, err := c.driver.(driver.ExecerContext).ExecContext(context.Background(), text, nil)
	return err
}

// prepare returns the statement with the arguments in place.
func (c *conn) prepare(text string, args []driver.Value) (*stmt, error) {
	s := c.stmts[text]
	if s == nil {
		ds, err := c.driver.(driver.ConnPrepareContext).PrepareContext(context.Background(), text)
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", text, err)
		}
		s = &stmt{driver: ds, exec: ds.(driver.StmtExecContext), query: ds.(driver.StmtQueryContext),
			args: make([]driver.NamedValue, len(args))}
		for i := range s.args {
			s.args[i].Ordinal = i + 1
		}
		c.stmts[text] = s
	}
	for i, v := range args {
		s.args[i].Value = v
	}
	return s, nil
}

// exec runs a statement and returns how many rows it changed.
func (c *conn) exec(ctx context.Context, text string, args ...driver.Value) (int64, error) {
	s, err := c.prepare(text, args)
	if err != nil {
		return 0, err
	}
	res, err := s.exec.ExecContext(ctx, s.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a statement and calls each for every row. The row is overwritten by the
// next one; each must not run the same statement.
func (c *conn) query(ctx context.Context, each func(row []driver.Value) error, text string, args ...driver.Value) error {
	s, err := c.prepare(text, args)
	if err != nil {
		return err
	}
	rows, err := s.query.QueryContext(ctx, s.args)
	if err != nil {
		return err
	}
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	for err == nil {
		if err = rows.Next(s.row); err == nil {
			err = each(s.row)
		}
	}
	if closing := rows.Close(); err == io.EOF {
		err = closing
	}
	return err
}

// one runs a statement that gives at most one row, and returns it, or errNoRow. The row
// is valid until the statement runs again.
func (c *conn) one(ctx context.Context, text string, args ...driver.Value) ([]driver.Value, error) {
	var got []driver.Value
	err := c.query(ctx, func(row []driver.Value) error { got = row; return nil }, text, args...)
	if err == nil && got == nil {
		err = errNoRow
	}
	return got, err
}

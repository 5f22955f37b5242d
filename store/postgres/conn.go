package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"doppelboden"
)

// schema is where everything of ours lies.
const schema = "doppelboden"

// connectLimit bounds how long one host may take to open a connection.
const connectLimit = 3 * time.Second

// How soon a dead server, or a dead client, is noticed on a connection on which nothing
// happens: 10 s, and then three questions 5 s apart.
const (
	aliveIdle     = 10 * time.Second
	aliveInterval = 5 * time.Second
	aliveCount    = 3
	aliveUser     = aliveIdle + (aliveCount+1)*aliveInterval
)

// settings are what every session sets. They make plans that do not depend on
// statistics, for a table that was empty a minute ago may be full by now: every query of
// ours is meant for one index, and its joins for their order in the text.
var settings = map[string]string{
	"search_path":                     schema,
	"client_encoding":                 "UTF8",
	"enable_seqscan":                  "off",
	"enable_bitmapscan":               "off",
	"enable_hashjoin":                 "off",
	"enable_mergejoin":                "off",
	"enable_material":                 "off",
	"enable_memoize":                  "off",
	"join_collapse_limit":             "1",
	"from_collapse_limit":             "1",
	"jit":                             "off",
	"plan_cache_mode":                 "force_generic_plan",
	"max_parallel_workers_per_gather": "0",
	"timezone":                        "UTC",
	// No deadline ever ends a commit.
	"statement_timeout": "0",
	"lock_timeout":      "0",
	// A node that is frozen, or cut off, must not hold the locks of all others for ever.
	"idle_in_transaction_session_timeout": "60s",
	"client_connection_check_interval":    "5s",
	"tcp_keepalives_idle":                 seconds(aliveIdle),
	"tcp_keepalives_interval":             seconds(aliveInterval),
	"tcp_keepalives_count":                strconv.Itoa(aliveCount),
	"tcp_user_timeout":                    strconv.FormatInt(aliveUser.Milliseconds(), 10),
}

// seconds writes a duration as PostgreSQL reads it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// configure reads a connection string.
func configure(dsn string) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid, Public: "the connection string of the database cannot be read", Cause: err}
	}
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "doppelboden"
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > connectLimit {
		config.ConnectTimeout = connectLimit
	}
	if config.ValidateConnect == nil && severalHosts(config) {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	dialer := &net.Dialer{Control: notice, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: aliveIdle, Interval: aliveInterval, Count: aliveCount}}
	config.DialFunc = dialer.DialContext
	return config, nil
}

// severalHosts reports whether more than one server is named. Then the one is wanted that
// can be written, unless target_session_attrs says otherwise.
func severalHosts(config *pgconn.Config) bool {
	for _, f := range config.Fallbacks {
		if f.Host != config.Host || f.Port != config.Port {
			return true
		}
	}
	return false
}

// notice has the kernel end a connection whose other side confirms nothing any more, also
// while something is under way on it: a commit has no deadline of ours.
func notice(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(aliveUser.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}

// A conn is a connection with its prepared statements. It belongs to one goroutine at a
// time. Every integer of the schema is a bigint, every time too; so what a value is says
// its Go type alone, and nothing needs a map of types.
type conn struct {
	s       *Store
	pg      *pgconn.PgConn
	stmts   map[string]*pgconn.StatementDescription // by their text; the texts are constants, so there are few
	notices []string                                // what the server said besides, since the last begin
}

// errNoRow is what one returns when there is none.
var errNoRow = errors.New("no row")

// connect opens a connection.
func (s *Store) connect(ctx context.Context) (*conn, error) {
	c := &conn{s: s, stmts: map[string]*pgconn.StatementDescription{}}
	config := s.config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		c.notices = append(c.notices, n.Severity+" "+n.Code+": "+n.Message)
	}
	pg, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, &storageError{fmt.Errorf("connect: %w", err)}
	}
	c.pg = pg
	s.metrics.connections.Inc()
	return c, nil
}

// close gives the connection back. One that broke ends by itself; Store.Close waits for it.
func (c *conn) close() {
	c.pg.Close(background)
	c.s.leaving.Go(func() { <-c.pg.CleanupDone() })
}

// prepare returns the statement of a text, whose arguments have these types.
func (c *conn) prepare(ctx context.Context, text string, a *arguments) (*pgconn.StatementDescription, error) {
	if s := c.stmts[text]; s != nil {
		return s, nil
	}
	s, err := c.pg.Prepare(ctx, "s"+strconv.Itoa(len(c.stmts)), text, a.oids)
	if err != nil {
		return nil, blame(fmt.Errorf("prepare %q: %w", text, err))
	}
	c.stmts[text] = s
	return s, nil
}

// exec runs a statement and returns how many rows it changed.
func (c *conn) exec(ctx context.Context, text string, args ...any) (int64, error) {
	tag, err := c.run(ctx, nil, text, args)
	return tag.RowsAffected(), err
}

// query runs a statement and calls each for every row. The row is valid only within each,
// which must not use the connection.
func (c *conn) query(ctx context.Context, each func(r row) error, text string, args ...any) error {
	_, err := c.run(ctx, each, text, args)
	return err
}

// one runs a statement that gives at most one row, and returns it, or errNoRow.
func (c *conn) one(ctx context.Context, text string, args ...any) (row, error) {
	var got row
	err := c.query(ctx, func(r row) error { got = r.clone(); return nil }, text, args...)
	if err == nil && got == nil {
		err = errNoRow
	}
	return got, err
}

// run runs a statement.
func (c *conn) run(ctx context.Context, each func(r row) error, text string, args []any) (pgconn.CommandTag, error) {
	a, err := encode(args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	s, err := c.prepare(ctx, text, a)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return read(c.pg.ExecStatement(ctx, s, a.values, binaryFormat, binaryFormat), each)
}

// binaryFormat asks for numbers as bytes, in both directions.
var binaryFormat = []int16{1}

// read reads the rows of a result to their end, whatever each says.
func read(result *pgconn.ResultReader, each func(r row) error) (pgconn.CommandTag, error) {
	var failed error
	for result.NextRow() {
		if each != nil && failed == nil {
			failed = each(result.Values())
		}
	}
	tag, err := result.Close()
	if err != nil {
		return tag, blame(err)
	}
	return tag, failed
}

// blame marks an error that does not come from the server as the connection's.
func blame(err error) error {
	if stateOf(err) == "" {
		return &storageError{err}
	}
	return err
}

// A statement is one of several that are sent together.
type statement struct {
	text string
	args []any
	each func(r row) error // nil: rows are of no interest
	rows int64             // how many rows it must change; 0: any number
	done func(rows int64)  // nil: how many it changed is of no interest
}

// all runs statements one after the other in one round trip. After the first error none
// runs any more.
func (c *conn) all(list []statement) error {
	var batch pgconn.Batch
	for _, st := range list {
		a, err := encode(st.args)
		if err != nil {
			return err
		}
		s, err := c.prepare(background, st.text, a)
		if err != nil {
			return err
		}
		batch.ExecStatement(s, a.values, binaryFormat, binaryFormat)
	}
	results := c.pg.ExecBatch(background, &batch)
	var failed error
	for i := 0; i < len(list) && results.NextResult(); i++ {
		tag, err := read(results.ResultReader(), list[i].each)
		if err == nil && list[i].done != nil {
			list[i].done(tag.RowsAffected())
		}
		if err != nil && failed == nil {
			failed = err
		}
	}
	if err := results.Close(); err != nil {
		return blame(err)
	}
	return failed
}

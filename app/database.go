package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/mirror"
	"doppelboden/store"
	"doppelboden/store/postgres"
	"doppelboden/store/sqlite"
)

// A database is the node's working database and how it is. SQLite is there or the node is
// not; PostgreSQL comes and goes, and the node lives without it.
type database struct {
	engine store.Store

	// Of PostgreSQL; nil for SQLite.
	late   *postgres.Store  // the engine, which may have to be opened later
	keeper *mirror.Keeper   // writes the mirror
	start  *mirror.Snapshot // the mirror that the node started from; nil: the database answered

	working atomic.Bool // everything that needs the database runs

	mu     sync.Mutex
	away   time.Time // since when it does not do its work; zero: it does
	reason error     // why not
}

// mirrorFolder is the mirror's within the data folder.
const mirrorFolder = "mirror"

const (
	// startPatience is how long the database may take to answer at the start, before the
	// doors open without it.
	startPatience = 6 * time.Second
	// returnEvery is how often a database that was dead at the start is asked again.
	returnEvery = time.Second
)

// openDatabase chooses the engine: the only place that knows which there are.
func (n *Node) openDatabase(ctx context.Context) error {
	conf := n.opts.Node
	sync := []func() error{n.syncBodies, n.doors.Sync, n.replies.Sync}
	if conf.Database.Postgres() {
		return n.openPostgres(ctx, sync)
	}
	s, err := sqlite.Open(ctx, sqlite.Options{
		Path: filepath.Join(conf.Data, databaseFile), Sync: sync,
		Chain: n.chain, Clock: n.clock, Log: n.log, Registry: n.registry,
		MinFree: conf.Limits.MinFreeMB << 20, Synchronous: n.opts.Synchronous,
	})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	n.onStop("the database", func(context.Context) error { return s.Close() })
	n.db, n.store = &database{engine: s}, s
	return n.join(ctx)
}

// openPostgres makes the engine known, asks it, and takes its mirror when it does not answer.
func (n *Node) openPostgres(ctx context.Context, sync []func() error) error {
	dsn, err := n.dsn()
	if err != nil {
		return err
	}
	s, err := postgres.New(postgres.Options{DSN: dsn, Sync: sync, Chain: n.chain, Clock: n.clock, Log: n.log, Registry: n.registry})
	if err != nil {
		return err
	}
	n.onStop("the database", func(context.Context) error { return s.Close() })
	n.db = &database{engine: s, late: s}
	n.db.keeper, err = mirror.NewKeeper(mirror.Options{
		FS: disk.OS{}, Dir: n.mirrorDir(), Node: n.opts.Node.Name, From: s, Refuse: n.refuse,
		Clock: n.clock, Log: n.log, Registry: n.registry,
	})
	if err != nil {
		return err
	}
	n.store = n.db.keeper.Watch(s)
	limited, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	trouble := n.enter(limited)
	if trouble == nil {
		return nil
	}
	n.db.start, err = mirror.Load(disk.OS{}, n.mirrorDir(), n.opts.Node.Name, n.clock())
	if err != nil {
		return fmt.Errorf("open the database: %w (and its mirror on this machine is of no help: %w)", trouble, err)
	}
	n.log.Error("the database does not answer; the doors open with its mirror", "of", n.db.start.At(), "behind", n.db.start.Behind(), "err", trouble)
	return nil
}

// mirrorDir is the folder of the database's mirror.
func (n *Node) mirrorDir() string { return filepath.Join(n.opts.Node.Data, mirrorFolder) }

// dsn returns what PostgreSQL is asked for, with the password.
func (n *Node) dsn() (string, error) {
	conf := n.opts.Node.Database
	if conf.Password.File == "" && conf.Password.Credential == "" {
		return conf.URL, nil
	}
	password, err := n.secret(conf.Password)
	if err != nil {
		return "", fmt.Errorf("read the database's password: %w", err)
	}
	u, err := url.Parse(conf.URL)
	if err != nil {
		return "", errors.New("the database's address cannot be read") // the error would show it
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// enter reaches the database and joins it for this run. It may be repeated.
func (n *Node) enter(ctx context.Context) error {
	if n.db.late != nil {
		if err := n.db.late.Open(ctx); err != nil {
			return err
		}
	}
	return n.join(ctx)
}

// join takes the node's lease.
func (n *Node) join(ctx context.Context) (err error) {
	n.joined = n.clock()
	if n.lease, err = n.store.Join(ctx, n.opts.Node.Name, n.joined); err != nil {
		return fmt.Errorf("join the database: %w", err)
	}
	return nil
}

// known is what the node starts from: the database, or its mirror.
func (n *Node) known() mirror.Directory {
	if n.db.start != nil {
		return n.db.start
	}
	return n.store
}

// refuse is asked before something in the directory changes. It knows at once that a server
// is not there.
func (n *Node) refuse() error {
	if err := n.db.engine.Ready(); unreachable(err) {
		return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicAway, Cause: err}
	}
	return nil
}

// publicAway says why something does not work that needs the database.
const publicAway = "the database does not answer"

// unreachable reports whether an error says that there is no server to ask. One that answers,
// but takes nothing, still tells what it has.
func unreachable(err error) bool {
	if err == nil {
		return false
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) || len(said.Code) < 2 {
		return true
	}
	switch said.Code[:2] {
	case "08", "28", "3D", "57": // connection, log-in, no such database, shutdown and starting up
		return true
	}
	return false
}

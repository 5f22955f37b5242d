package backup

import (
	"context"
	"errors"
	"path/filepath"

	"doppelboden"
	"doppelboden/ledger"
	"doppelboden/store"
	"doppelboden/store/postgres"
	"doppelboden/store/sqlite"
)

// Names within the keys' folder, as package setup has them.
const (
	masterKey = "master.key"
	ledgerKey = "ledger.key"
)

// A database is what a check asks of one.
type database interface {
	store.Drainer
	store.Ledger
	store.Versions
	store.Keys
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
	Close() error
}

// An opened is the database of a backup in the hands of this program.
type opened struct {
	database
	schema int
	drop   func() error // removes the copy; may be nil
}

// Close closes the copy and removes it.
func (o *opened) Close() error {
	err := o.database.Close()
	if o.drop != nil {
		err = errors.Join(err, o.drop())
	}
	return err
}

// open opens a copy of the backup's database, which brings its schema up to date. It
// returns nil and notes a fault when that cannot be done.
func (v *verifier) open(ctx context.Context) (*opened, error) {
	var db *opened
	var err error
	switch v.Manifest.Engine {
	case SQLite:
		db, err = v.openSQLite(ctx)
	case Postgres:
		db, err = v.openPostgres(ctx)
	default:
		return nil, refuse(doppelboden.Invalid, "this backup has a database of a kind that this program does not know (%s)", v.Manifest.Engine)
	}
	var no *Refusal
	if errors.As(err, &no) { // about how the check is made, and not about the backup
		return nil, err
	}
	if err != nil && ctx.Err() == nil {
		v.fault("the database cannot be opened by this program: %s", err)
		return nil, nil
	}
	return db, err
}

// openSQLite copies the database and opens the copy.
func (v *verifier) openSQLite(ctx context.Context) (*opened, error) {
	path := filepath.Join(v.work, "check.db")
	f, _ := v.Manifest.find(v.Manifest.file(sqliteFile))
	if err := copyOut(ctx, v.Dir, f, path); err != nil {
		return nil, err
	}
	rows, err := sqlite.Rows(ctx, path)
	if err != nil {
		return nil, err
	}
	v.compareRows(rows)
	start := v.Clock()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Chain: ledger.NewChain("check", start), Clock: v.Clock})
	if err != nil {
		return nil, err
	}
	v.Migrated = v.Clock().Sub(start).Seconds()
	if err := s.Check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &opened{database: s, schema: schema}, nil
}

// openPostgres puts the dump into a database of its own and opens that.
func (v *verifier) openPostgres(ctx context.Context) (*opened, error) {
	dsn, drop, err := v.scratch(ctx)
	if err != nil {
		return nil, err
	}
	db, err := v.openDump(ctx, dsn)
	if err != nil {
		return nil, errors.Join(err, drop())
	}
	db.drop = drop
	return db, nil
}

// scratch returns a database for the check and what clears it away.
func (v *verifier) scratch(ctx context.Context) (dsn string, drop func() error, err error) {
	whole := context.WithoutCancel(ctx)
	if v.Scratch != "" {
		if err := postgres.Vacant(ctx, v.Scratch); err != nil {
			return "", nil, refuse(doppelboden.Invalid, "the database of --scratch cannot be used: %s", err)
		}
		return v.Scratch, func() error { return postgres.Clear(whole, v.Scratch) }, nil
	}
	if v.Node == nil {
		return "", nil, refuse(doppelboden.Invalid, "this backup needs an empty PostgreSQL database for its check: name one with --scratch, or the node with --node")
	}
	own, err := v.DSN(v.Node)
	if err != nil {
		return "", nil, err
	}
	beside, dropping, err := postgres.Beside(ctx, own, v.Clock())
	if err != nil {
		return "", nil, refuse(doppelboden.Invalid, "no database for the check can be made beside the node's own: name an empty one with --scratch (%s)", err)
	}
	return beside, func() error { return dropping(whole) }, nil
}

// openDump restores the dump into an empty database and opens it.
func (v *verifier) openDump(ctx context.Context, dsn string) (*opened, error) {
	dump := filepath.Join(v.Dir, filepath.FromSlash(v.Manifest.file(postgresFile)))
	if err := postgres.Restore(ctx, dsn, dump); err != nil {
		return nil, err
	}
	rows, err := postgres.Rows(ctx, dsn)
	if err != nil {
		return nil, err
	}
	v.compareRows(rows)
	start := v.Clock()
	s, err := postgres.Open(ctx, postgres.Options{DSN: dsn, Chain: ledger.NewChain("check", start), Clock: v.Clock})
	if err != nil {
		return nil, err
	}
	v.Migrated = v.Clock().Sub(start).Seconds()
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &opened{database: s, schema: schema}, nil
}

// compareRows compares how many rows the tables have with what they had when they were
// copied.
func (v *verifier) compareRows(rows map[string]int64) {
	for _, table := range sorted(v.Manifest.Rows) {
		if has, had := rows[table], v.Manifest.Rows[table]; has != had {
			v.fault("the table %s has %s rows, and had %s", table, has, had)
		}
	}
}

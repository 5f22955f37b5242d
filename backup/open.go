package backup

import (
	"context"
	"errors"
	"path/filepath"

	"doppelboden"
	"doppelboden/ledger"
	"doppelboden/store"
	"doppelboden/store/sqlite"
)

// Names within the keys' folder, as package setup has them.
const (
	masterKey = "master.key"
	ledgerKey = "ledger.key"
)

// An opened is the database of a backup in the hands of this program.
type opened struct {
	store.Store
	schema int
	drop   func() error // removes the copy; may be nil
}

// Close closes the copy and removes it.
func (o *opened) Close() error {
	err := o.Store.Close()
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
	default:
		return nil, refuse(doppelboden.Invalid, "this backup has a database of a kind that this program does not know (%s)", v.Manifest.Engine)
	}
	if err != nil && ctx.Err() == nil {
		v.fault("the database cannot be opened by this program: %v", err)
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
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Chain: ledger.NewChain("check", v.Clock()), Clock: v.Clock})
	if err != nil {
		return nil, err
	}
	if err := s.Check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &opened{Store: s, schema: schema}, nil
}

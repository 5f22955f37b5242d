package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
	"doppelboden/store/postgres"
	"doppelboden/store/sqlite"
)

// A DSN says how to reach the PostgreSQL of a node, with the password.
type DSN func(n *city.Node) (string, error)

// Stopped returns the database of a node that does not run. Its Snapshot refuses one that
// does, and keeps it from starting meanwhile.
func Stopped(n *city.Node, dsn DSN) store.Snapshotter { return stopped{n, dsn} }

type stopped struct {
	node *city.Node
	dsn  DSN
}

// lifeFile is the lock that a running node holds; see package control.
const lifeFile = "control.lock"

// Snapshot implements store.Snapshotter.
func (s stopped) Snapshot(ctx context.Context, to string, moment func() error) (store.Snapshot, error) {
	lock, err := os.OpenFile(filepath.Join(s.node.Data, lifeFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("look whether the node runs: %w", err)
	}
	defer lock.Close()
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return store.Snapshot{}, refuse(doppelboden.Invalid, "the node runs, but does not answer: stop it, or wait until it answers")
	}
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("look whether the node runs: %w", err)
	}
	if !s.node.Database.Postgres() {
		return sqlite.Copy(ctx, filepath.Join(s.node.Data, databaseFile), to, moment)
	}
	dsn, err := s.dsn(s.node)
	if err != nil {
		return store.Snapshot{}, err
	}
	return postgres.Copy(ctx, dsn, to, moment)
}

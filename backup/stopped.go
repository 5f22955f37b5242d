package backup

import (
	"context"
	"path/filepath"

	"doppelboden/city"
	"doppelboden/store"
	"doppelboden/store/sqlite"
)

// Stopped returns the database of a node that does not run. Its Snapshot refuses one that
// does.
func Stopped(n *city.Node) store.Snapshotter { return stopped{n} }

type stopped struct{ node *city.Node }

// Snapshot implements store.Snapshotter.
func (s stopped) Snapshot(ctx context.Context, to string, moment func() error) (store.Snapshot, error) {
	return sqlite.Copy(ctx, filepath.Join(s.node.Data, databaseFile), to, moment)
}

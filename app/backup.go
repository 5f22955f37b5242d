package app

import (
	"context"
	"errors"

	"doppelboden/backup"
	"doppelboden/city"
	"doppelboden/store"
)

// A saver backs the node up. It fulfils control.Backups.
type saver struct{ n *Node }

// Backup implements control.Backups.
func (s saver) Backup(ctx context.Context, o backup.Options) (*backup.Made, error) {
	n := s.n
	database, ok := n.db.engine.(store.Snapshotter)
	if !ok {
		return nil, errors.New("this database cannot be copied")
	}
	return backup.Make(ctx, backup.Source{
		Node: n.opts.Node, Database: database, Signer: n.signer, Program: n.opts.Version, Clock: n.clock,
		Flush: n.flushTallies, Landing: n.landing.Files,
	}, o)
}

// DSN says how to reach the PostgreSQL of a node that does not run here, with the password.
func DSN(conf *city.Node) (string, error) { return (&Node{opts: Options{Node: conf}}).dsn() }

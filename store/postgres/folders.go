package postgres

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// errLater is the answer until PostgreSQL keeps folders.
var errLater = &doppelboden.Error{Code: doppelboden.Temporary, Public: "not built yet"}

func (s *Store) Folders(context.Context, doppelboden.TenantID, doppelboden.MailboxID) ([]store.Folder, error) {
	return nil, errLater
}
func (s *Store) PutFolder(context.Context, store.Folder) (store.Folder, error) {
	return store.Folder{}, errLater
}
func (s *Store) DropFolder(context.Context, store.Place, bool, time.Time) error { return errLater }
func (s *Store) Look(context.Context, store.Place) (store.Folder, error) {
	return store.Folder{}, errLater
}
func (s *Store) Shown(context.Context, store.Place, store.ShownFilter, func(store.Shown) error) error {
	return errLater
}
func (s *Store) Change(context.Context, []store.Change) ([][]store.Changed, error) {
	return nil, errLater
}
func (s *Store) Deeds(context.Context, store.DeedFilter, func(store.Deed) error) error {
	return errLater
}
func (s *Store) DeedCounts(context.Context) ([]store.DeedCount, error)         { return nil, errLater }
func (s *Store) Returned(context.Context, store.Lease, []store.Returned) error { return errLater }
func (s *Store) Renumber(context.Context, doppelboden.TenantID) error          { return errLater }

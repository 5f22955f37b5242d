package mirror

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Directory is what a mirror holds, as a store answers it; see package store.
type Directory interface {
	Tenants(ctx context.Context) ([]doppelboden.Tenant, error)
	Mailboxes(ctx context.Context, yield func(doppelboden.Mailbox) error) error
	Standings(ctx context.Context) ([]store.Standing, error)
	Listings(ctx context.Context) ([]store.Listing, error)
	Ways(ctx context.Context, yield func(store.Way) error) error
	Destinations(ctx context.Context, yield func(doppelboden.Destination) error) error
	TenantKeys(ctx context.Context) ([]store.TenantKey, error)
	Config(ctx context.Context, version int64) (store.ConfigVersion, error)
	Pinned(ctx context.Context, node string) (version int64, err error)
}

// A Snapshot is a mirror as it was read. It answers as the database did at that time, and
// never changes.
type Snapshot struct {
	rest      rest
	mailboxes []doppelboden.Mailbox
	behind    bool
}

var _ Directory = (*Snapshot)(nil)

// At returns when the database said what the mirror holds.
func (s *Snapshot) At() time.Time { return s.rest.At }

// Behind reports whether the database may know of a change that the mirror lacks, because
// one had begun, or because the mirror is old.
func (s *Snapshot) Behind() bool { return s.behind }

// Tenants implements Directory.
func (s *Snapshot) Tenants(context.Context) ([]doppelboden.Tenant, error) { return s.rest.Tenants, nil }

// Mailboxes implements Directory.
func (s *Snapshot) Mailboxes(_ context.Context, yield func(doppelboden.Mailbox) error) error {
	return each(s.mailboxes, yield)
}

// Standings implements Directory.
func (s *Snapshot) Standings(context.Context) ([]store.Standing, error) { return s.rest.Standings, nil }

// Listings implements Directory. While the mirror is behind, every tenant's list is being
// written: nobody knows what became of the last change.
func (s *Snapshot) Listings(context.Context) ([]store.Listing, error) {
	list := append([]store.Listing(nil), s.rest.Listings...)
	if s.behind {
		for _, t := range s.rest.Tenants {
			list = append(list, store.Listing{Tenant: t.ID, Tried: s.rest.At, Writing: true})
		}
	}
	return list, nil
}

// Ways implements Directory.
func (s *Snapshot) Ways(_ context.Context, yield func(store.Way) error) error {
	return each(s.rest.Ways, yield)
}

// Destinations implements Directory. It knows those of mailboxes alone.
func (s *Snapshot) Destinations(_ context.Context, yield func(doppelboden.Destination) error) error {
	return each(s.rest.Destinations, yield)
}

// TenantKeys implements Directory.
func (s *Snapshot) TenantKeys(context.Context) ([]store.TenantKey, error) { return s.rest.Keys, nil }

// Config implements Directory. It knows the version that the node ran alone. NotFound.
func (s *Snapshot) Config(_ context.Context, version int64) (store.ConfigVersion, error) {
	if version != 0 && version != s.rest.Config.Version {
		return store.ConfigVersion{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "the mirror has no such version of the configuration"}
	}
	return s.rest.Config, nil
}

// Pinned implements Directory.
func (s *Snapshot) Pinned(context.Context, string) (int64, error) { return s.rest.Config.Version, nil }

func each[T any](all []T, yield func(T) error) error {
	for _, one := range all {
		if err := yield(one); err != nil {
			return err
		}
	}
	return nil
}

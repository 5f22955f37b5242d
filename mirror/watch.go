package mirror

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Watch returns a store that tells the keeper of every change of what the mirror holds,
// and is s otherwise.
func (k *Keeper) Watch(s store.Store) store.Store { return &watched{s, k} }

// watched is a store whose changes a keeper hears of.
type watched struct {
	store.Store
	k *Keeper
}

// changing runs a change of the directory.
func changing[T any](k *Keeper, mailboxes bool, change func() (T, error)) (T, error) {
	err := k.opts.Refuse()
	if err == nil {
		err = k.begin(mailboxes)
	}
	if err != nil {
		var none T
		return none, err
	}
	defer k.end()
	return change()
}

// change runs one that gives nothing back.
func change(k *Keeper, mailboxes bool, do func() error) error {
	_, err := changing(k, mailboxes, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// PutTenants implements store.City.
func (w *watched) PutTenants(ctx context.Context, names []string) ([]doppelboden.Tenant, error) {
	return changing(w.k, false, func() ([]doppelboden.Tenant, error) { return w.Store.PutTenants(ctx, names) })
}

// PutMailboxes implements store.City.
func (w *watched) PutMailboxes(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error) {
	return changing(w.k, true, func() ([]doppelboden.Mailbox, error) { return w.Store.PutMailboxes(ctx, boxes) })
}

// PutListing implements store.Lists.
func (w *watched) PutListing(ctx context.Context, l store.Listing) error {
	return change(w.k, false, func() error { return w.Store.PutListing(ctx, l) })
}

// PutStanding implements store.Tenancy.
func (w *watched) PutStanding(ctx context.Context, s store.Standing) error {
	return change(w.k, false, func() error { return w.Store.PutStanding(ctx, s) })
}

// PutWays implements store.Ways.
func (w *watched) PutWays(ctx context.Context, ways []store.Way) error {
	return change(w.k, false, func() error { return w.Store.PutWays(ctx, ways) })
}

// Pin implements store.Versions.
func (w *watched) Pin(ctx context.Context, lease store.Lease, version int64) error {
	return change(w.k, false, func() error { return w.Store.Pin(ctx, lease, version) })
}

// PutTenantKey implements store.Keys.
func (w *watched) PutTenantKey(ctx context.Context, key store.TenantKey) error {
	return change(w.k, false, func() error { return w.Store.PutTenantKey(ctx, key) })
}

// DeleteTenantKey implements store.Keys.
func (w *watched) DeleteTenantKey(ctx context.Context, t doppelboden.TenantID, version int) error {
	return change(w.k, false, func() error { return w.Store.DeleteTenantKey(ctx, t, version) })
}

// Retire implements store.Lists.
func (w *watched) Retire(ctx context.Context, ids []doppelboden.MailboxID, at time.Time) error {
	return change(w.k, true, func() error { return w.Store.Retire(ctx, ids, at) })
}

package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	nonceSize = 12
	tagSize   = 16
	// wrappedSize is what a wrapped key takes: nonce, sealed key, tag.
	wrappedSize = nonceSize + keySize + tagSize
)

// A Ring holds the tenants' keys. Wrap and Unwrap may be called by any number of
// goroutines and wait for nobody; what changes keys takes turns.
type Ring struct {
	store store.Keys
	clock func() time.Time

	turn   sync.Mutex // held by what changes keys
	master Master

	// tenants is replaced, never changed, so that readers need no lock.
	tenants atomic.Pointer[map[doppelboden.TenantID]tenant]
}

// A tenant is the keys of one tenant.
type tenant struct {
	current  int // the newest version
	versions map[int]version
}

// A version is one key of a tenant.
type version struct {
	key  [keySize]byte
	aead cipher.AEAD
	row  store.TenantKey // as it was read or made; its wrapping may have changed since
}

// Open reads and unwraps all tenants' keys. The code is Invalid when one cannot be
// unwrapped with m: a ring that lacks keys would accept mail and fail to give it back.
func Open(ctx context.Context, m Master, keys store.Keys, clock func() time.Time) (*Ring, error) {
	rows, err := keys.TenantKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read tenants' keys: %w", err)
	}
	return OpenWith(m, keys, rows, clock)
}

// OpenWith is Open with rows that the store had at another time. While the store does not
// answer, the ring wraps and unwraps with them; Reload must follow when it does.
func OpenWith(m Master, keys store.Keys, rows []store.TenantKey, clock func() time.Time) (*Ring, error) {
	r := &Ring{store: keys, clock: clock, master: m}
	all := make(map[doppelboden.TenantID]tenant)
	for _, row := range rows {
		v, err := unwrapRow(m, row)
		if err != nil {
			return nil, err
		}
		all[row.Tenant] = all[row.Tenant].with(v)
	}
	r.tenants.Store(&all)
	return r, nil
}

// Reload joins what the ring knows with what the store has. A version that the store lacks
// is written there: the store may be older than the ring (it was restored), and body keys
// that were wrapped meanwhile must be opened for as long as their mails are kept. Where both
// have a version and the keys differ, the code is Invalid and nothing changes: one of them
// opens nothing any more, and only a person can tell which store is the right one. It may be
// repeated after any error.
func (r *Ring) Reload(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	rows, err := r.store.TenantKeys(ctx)
	if err != nil {
		return fmt.Errorf("read tenants' keys: %w", err)
	}
	all, stored := maps.Clone(*r.tenants.Load()), map[[2]int64]bool{}
	for _, row := range rows {
		v, err := unwrapRow(r.master, row)
		if err != nil {
			return err
		}
		if known, ok := all[row.Tenant].versions[row.Version]; ok && known.key != v.key {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the database has other keys than this node",
				Cause: fmt.Errorf("key %d of tenant %d differs", row.Version, row.Tenant)}
		}
		all[row.Tenant] = all[row.Tenant].with(v)
		stored[[2]int64{int64(row.Tenant), int64(row.Version)}] = true
	}
	for id, t := range all {
		for number, v := range t.versions {
			if stored[[2]int64{int64(id), int64(number)}] {
				continue
			}
			row, err := wrapRow(r.master, v.row, &v.key)
			if err != nil {
				return err
			}
			if err := r.store.PutTenantKey(ctx, row); err != nil {
				return fmt.Errorf("store key %d of tenant %d again: %w", number, id, err)
			}
		}
	}
	r.tenants.Store(&all)
	return nil
}

// with returns t with one version more.
func (t tenant) with(v version) tenant {
	versions := maps.Clone(t.versions)
	if versions == nil {
		versions = make(map[int]version)
	}
	versions[v.row.Version] = v
	return tenant{current: max(t.current, v.row.Version), versions: versions}
}

// set replaces what is known of one tenant. The caller holds turn.
func (r *Ring) set(id doppelboden.TenantID, t tenant) {
	all := maps.Clone(*r.tenants.Load())
	all[id] = t
	r.tenants.Store(&all)
}

// Ensure gives a first key to each of the tenants that has none. It may be repeated
// after any error: a key is used only when the store has clearly taken it.
func (r *Ring) Ensure(ctx context.Context, tenants []doppelboden.TenantID) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	for _, id := range tenants {
		if (*r.tenants.Load())[id].current > 0 {
			continue
		}
		if err := r.add(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// add makes a fresh key the newest version of a tenant. The caller holds turn.
func (r *Ring) add(ctx context.Context, id doppelboden.TenantID) error {
	t := (*r.tenants.Load())[id]
	var key [keySize]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	row := store.TenantKey{Tenant: id, Version: t.current + 1, At: r.clock()}
	row, err := wrapRow(r.master, row, &key)
	if err != nil {
		return err
	}
	if err := r.store.PutTenantKey(ctx, row); err != nil {
		return fmt.Errorf("store key %d of tenant %d: %w", row.Version, id, err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	r.set(id, t.with(version{key: key, aead: aead, row: row}))
	return nil
}

// Wrap wraps a body's key with the tenant's newest key and returns that key's version.
// It needs no disk. The code is NotFound for a tenant without a key: see Ensure.
func (r *Ring) Wrap(t doppelboden.TenantID, bodyKey *[32]byte) (wrapped []byte, version int, err error) {
	k := (*r.tenants.Load())[t]
	v, ok := k.versions[k.current]
	if !ok {
		return nil, 0, noKey(t, k.current)
	}
	bound := bodyBound(t)
	return seal(v.aead, bodyKey, bound[:]), k.current, nil
}

// Unwrap gives back the key that Wrap wrapped. The code is NotFound when the version
// does not exist, and Temporary when wrapped is not what Wrap returned for t.
func (r *Ring) Unwrap(t doppelboden.TenantID, version int, wrapped []byte) ([32]byte, error) {
	v, ok := (*r.tenants.Load())[t].versions[version]
	if !ok {
		return [32]byte{}, noKey(t, version)
	}
	bound := bodyBound(t)
	key, err := open(v.aead, wrapped, bound[:])
	if err != nil {
		return key, fmt.Errorf("unwrap body key with key %d of tenant %d: %w", version, t, err)
	}
	return key, nil
}

func noKey(t doppelboden.TenantID, version int) error {
	return &doppelboden.Error{Code: doppelboden.NotFound, Public: "no such key",
		Cause: fmt.Errorf("tenant %d has no key with version %d", t, version)}
}

// seal wraps key, and binds it to what it is for.
func seal(aead cipher.AEAD, key *[keySize]byte, bound []byte) []byte {
	out := make([]byte, nonceSize, wrappedSize)
	rand.Read(out) // never fails: crypto/rand ends the program instead
	return aead.Seal(out, out, key[:], bound)
}

// open unwraps what seal wrapped.
func open(aead cipher.AEAD, wrapped, bound []byte) (key [keySize]byte, err error) {
	if len(wrapped) != wrappedSize {
		return key, fmt.Errorf("a wrapped key has %d bytes, this has %d", wrappedSize, len(wrapped))
	}
	if _, err := aead.Open(key[:0], wrapped[:nonceSize], wrapped[nonceSize:], bound); err != nil {
		return [keySize]byte{}, fmt.Errorf("the wrapped key or what it belongs to was changed: %w", err)
	}
	return key, nil
}

// bodyBound is bound to a wrapped body key.
func bodyBound(t doppelboden.TenantID) [9]byte {
	b := [9]byte{'b'}
	binary.BigEndian.PutUint64(b[1:], uint64(t))
	return b
}

// tenantBound is bound to a wrapped tenant's key.
func tenantBound(t doppelboden.TenantID, version int) [17]byte {
	b := [17]byte{'t'}
	binary.BigEndian.PutUint64(b[1:], uint64(t))
	binary.BigEndian.PutUint64(b[9:], uint64(version))
	return b
}

// wrapRow wraps a tenant's key with the newest master key into row.
func wrapRow(m Master, row store.TenantKey, key *[keySize]byte) (store.TenantKey, error) {
	row.MasterVersion = m.Current()
	aead, ok := m.versions[row.MasterVersion]
	if !ok {
		return row, masterError(m.path, "no master key is loaded")
	}
	bound := tenantBound(row.Tenant, row.Version)
	row.Wrapped = seal(aead, key, bound[:])
	return row, nil
}

// unwrapRow gives back a tenant's key.
func unwrapRow(m Master, row store.TenantKey) (version, error) {
	aead, ok := m.versions[row.MasterVersion]
	if !ok {
		return version{}, masterError(m.path, "lacks version %d, which wraps key %d of tenant %d; restore the line from the safe",
			row.MasterVersion, row.Version, row.Tenant)
	}
	bound := tenantBound(row.Tenant, row.Version)
	key, err := open(aead, row.Wrapped, bound[:])
	if err != nil {
		return version{}, masterError(m.path, "version %d does not open key %d of tenant %d: %w",
			row.MasterVersion, row.Version, row.Tenant, err)
	}
	v := version{key: key, row: row}
	v.aead, err = newAEAD(key)
	return v, err
}

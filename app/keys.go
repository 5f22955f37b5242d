package app

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/keyring"
)

// A vault changes keys. It fulfils control.Keys.
type vault struct {
	n      *Node
	master sync.Mutex // held while the master key changes
	wishes chan *wish // to run; has room, so that who leaves at once was heard
}

// A wish asks run to begin now and to say how far it is.
type wish struct {
	tenant doppelboden.TenantID
	bodies atomic.Int64 // wrapped again so far
	done   chan error   // told once; has room
}

const (
	// finishEvery is how often run looks for old keys that nothing needs any more.
	finishEvery = time.Hour
	// tellEvery is how often a person who waits is told how far a change of keys is.
	tellEvery = 500 * time.Millisecond
)

func newVault(n *Node) *vault { return &vault{n: n, wishes: make(chan *wish, 16)} }

// rotation is how this node changes keys.
func (v *vault) rotation() keyring.Rotation {
	return keyring.Rotation{Grace: keyring.Grace, Guard: &v.n.moving}
}

// run ends changes of tenants' keys, also those that a crash or an error stopped, and
// removes old versions when nothing needs them any more.
func (v *vault) run(ctx context.Context) {
	ticker := time.NewTicker(finishEvery)
	defer ticker.Stop()
	v.finish(ctx, nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			v.finish(ctx, nil)
		case w := <-v.wishes:
			v.finish(ctx, w)
		}
	}
}

// finish does what run does once, for everybody or for a wish.
func (v *vault) finish(ctx context.Context, w *wish) {
	how := v.rotation()
	how.Progress = func(t doppelboden.TenantID, bodies int) {
		// What waits in memory must not be asked for with a key that will be gone.
		v.n.house.queue.Refresh()
		if w != nil && t == w.tenant {
			w.bodies.Add(int64(bodies))
		}
	}
	// What landed and is not in the database would keep the old key.
	err := v.n.landedFirst(ctx)
	if err == nil {
		err = v.n.accounts.Reseal(ctx)
	}
	if err == nil {
		err = slips{v.n}.reseal(ctx)
	}
	if err == nil {
		err = v.n.ring.Finish(ctx, how)
	}
	if err != nil && ctx.Err() == nil {
		v.n.log.Error("a change of keys stopped half-way and will go on", "err", err)
	}
	if w != nil {
		w.done <- err
	}
}

// Keys implements control.Keys.
func (v *vault) Keys(ctx context.Context) ([]control.Key, error) {
	master, err := keyring.LoadMaster(v.n.masterPath())
	if err != nil {
		return nil, err
	}
	var keys []control.Key
	for _, version := range master.Versions() {
		keys = append(keys, control.Key{Kind: control.MasterKey, Version: version, Current: version == master.Current()})
	}
	rows, err := v.n.store.TenantKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the tenants' keys: %w", err)
	}
	for i, row := range rows {
		name := v.n.house.Directory().TenantName(row.Tenant)
		if name == "" {
			name = fmt.Sprintf("#%d", row.Tenant)
		}
		keys = append(keys, control.Key{
			Kind: control.TenantKey, Tenant: name, Version: row.Version, Since: row.At, Master: row.MasterVersion,
			Current: i+1 == len(rows) || rows[i+1].Tenant != row.Tenant, // rows come by tenant and version
		})
	}
	return keys, nil
}

// Rotate implements control.Keys.
func (v *vault) Rotate(ctx context.Context, t doppelboden.Tenant, by string, progress func(bodies int64)) (control.Rotated, error) {
	did := control.Rotated{Kind: control.TenantKey, Tenant: t.Name}
	var err error
	// Who leaves now still gets the note: no change without one.
	whole := context.WithoutCancel(ctx)
	if did.Version, err = v.n.ring.Rotate(whole, t.ID); err != nil {
		return did, fmt.Errorf("make the new key: %w", err)
	}
	w := &wish{tenant: t.ID, done: make(chan error, 1)}
	select {
	case v.wishes <- w:
	default:
		select {
		case v.wishes <- w:
		case <-ctx.Done(): // those who wait before it have all tenants seen to
		}
	}
	if err := v.note(whole, by, "key of tenant "+t.Name); err != nil {
		return did, err
	}
	v.n.log.Info("a tenant has a new key", "tenant", t.Name, "version", did.Version, "by", by)
	err = w.wait(ctx, progress)
	did.Rewraps = w.bodies.Load()
	return did, err
}

// wait waits until the wish is fulfilled.
func (w *wish) wait(ctx context.Context, progress func(bodies int64)) error {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the new key is in use; the node goes on alone: %w", ctx.Err())
		case <-ticker.C:
			progress(w.bodies.Load())
		case err := <-w.done:
			if err != nil {
				return fmt.Errorf("the new key is in use; the node will go on to wrap the keys of mails again: %w", err)
			}
			progress(w.bodies.Load())
			return nil
		}
	}
}

// RotateMaster implements control.Keys. A file with more than one version says that a
// change has begun and not ended; the old ones are removed last, when the store needs
// only the newest. So a crash at any point leaves a file that opens every key, and the
// next call goes on from there.
func (v *vault) RotateMaster(ctx context.Context, by string) (control.Rotated, error) {
	v.master.Lock()
	defer v.master.Unlock()
	ctx = context.WithoutCancel(ctx)
	did := control.Rotated{Kind: control.MasterKey, File: v.n.masterPath()}
	begun, err := v.useMaster(ctx) // before anything changes: the file must open every key
	if err != nil {
		return did, err
	}
	if did.Resumed = len(begun.Versions()) > 1; !did.Resumed {
		if err := keyring.AddMaster(did.File); err != nil {
			return did, fmt.Errorf("write the new master key: %w", err)
		}
		if begun, err = v.useMaster(ctx); err != nil {
			return did, err
		}
	}
	did.Version = begun.Current()
	if err := v.note(ctx, by, "master key"); err != nil {
		return did, err
	}
	if v.n.db.keeper != nil {
		// Or a start without the database would find keys that nothing opens any more.
		if err := v.n.db.keeper.Write(ctx); err != nil {
			return did, fmt.Errorf("write the mirror with the new master key: %w", err)
		}
	}
	if err := keyring.PruneMaster(did.File); err != nil {
		return did, fmt.Errorf("remove the old master key: %w", err)
	}
	if _, err := v.useMaster(ctx); err != nil { // the node forgets the old one too
		return did, err
	}
	v.n.log.Info("the node has a new master key", "version", did.Version, "by", by)
	return did, nil
}

// useMaster makes the newest version in the file wrap all tenants' keys. It changes
// nothing when that is so already.
func (v *vault) useMaster(ctx context.Context) (keyring.Master, error) {
	m, err := keyring.LoadMaster(v.n.masterPath())
	if err != nil {
		return m, fmt.Errorf("load the master key: %w", err)
	}
	if err := v.n.ring.RotateMaster(ctx, m); err != nil {
		return m, fmt.Errorf("wrap the tenants' keys with the master key: %w", err)
	}
	return m, nil
}

// note writes into the ledger that a key was changed.
func (v *vault) note(ctx context.Context, by, what string) error {
	err := v.n.store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: v.n.clock(), By: by, Note: what + " changed by " + by})
	if err != nil {
		return fmt.Errorf("note the new key in the ledger: %w", err)
	}
	return nil
}

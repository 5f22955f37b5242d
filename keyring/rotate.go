package keyring

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"doppelboden"
)

const (
	// batch is how many body keys are wrapped again in one commit: a few milliseconds,
	// so that Accept hardly notices.
	batch = 500

	// Grace is how long a body key may be on its way from Wrap to the database. A door
	// gives a message up long before: RFC 5321, section 4.5.3.2.6, has a client wait 10
	// minutes for the answer to its final dot.
	Grace = time.Hour
)

// Rotation says how keys are changed.
type Rotation struct {
	// Grace is how long after its successor was made an old version is kept at least,
	// even when it wraps nothing any more; see the constant. 0 is right only while
	// nothing is accepted.
	Grace time.Duration
	// Guard is held from reading a batch of bodies to writing it back. Who else changes
	// where bodies lie or how they are wrapped (retention) must hold it too, or one of
	// the two overwrites what the other wrote. nil: nobody else does.
	Guard sync.Locker
	// Progress is told after each batch how many body keys of a tenant were wrapped
	// again. nil: nobody wants to know.
	Progress func(t doppelboden.TenantID, bodies int)
}

// Rotate gives a tenant a new key, which wraps what comes in from now on, and returns
// its version. What older versions wrap is left to Finish. It may be repeated after an
// error, but each call that got as far as the store makes a further version.
func (r *Ring) Rotate(ctx context.Context, t doppelboden.TenantID) (version int, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if (*r.tenants.Load())[t].current == 0 {
		return 0, noKey(t, 0)
	}
	if err := r.add(ctx, t); err != nil {
		return 0, err
	}
	return (*r.tenants.Load())[t].current, nil
}

// Finish wraps with each tenant's newest key what older versions wrap, in batches and
// without touching bodies, and deletes the versions that wrap nothing any more and
// whose Grace is over. It goes on where a crash or an error stopped a rotation, does
// nothing when there is nothing to do, and should run at the start and every hour.
func (r *Ring) Finish(ctx context.Context, o Rotation) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	for _, t := range slices.Sorted(maps.Keys(*r.tenants.Load())) {
		if err := r.finish(ctx, t, o); err != nil {
			return err
		}
	}
	return nil
}

// Versions returns the versions of a tenant's key, in order. More than one says that a
// rotation is not finished.
func (r *Ring) Versions(t doppelboden.TenantID) []int {
	return slices.Sorted(maps.Keys((*r.tenants.Load())[t].versions))
}

// finish does the work of Finish for one tenant. The caller holds turn.
func (r *Ring) finish(ctx context.Context, t doppelboden.TenantID, o Rotation) error {
	versions := r.Versions(t)
	for i, old := range versions[:max(len(versions)-1, 0)] {
		if err := r.rewrap(ctx, t, old, o); err != nil {
			return err
		}
		successor := (*r.tenants.Load())[t].versions[versions[i+1]]
		if r.clock().Sub(successor.row.At) < o.Grace {
			continue
		}
		// What came in during the Grace was wrapped again just now. The store refuses
		// while anything is left.
		if err := r.store.DeleteTenantKey(ctx, t, old); err != nil {
			return fmt.Errorf("delete key %d of tenant %d: %w", old, t, err)
		}
		k := (*r.tenants.Load())[t]
		rest := maps.Clone(k.versions)
		delete(rest, old)
		r.set(t, tenant{current: k.current, versions: rest})
	}
	return nil
}

// rewrap wraps with the newest key all body keys that version old wraps.
func (r *Ring) rewrap(ctx context.Context, t doppelboden.TenantID, old int, o Rotation) error {
	for {
		n, err := r.rewrapBatch(ctx, t, old, o.Guard)
		if err != nil {
			return fmt.Errorf("wrap body keys of tenant %d again: %w", t, err)
		}
		if n == 0 {
			return nil
		}
		if o.Progress != nil {
			o.Progress(t, n)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// rewrapBatch wraps some body keys again and returns how many.
func (r *Ring) rewrapBatch(ctx context.Context, t doppelboden.TenantID, old int, guard sync.Locker) (int, error) {
	if guard != nil {
		guard.Lock()
		defer guard.Unlock()
	}
	bodies, err := r.store.Bodies(ctx, t, old, batch)
	if err != nil || len(bodies) == 0 {
		return 0, err
	}
	for i := range bodies {
		b := &bodies[i].Body
		key, err := r.Unwrap(t, b.KeyVersion, b.Key)
		if err != nil {
			return 0, fmt.Errorf("message %v: %w", bodies[i].Message, err)
		}
		if b.Key, b.KeyVersion, err = r.Wrap(t, &key); err != nil {
			return 0, err
		}
	}
	return len(bodies), r.store.Rewrap(ctx, bodies)
}

// RotateMaster wraps all tenants' keys in the store with the newest version of m, and
// uses m from then on. m must still have every version that wraps a key now, so that a
// crash in between leaves nothing that m cannot open. It may be repeated after any
// error.
func (r *Ring) RotateMaster(ctx context.Context, m Master) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	// The store may hold a key that this ring does not know, after a commit whose
	// outcome was unknown. It must not be left behind: Open refuses what it cannot open.
	rows, err := r.store.TenantKeys(ctx)
	if err != nil {
		return fmt.Errorf("read tenants' keys: %w", err)
	}
	opened := make([]version, len(rows))
	for i, row := range rows {
		if opened[i], err = unwrapRow(m, row); err != nil {
			return fmt.Errorf("rotate master key: %w", err)
		}
	}
	r.master = m
	for _, v := range opened {
		if v.row.MasterVersion == m.Current() {
			continue
		}
		row, err := wrapRow(m, v.row, &v.key)
		if err != nil {
			return err
		}
		if err := r.store.PutTenantKey(ctx, row); err != nil {
			return fmt.Errorf("store key %d of tenant %d: %w", row.Version, row.Tenant, err)
		}
	}
	return nil
}

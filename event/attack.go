package event

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// Attack opens the event of an attack and returns it, or the one that lasts already. What
// is shut in attack mode is in the tenant's standing; the event is its story.
func (t *Tracker) Attack(ctx context.Context, tenant doppelboden.TenantID, by, why string) (Summary, error) {
	now := t.opts.Clock()
	t.mu.Lock()
	if e := t.attack(tenant); e != nil {
		s := t.summary(e)
		t.mu.Unlock()
		return s, nil
	}
	e := t.machine.newEpisode(store.Event{Tenant: tenant, Kind: store.Attack, Since: now, Why: why})
	e.step(store.EventStep{What: stepOpened, At: now, By: by, Note: why})
	t.mu.Unlock()
	return t.kept(ctx, e, fmt.Sprintf("attack mode %d is begun by %s", e.Number, by), by)
}

// attack returns the attack on a tenant that lasts, or nil. The caller holds t.mu.
func (t *Tracker) attack(tenant doppelboden.TenantID) *episode {
	for _, e := range t.machine.episodes {
		if e.Kind == store.Attack && e.Tenant == tenant && e.open() {
			return e
		}
	}
	return nil
}

// Released writes into the story of an attack which ways were opened again.
func (t *Tracker) Released(ctx context.Context, tenant doppelboden.TenantID, number int64, by, ways string) error {
	t.mu.Lock()
	e := t.find(tenant, number)
	if e == nil || !e.open() || e.Kind != store.Attack {
		t.mu.Unlock()
		return invalid("this is no attack that lasts")
	}
	e.step(store.EventStep{What: stepReleased, At: t.opts.Clock(), By: by, Note: ways})
	t.mu.Unlock()
	_, err := t.kept(ctx, e, fmt.Sprintf("attack mode %d: %s opened again by %s", number, ways, by), by)
	return err
}

// shut reports whether an attack still has ways shut, so that it cannot be closed.
func (t *Tracker) shut(e *episode) bool {
	return e.Kind == store.Attack && t.opts.Directory().Standing(e.Tenant).Shut != 0
}

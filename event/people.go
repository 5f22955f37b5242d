package event

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Plan is a maintenance that a person announces.
type Plan struct {
	Tenant doppelboden.TenantID
	Scope  store.EventScope
	Starts time.Time // zero: now
	Ends   time.Time
	Why    string
	By     string
}

func invalid(text string) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: text}
}

// Plan opens a maintenance and returns it. While it lasts, what its mailboxes suffer is
// part of it and no alarm. The code is Invalid when it makes no sense.
func (t *Tracker) Plan(ctx context.Context, p Plan) (Summary, error) {
	now := t.opts.Clock()
	if p.Starts.IsZero() || p.Starts.Before(now) {
		p.Starts = now
	}
	if !p.Ends.After(p.Starts) {
		return Summary{}, invalid("the maintenance ends before it begins")
	}
	if len(p.Scope.Routes)+len(p.Scope.Departments)+len(p.Scope.Buildings)+len(p.Scope.Mailboxes) == 0 {
		return Summary{}, invalid("say whom the maintenance is for")
	}
	t.mu.Lock()
	e := t.machine.newEpisode(store.Event{Tenant: p.Tenant, Kind: store.Maintenance, Scope: p.Scope, Since: p.Starts, Starts: p.Starts, Ends: p.Ends, Why: p.Why})
	e.step(store.EventStep{What: stepPlanned, At: now, By: p.By, Note: p.Why})
	t.machine.maintain(now)
	t.mu.Unlock()
	return t.kept(ctx, e, fmt.Sprintf("maintenance %d is planned by %s", e.Number, p.By), p.By)
}

// kept writes an event that a person changed, and notes that in the ledger.
func (t *Tracker) kept(ctx context.Context, e *episode, note, by string) (Summary, error) {
	if err := t.save(ctx); err != nil {
		return Summary{}, fmt.Errorf("write the event: %w", err)
	}
	t.mu.Lock()
	s, tenant := t.summary(e), e.Tenant
	t.mu.Unlock()
	err := t.opts.Store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: t.opts.Clock(), Tenant: tenant, By: by, Note: note})
	if err != nil {
		return s, fmt.Errorf("note the decision in the ledger: %w", err)
	}
	t.opts.Changed()
	return s, nil
}

// Note adds a person's words to the story of an event, also of one that has ended.
// NotFound.
func (t *Tracker) Note(ctx context.Context, tenant doppelboden.TenantID, number int64, by, text string) error {
	step := store.EventStep{What: stepNoted, At: t.opts.Clock(), By: by, Note: text}
	t.mu.Lock()
	lease := t.lease
	e := t.find(tenant, number)
	if e != nil {
		e.step(step)
	}
	t.mu.Unlock()
	if e != nil {
		return t.save(ctx)
	}
	c, err := t.opts.Store.Event(ctx, tenant, number)
	if err != nil {
		return err
	}
	step.N = len(c.Steps) + 1
	return t.opts.Store.PutEvent(ctx, lease, store.EventChange{Event: c.Event, Steps: []store.EventStep{step}})
}

// Close ends an event because a person says so. What fails after that is an outage again,
// when it has failed for long enough. The code is NotFound, or Invalid when it has ended.
func (t *Tracker) Close(ctx context.Context, tenant doppelboden.TenantID, number int64, by, note string) (Summary, error) {
	t.mu.Lock()
	e := t.find(tenant, number)
	if e == nil || !e.open() {
		t.mu.Unlock()
		if _, err := t.opts.Store.Event(ctx, tenant, number); err != nil {
			return Summary{}, err
		}
		return Summary{}, invalid("this event has ended already")
	}
	if t.shut(e) {
		t.mu.Unlock()
		return Summary{}, invalid("attack mode is left step by step: first open each way again with event release")
	}
	t.machine.dismiss(e, t.opts.Clock(), by, note)
	t.mu.Unlock()
	return t.kept(ctx, e, fmt.Sprintf("event %d is closed by %s", number, by), by)
}

// dismiss ends an event by a person's word: what was evidence before is none any more.
func (m *machine) dismiss(e *episode, now time.Time, by, note string) {
	for id := range e.members {
		if r := m.records[id]; r.failing() {
			delete(r.lane.failing, id)
			delete(m.records, id)
		}
	}
	if l := m.laneOf(e); l != nil {
		l.fails, l.busy = 0, time.Time{}
	}
	m.close(e, now, by, note)
}

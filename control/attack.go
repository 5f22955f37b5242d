package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/event"
	"doppelboden/store"
)

// Trust decides whether what a tenant's directory said lets people in; account.Room is one.
type Trust interface {
	// Distrust makes it void and returns how many sessions ended by that.
	Distrust(ctx context.Context, t doppelboden.TenantID, by string) (sessions int, err error)
	// Trust believes it again from now on.
	Trust(ctx context.Context, t doppelboden.TenantID, by string) error
}

// An Attack is what a person says who begins attack mode.
type Attack struct {
	Tenant string `json:"tenant,omitempty"`
	Why    string `json:"why,omitempty"`
}

// A Release opens a way again that attack mode had shut.
type Release struct {
	EventRef
	Way string `json:"way"` // directory, senders, handover or mirror
}

// An Attacked says how attack mode is now.
type Attacked struct {
	Event event.Summary `json:"event"`
	Shut  []string      `json:"shut"` // ways that are shut
}

// OpenAttack begins attack mode. It may be repeated: then everything is shut again.
func (c *Client) OpenAttack(ctx context.Context, a Attack) (Attacked, error) {
	var got Attacked
	err := c.post(ctx, "/events/attack", a, &got)
	return got, err
}

// ReleaseWay opens one way again.
func (c *Client) ReleaseWay(ctx context.Context, r Release) (Attacked, error) {
	var got Attacked
	err := c.post(ctx, "/events/release", r, &got)
	return got, err
}

// openAttack shuts first and tells the story afterwards: the order in which it may fail.
func (d *Desk) openAttack(ctx context.Context, c *call) (any, error) {
	var asked Attack
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	if err := oneLine(asked.Why); err != nil {
		return nil, err
	}
	tenant, err := theTenant(d.opts.House.Directory(), asked.Tenant)
	if err != nil {
		return nil, err
	}
	// Half of it is worse than an administrator who hangs up.
	ctx = context.WithoutCancel(ctx)
	if err := d.shut(ctx, tenant, c.by, func(store.Shut) store.Shut { return store.ShutAll }); err != nil {
		return nil, err
	}
	if err := d.believe(ctx, tenant, c.by, false); err != nil {
		return nil, fmt.Errorf("the ways are shut, but log-ins that came from the directory are not void yet: %w", err)
	}
	s, err := d.opts.Events.Attack(ctx, tenant, c.by, asked.Why)
	if err != nil {
		return nil, fmt.Errorf("the ways are shut, but the event is not written: %w", err)
	}
	d.opts.Log.WarnContext(ctx, "attack mode begins", "tenant", s.Tenant, "by", c.by)
	return Attacked{Event: s, Shut: store.ShutAll.Parts()}, nil
}

// release opens one way again.
func (d *Desk) release(ctx context.Context, c *call) (any, error) {
	var asked Release
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	way, ok := store.ShutNamed(asked.Way)
	if !ok {
		return nil, refuse("%s is none of the ways: %s", asked.Way, strings.Join(store.ShutAll.Parts(), ", "))
	}
	dir := d.opts.House.Directory()
	tenant, err := theTenant(dir, asked.Tenant)
	if err != nil {
		return nil, err
	}
	if !dir.Shut(tenant, way) {
		return nil, refuse("this way is open already: %s", asked.Way)
	}
	// Into the story first: what is open is known to have been opened by somebody.
	if err := d.opts.Events.Released(ctx, tenant, asked.Number, c.by, asked.Way); err != nil {
		return nil, err
	}
	if err := d.shut(ctx, tenant, c.by, func(was store.Shut) store.Shut { return was &^ way }); err != nil {
		return nil, err
	}
	d.opts.Log.WarnContext(ctx, "attack mode: a way is open again", "tenant", dir.TenantName(tenant), "way", asked.Way, "by", c.by)
	if way == store.ShutDirectory {
		if err := d.believe(ctx, tenant, c.by, true); err != nil {
			return nil, err
		}
	}
	s, err := d.opts.Events.Story(ctx, tenant, asked.Number)
	return Attacked{Event: s.Summary, Shut: d.opts.House.Directory().Standing(tenant).Shut.Parts()}, err
}

// believe says whether what a tenant's directory says lets people in.
func (d *Desk) believe(ctx context.Context, tenant doppelboden.TenantID, by string, again bool) error {
	switch {
	case d.opts.Trust == nil:
		return nil
	case again:
		return d.opts.Trust.Trust(ctx, tenant, by)
	}
	_, err := d.opts.Trust.Distrust(ctx, tenant, by)
	return err
}

// shut changes which ways of a tenant are shut, and makes doors and lanes know.
func (d *Desk) shut(ctx context.Context, tenant doppelboden.TenantID, by string, change func(store.Shut) store.Shut) error {
	d.change.Lock()
	defer d.change.Unlock()
	s := d.opts.House.Directory().Standing(tenant)
	s.Shut = change(s.Shut)
	if s.By == "" {
		s.By, s.At = by, d.opts.Clock()
	}
	if err := d.opts.Store.PutStanding(ctx, s); err != nil {
		return fmt.Errorf("write what is shut: %w", err)
	}
	return d.redecide(ctx)
}

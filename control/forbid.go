package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// refuseConfig refuses a configuration under which mail would lie where nothing gets it
// away, or would be lost.
func (d *Desk) refuseConfig(ctx context.Context, next *city.City) error {
	dir := d.opts.House.Directory()
	if err := d.refuseRemoved(ctx, dir, next); err != nil {
		return err
	}
	if err := refuseWays(dir, next); err != nil {
		return err
	}
	if err := d.refuseSeconds(ctx, dir, next); err != nil {
		return err
	}
	future := city.NewDirectory(next, dir.Tenants(), slices.Collect(dir.All())).Under(dir.Decided())
	return d.refuseLeaving(ctx, dir, future)
}

// refuseRemoved refuses a city without a tenant that has mailboxes, unless it is closed
// and nothing of it waits: mail for it would have nowhere to go.
func (d *Desk) refuseRemoved(ctx context.Context, dir *city.Directory, next *city.City) error {
	waiting, err := d.waiting(ctx)
	if err != nil {
		return err
	}
	for _, t := range dir.City().Tenants {
		if _, stays := next.Tenant(t.Name); stays {
			continue
		}
		id, _ := dir.TenantNamed(t.Name)
		switch {
		case waiting[id] > 0:
			return refuse("the tenant %s cannot be left out: %s deliveries of it wait. They are to be handed over or ended first. Was it renamed? A name stays for ever", t.Name, waiting[id])
		case mailboxesOf(dir, id) > 0 && dir.Standing(id).State != store.TenantClosed:
			return refuse("the tenant %s has mailboxes and cannot be left out before it is closed (doppelboden tenant close %s). Was it renamed? A name stays for ever", t.Name, t.Name)
		}
	}
	return nil
}

// refuseWays refuses a city without a route that somebody has moved mailboxes to.
func refuseWays(dir *city.Directory, next *city.City) error {
	type gone struct{ tenant, route string }
	lost := map[gone]int{}
	for _, w := range dir.Decided().Ways {
		t, ok := next.Tenant(dir.TenantName(w.Tenant))
		if !ok {
			continue
		}
		for _, name := range append([]string{w.Route}, w.Also...) {
			if _, ok := t.Named(name); name != "" && !ok {
				lost[gone{t.Name, name}]++
			}
		}
	}
	for g, n := range lost {
		return refuse("the route %s cannot be left out: %s mailboxes were moved to it. Move them first: doppelboden route list", g.tenant+"/"+g.route, n)
	}
	return nil
}

// refuseSeconds refuses a city without a route by which second deliveries wait.
func (d *Desk) refuseSeconds(ctx context.Context, dir *city.Directory, next *city.City) error {
	for _, to := range dir.Decided().Destinations {
		name := dir.TenantName(to.Tenant)
		t, ok := next.Tenant(name)
		if !ok {
			continue
		}
		if _, ok := t.Named(to.Route); ok {
			continue
		}
		waits, err := d.waitsIn(ctx, to.ID)
		if err != nil {
			return err
		}
		if waits {
			return refuse("the route %s cannot be left out: second deliveries of mailboxes wait for it. Let them go, or end them: doppelboden queue discard --route %s", name+"/"+to.Route, name+"/"+to.Route)
		}
	}
	return nil
}

// waitsIn reports whether anything is queued or held in a box.
func (d *Desk) waitsIn(ctx context.Context, b doppelboden.BoxID) (waits bool, err error) {
	for _, state := range []doppelboden.State{doppelboden.Queued, doppelboden.Held} {
		f := store.Filter{Box: b, States: []doppelboden.State{state}, Limit: 1}
		err := d.opts.Store.Deliveries(ctx, f, func(store.Item) error {
			waits = true
			return nil
		})
		if err != nil || waits {
			return waits, err
		}
	}
	return false, nil
}

// errFound ends a walk that has found what it looked for.
var errFound = errors.New("found")

// refuseLeaving refuses to send the mail of a mailbox to a groupware, or nowhere, when
// older mail of it lies only here: nothing carries that over yet, and retention would
// remove it.
func (d *Desk) refuseLeaving(ctx context.Context, dir, future *city.Directory) error {
	for m := range dir.All() {
		was, ok := dir.RouteOf(m.ID)
		if !ok || !was.Here {
			continue
		}
		if is, stays := future.RouteOf(m.ID); stays && is.Here {
			continue
		}
		err := d.opts.Store.Copies(ctx, m.Tenant, m.ID, func(doppelboden.Copy) error { return errFound })
		if errors.Is(err, errFound) {
			return refuse("mail of %s lies only here (route here) and cannot be carried to a groupware yet: its route must stay", m.Address)
		}
		if err != nil {
			return fmt.Errorf("look for mail that lies here: %w", err)
		}
	}
	return nil
}

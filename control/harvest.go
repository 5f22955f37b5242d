package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/harvest"
)

// Harvest keeps mailboxes filled; harvest.Room is one.
type Harvest interface {
	Coverage(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (harvest.Coverage, error)
	Coverages(ctx context.Context, t doppelboden.TenantID, boxes []doppelboden.MailboxID, yield func(doppelboden.MailboxID, harvest.Coverage) error) error
	Status() []harvest.RouteStatus
	Sync(m doppelboden.MailboxID)
	Confirm(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) error
}

// Covered says how complete a mailbox is, as commands show it.
type Covered struct {
	Address string `json:"address"`
	Tenant  string `json:"tenant"`
	harvest.Coverage
}

// Coverage yields how complete mailboxes are: the one with an address, or all of a tenant
// ("": of every one). It returns how the reading of routes' mailboxes goes.
func (c *Client) Coverage(ctx context.Context, address, tenant string, yield func(Covered) error) ([]harvest.RouteStatus, error) {
	var got []harvest.RouteStatus
	err := c.ask(ctx, "GET", "/mailboxes/coverage", url.Values{"address": {address}, "tenant": {tenant}}, nil, each(yield), &got)
	return got, err
}

// A SyncWish has a mailbox of the groupware read at once.
type SyncWish struct {
	Address string `json:"address"`
	Confirm bool   `json:"confirm"` // what vanished from it may be hidden, however much it is
}

// Sync has a mailbox read at once.
func (c *Client) Sync(ctx context.Context, w SyncWish) (Covered, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return Covered{}, fmt.Errorf("make the request: %w", err)
	}
	var got Covered
	err = c.ask(ctx, "POST", "/mailboxes/sync", url.Values{}, body, nil, &got)
	return got, err
}

// listCoverage says how complete mailboxes are.
func (d *Desk) listCoverage(ctx context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	tenant, err := tenantNamed(dir, c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	if address := c.query.Get("address"); address != "" {
		box, err := d.mailboxNamed(address)
		if err != nil {
			return nil, err
		}
		one, err := d.covered(ctx, box)
		if err != nil {
			return nil, err
		}
		return d.opts.Harvest.Status(), c.item(one)
	}
	boxes := map[doppelboden.TenantID][]doppelboden.Mailbox{}
	for m := range dir.All() {
		if m.Kind != doppelboden.List && m.Gone.IsZero() && (tenant == 0 || m.Tenant == tenant) {
			boxes[m.Tenant] = append(boxes[m.Tenant], m)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(boxes)) {
		if err := d.allCovered(ctx, c, t, boxes[t]); err != nil {
			return nil, err
		}
	}
	return d.opts.Harvest.Status(), nil
}

// allCovered yields how complete mailboxes of a tenant are, by address. To ask for each alone
// would take a city's list a minute.
func (d *Desk) allCovered(ctx context.Context, c *call, t doppelboden.TenantID, boxes []doppelboden.Mailbox) error {
	slices.SortFunc(boxes, func(a, b doppelboden.Mailbox) int { return strings.Compare(a.Address.Key(), b.Address.Key()) })
	ids, addresses := make([]doppelboden.MailboxID, len(boxes)), map[doppelboden.MailboxID]string{}
	for i, box := range boxes {
		ids[i], addresses[box.ID] = box.ID, box.Address.String()
	}
	name := d.opts.House.Directory().TenantName(t)
	return d.opts.Harvest.Coverages(ctx, t, ids, func(m doppelboden.MailboxID, got harvest.Coverage) error {
		return c.item(Covered{Address: addresses[m], Tenant: name, Coverage: got})
	})
}

// covered says how complete one mailbox is.
func (d *Desk) covered(ctx context.Context, box doppelboden.Mailbox) (Covered, error) {
	got, err := d.opts.Harvest.Coverage(ctx, box.Tenant, box.ID)
	return Covered{Address: box.Address.String(), Tenant: d.opts.House.Directory().TenantName(box.Tenant), Coverage: got}, err
}

// sync has a mailbox read before all others.
func (d *Desk) sync(ctx context.Context, c *call) (any, error) {
	var wish SyncWish
	if err := json.NewDecoder(c.body).Decode(&wish); err != nil {
		return nil, invalid("the request is not JSON")
	}
	box, err := d.mailboxNamed(wish.Address)
	if err != nil {
		return nil, err
	}
	one, err := d.covered(ctx, box)
	if err != nil {
		return nil, err
	}
	if one.Folders.Source != harvest.SourceSync {
		return nil, refuse("mailboxes of this route are not read: write sync = true in [tenant.route.imap]")
	}
	if wish.Confirm {
		return one, d.opts.Harvest.Confirm(ctx, box.Tenant, box.ID)
	}
	d.opts.Harvest.Sync(box.ID)
	return one, nil
}

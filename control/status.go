package control

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"doppelboden"
	"doppelboden/queue"
)

// A Status is what a node says of itself.
type Status struct {
	Node     string    `json:"node"`
	Site     string    `json:"site,omitempty"`
	Hostname string    `json:"hostname"`
	Version  string    `json:"version"`
	Roles    []string  `json:"roles"`
	Since    time.Time `json:"since"` // when it was ready
	Now      time.Time `json:"now"`

	Listeners map[string]string `json:"listeners"` // by name: "mx", "metrics"
	Config    int64             `json:"config"`    // version of city.toml
	ConfigBy  string            `json:"config_by"`
	ConfigAt  time.Time         `json:"config_at"`
	Mailboxes int               `json:"mailboxes"`

	// Refusing says why no mail is taken; empty: mail is taken.
	Refusing string `json:"refusing,omitempty"`

	Tenants []TenantStatus     `json:"tenants"`
	Routes  []queue.LaneStatus `json:"routes"`

	DiskFree  int64     `json:"disk_free_bytes"`
	DiskTotal int64     `json:"disk_total_bytes"`
	Knot      int64     `json:"knot"` // number of the last; 0: none yet
	KnotAt    time.Time `json:"knot_at,omitzero"`

	// Postmasters are addresses that must have a mailbox and have none.
	Postmasters []string            `json:"missing_postmasters,omitempty"`
	Alarms      []doppelboden.Alarm `json:"alarms"` // open ones
}

// A TenantStatus counts a tenant's deliveries.
type TenantStatus struct {
	Name   string           `json:"name"`
	Counts map[string]int64 `json:"deliveries"`      // by state
	Oldest time.Time        `json:"oldest,omitzero"` // of those that are queued or held
}

// Status asks for the node's.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.ask(ctx, "GET", "/status", url.Values{}, nil, nil, &s)
	return s, err
}

func (d *Desk) status(ctx context.Context, _ *call) (any, error) {
	node, house := d.opts.Node, d.opts.House
	dir := house.Directory()
	s := Status{
		Node: node.Name, Site: node.Site, Hostname: node.Hostname, Version: d.opts.Version,
		Since: d.opts.Started, Now: d.opts.Clock(),
		Listeners: house.Listeners(), Mailboxes: dir.Len(), Routes: d.opts.Queue.Status(),
		Alarms: []doppelboden.Alarm{},
	}
	for _, r := range node.Roles {
		s.Roles = append(s.Roles, string(r))
	}
	for _, a := range dir.Missing() {
		s.Postmasters = append(s.Postmasters, a.String())
	}
	if err := d.opts.Store.Ready(); err != nil {
		s.Refusing = doppelboden.PublicOf(err)
	}
	version, err := d.opts.Store.Config(ctx, 0)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		return nil, fmt.Errorf("read the configuration's version: %w", err)
	}
	s.Config, s.ConfigBy, s.ConfigAt = version.Version, version.By, version.At
	if s.DiskFree, s.DiskTotal, err = house.Space(); err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	return s, errors.Join(d.counts(ctx, &s), d.knot(ctx, &s), d.alarms(ctx, &s))
}

// counts fills in what waits and what has ended.
func (d *Desk) counts(ctx context.Context, s *Status) error {
	counts, err := d.opts.Store.Counts(ctx)
	if err != nil {
		return fmt.Errorf("count deliveries: %w", err)
	}
	dir := d.opts.House.Directory()
	place := map[doppelboden.TenantID]int{}
	for _, c := range counts {
		i, ok := place[c.Tenant]
		if !ok {
			i = len(s.Tenants)
			place[c.Tenant] = i
			s.Tenants = append(s.Tenants, TenantStatus{Name: dir.TenantName(c.Tenant), Counts: map[string]int64{}})
		}
		t := &s.Tenants[i]
		t.Counts[c.State.String()] += c.Deliveries
		if !c.State.Ended() && c.Deliveries > 0 && (t.Oldest.IsZero() || c.Oldest.Before(t.Oldest)) {
			t.Oldest = c.Oldest
		}
	}
	return nil
}

func (d *Desk) knot(ctx context.Context, s *Status) error {
	k, err := d.opts.Store.LastKnot(ctx)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		return fmt.Errorf("read the last knot: %w", err)
	}
	s.Knot, s.KnotAt = k.Number, k.At
	return nil
}

func (d *Desk) alarms(ctx context.Context, s *Status) error {
	err := d.opts.Store.Alarms(ctx, s.Now, func(a doppelboden.Alarm) error {
		if a.Until.IsZero() {
			s.Alarms = append(s.Alarms, a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the alarms: %w", err)
	}
	return nil
}

package control

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/event"
	"doppelboden/handback"
	"doppelboden/queue"
	"doppelboden/scan"
	"doppelboden/store"
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

	Listeners map[string]string `json:"listeners"` // by name, as in node.toml: "mx", "submission", "metrics"…
	Config    int64             `json:"config"`    // version of city.toml that the node runs
	ConfigBy  string            `json:"config_by"`
	ConfigAt  time.Time         `json:"config_at"`
	Newest    int64             `json:"config_newest"` // the newest version; another is in use only after a crash while it was applied
	Mailboxes int               `json:"mailboxes"`
	UsedHere  int               `json:"mailboxes_used_here,omitempty"` // of these, in emergency mode

	// Refusing says why no mail is taken; empty: mail is taken.
	Refusing string `json:"refusing,omitempty"`

	Events   []event.Summary `json:"events"` // those that last
	Database Database        `json:"database"`

	Tenants []TenantStatus     `json:"tenants"`
	Lists   []ListStatus       `json:"lists,omitempty"` // of directories
	Routes  []queue.LaneStatus `json:"routes"`

	Handback *handback.Status `json:"handback,omitempty"` // what people did that has not gone back

	Scanners  []scan.Status   `json:"scanners,omitempty"`
	Unscanned []UnscannedMail `json:"unscanned,omitempty"` // what waits for them

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
	State  string           `json:"state"` // open, paused or closed
	Stops  bool             `json:"hand_over_stops,omitempty"`
	Why    string           `json:"why,omitempty"` // for its state
	By     string           `json:"by,omitempty"`  // who decided it
	At     time.Time        `json:"at,omitzero"`
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
		Events: d.opts.Events.Open(), Alarms: []doppelboden.Alarm{},
	}
	if d.opts.Modes != nil {
		s.UsedHere = len(d.opts.Modes.All())
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
	s.Database = d.database()
	s.Alarms = append(s.Alarms, s.Database.Unsaved...)
	s.Config, s.Newest = house.Version(), house.Version()
	var err error
	if s.DiskFree, s.DiskTotal, err = house.Space(); err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	d.lists(&s)
	d.owed(&s)
	d.stored(ctx, &s)
	return s, nil
}

// configs fills in which version of the configuration the node runs.
func (d *Desk) configs(ctx context.Context, s *Status) error {
	used, err := d.opts.Store.Config(ctx, d.opts.House.Version())
	if err != nil {
		return fmt.Errorf("read the configuration's version: %w", err)
	}
	newest, err := d.opts.Store.Config(ctx, 0)
	if err != nil {
		return fmt.Errorf("read the configuration's newest version: %w", err)
	}
	s.Config, s.ConfigBy, s.ConfigAt, s.Newest = used.Version, used.By, used.At, newest.Version
	return nil
}

// counts fills in what waits and what has ended.
func (d *Desk) counts(ctx context.Context, s *Status) error {
	counts, err := d.opts.Store.Counts(ctx)
	if err != nil {
		return fmt.Errorf("count deliveries: %w", err)
	}
	d.standings(s, counts)
	return nil
}

// standings fills in the tenants, as they stand and with what is counted of them.
func (d *Desk) standings(s *Status, counts []store.Count) {
	dir := d.opts.House.Directory()
	place := map[doppelboden.TenantID]int{}
	of := func(id doppelboden.TenantID) *TenantStatus {
		i, ok := place[id]
		if !ok {
			i = len(s.Tenants)
			place[id] = i
			st := dir.Standing(id)
			s.Tenants = append(s.Tenants, TenantStatus{Name: dir.TenantName(id), State: string(st.State), Stops: st.Stops,
				Why: st.Why, By: st.By, At: st.At, Counts: map[string]int64{}})
			if s.Tenants[i].Name == "" { // it was left out of city.toml
				s.Tenants[i].Name = fmt.Sprintf("#%d", id)
			}
		}
		return &s.Tenants[i]
	}
	for _, t := range dir.Tenants() { // in their order; who takes no mail is shown also without any
		has := slices.ContainsFunc(counts, func(c store.Count) bool { return c.Tenant == t.ID })
		if has || dir.Standing(t.ID).State != store.TenantOpen {
			of(t.ID)
		}
	}
	for _, c := range counts {
		t := of(c.Tenant)
		t.Counts[c.State.String()] += c.Deliveries
		if !c.State.Ended() && c.Deliveries > 0 && (t.Oldest.IsZero() || c.Oldest.Before(t.Oldest)) {
			t.Oldest = c.Oldest
		}
	}
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
		known := func(b doppelboden.Alarm) bool { return b.Kind == a.Kind && b.Subject == a.Subject }
		if a.Until.IsZero() && !slices.ContainsFunc(s.Database.Unsaved, known) {
			s.Alarms = append(s.Alarms, a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the alarms: %w", err)
	}
	return nil
}

package control

import (
	"context"
	"encoding/json"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
)

// Replays hands over again what groupware has lost, and says what reading back has found.
type Replays interface {
	// Replay begins a replay and tells progress how many mailboxes are done, until it has
	// ended. When ctx ends before, the replay goes on, and the report is of a part.
	Replay(ctx context.Context, want mailbox.Replay, progress func(looked int64)) (mailbox.Report, error)
	// Reports returns the replays since the node was started, the newest last.
	Reports() []mailbox.Report
	// Stop ends the running replay. What it has handed over again stays so.
	Stop()
	// Reading returns how the reading back of every route goes.
	Reading() []mailbox.RouteStatus
}

// A ReplayWish is what a person wants handed over again.
type ReplayWish struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Tenant  string    `json:"tenant,omitempty"`
	Route   string    `json:"route,omitempty"`
	Mailbox string    `json:"mailbox,omitempty"` // an address
	Preview bool      `json:"preview,omitempty"`
	Deleted bool      `json:"deleted,omitempty"` // also what its owner has deleted
	Blind   bool      `json:"blind,omitempty"`   // also where nobody can look
	Yes     int64     `json:"yes,omitempty"`     // with Blind: how many deliveries of the period the preview told
}

// Replay has the node hand over again what was handed over in a period and is not there.
func (c *Client) Replay(ctx context.Context, w ReplayWish) (mailbox.Report, error) {
	var got mailbox.Report
	err := c.post(ctx, "/replay", w, &got)
	return got, err
}

// Replays yields the replays since the node was started, the newest last.
func (c *Client) Replays(ctx context.Context, yield func(mailbox.Report) error) error {
	return c.ask(ctx, "GET", "/replay", nil, nil, each(yield), new(struct{}))
}

// StopReplay ends the running replay.
func (c *Client) StopReplay(ctx context.Context) error {
	return c.post(ctx, "/replay/stop", struct{}{}, new(struct{}))
}

// Reading yields how the reading back of every route goes.
func (c *Client) Reading(ctx context.Context, yield func(mailbox.RouteStatus) error) error {
	return c.ask(ctx, "GET", "/readback", nil, nil, each(yield), new(struct{}))
}

// replays returns who replays, if this node hands mail over at all.
func (d *Desk) replays() (Replays, error) {
	if d.opts.Replays == nil {
		return nil, refuse("this node hands no mail over")
	}
	return d.opts.Replays, nil
}

func (d *Desk) replay(ctx context.Context, c *call) (any, error) {
	r, err := d.replays()
	if err != nil {
		return nil, err
	}
	var asked ReplayWish
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	want := mailbox.Replay{From: asked.From, To: asked.To, By: c.by, Blind: asked.Blind, Yes: asked.Yes, Removed: asked.Deleted, Preview: asked.Preview}
	dir := d.opts.House.Directory()
	if want.Tenant, err = tenantNamed(dir, asked.Tenant); err != nil {
		return nil, err
	}
	if asked.Route != "" {
		if want.Route, err = routeNamed(dir, asked.Route, asked.Tenant); err != nil {
			return nil, err
		}
	}
	if asked.Mailbox != "" {
		a, err := doppelboden.ParseAddress(asked.Mailbox)
		if err != nil {
			return nil, err
		}
		id, ok := dir.Holder(a)
		if m, _ := dir.Mailbox(id); !ok || want.Tenant != 0 && m.Tenant != want.Tenant {
			return nil, refuse("no mailbox has the address %s", a)
		}
		want.Mailbox = id
	}
	return r.Replay(ctx, want, func(looked int64) { c.progress(Progress{Step: "mailboxes", Done: looked}) })
}

func (d *Desk) listReplays(_ context.Context, c *call) (any, error) {
	r, err := d.replays()
	if err != nil {
		return nil, err
	}
	for _, one := range r.Reports() {
		if err := c.item(one); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

func (d *Desk) stopReplay(context.Context, *call) (any, error) {
	r, err := d.replays()
	if err != nil {
		return nil, err
	}
	r.Stop()
	return struct{}{}, nil
}

func (d *Desk) reading(_ context.Context, c *call) (any, error) {
	r, err := d.replays()
	if err != nil {
		return nil, err
	}
	known := map[string]mailbox.RouteStatus{}
	for _, one := range r.Reading() {
		known[one.Route] = one
	}
	// Routes into whose mailboxes nobody looks are told as well: nobody knows about them.
	for _, t := range d.opts.House.Directory().City().Tenants {
		for _, route := range t.Routes {
			if route.Here {
				continue
			}
			one, reads := known[route.Key()]
			one.Route, one.Reads = route.Key(), reads
			if err := c.item(one); err != nil {
				return nil, err
			}
		}
	}
	return struct{}{}, nil
}

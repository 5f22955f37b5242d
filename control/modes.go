package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"doppelboden"
	"doppelboden/folder"
	"doppelboden/store"
)

// Modes knows how mailboxes are used; folder.Modes is one.
type Modes interface {
	All() []store.Mode
	Set(ctx context.Context, ids []doppelboden.MailboxID, emergency bool, by string) (changed int, err error)
}

// A Mode says how a mailbox is used, as commands show it.
type Mode struct {
	Tenant  string    `json:"tenant"`
	Address string    `json:"address"`
	Mode    string    `json:"mode"`            // "emergency"; others are not shown
	By      string    `json:"by"`              // who or what said so
	At      time.Time `json:"at"`              // since when
	Event   int64     `json:"event,omitempty"` // the last event that concerned it
	Used    time.Time `json:"used,omitzero"`   // when it was last used here, some minutes exactly
}

// A ModeChange is what a person decides. Exactly one of Addresses, Department, From and All
// says which mailboxes.
type ModeChange struct {
	Move        // To, Also, Reset and Yes are not used
	Mode string `json:"mode"` // "normal" or "emergency"
}

// ModeChanged says what a ModeChange did.
type ModeChanged struct {
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

// Modes yields the mailboxes that are used here.
func (c *Client) Modes(ctx context.Context, tenant string, yield func(Mode) error) error {
	return c.ask(ctx, "GET", "/mailboxes/modes", url.Values{"tenant": {tenant}}, nil, each(yield), new(struct{}))
}

// SetMode decides how mailboxes are used: all that it names, or none.
func (c *Client) SetMode(ctx context.Context, m ModeChange) (ModeChanged, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return ModeChanged{}, fmt.Errorf("make the request: %w", err)
	}
	var got ModeChanged
	err = c.ask(ctx, "POST", "/mailboxes/modes", url.Values{}, body, nil, &got)
	return got, err
}

func (d *Desk) listModes(_ context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	tenant, err := tenantNamed(dir, c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	for _, m := range d.opts.Modes.All() {
		box, ok := dir.Mailbox(m.Mailbox)
		if !ok || tenant != 0 && m.Tenant != tenant {
			continue
		}
		shown := Mode{Tenant: dir.TenantName(m.Tenant), Address: box.Address.String(), Mode: folder.NameOf(m.Emergency), By: m.By, At: m.At, Event: m.Event, Used: m.Used}
		if err := c.item(shown); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// setMode says how mailboxes are used from now on.
func (d *Desk) setMode(ctx context.Context, c *call) (any, error) {
	var asked ModeChange
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	emergency := asked.Mode == folder.NameOf(true)
	if !emergency && asked.Mode != folder.NameOf(false) {
		return nil, refuse("the mode is emergency or normal")
	}
	chosen, err := chooseMailboxes(d.opts.House.Directory(), asked.Move)
	if err != nil {
		return nil, err
	}
	var ids []doppelboden.MailboxID
	for _, m := range chosen {
		if m.Kind != doppelboden.List {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil, refuse("there is no such mailbox")
	}
	n, err := d.opts.Modes.Set(ctx, ids, emergency, c.by)
	return ModeChanged{Changed: n, Unchanged: len(ids) - n}, err
}

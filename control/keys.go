package control

import (
	"context"
	"net/url"
	"time"

	"doppelboden"
)

// A Key is one version of a key, as commands show it. The key itself never leaves the
// node.
type Key struct {
	Kind    KeyKind   `json:"kind"`
	Tenant  string    `json:"tenant,omitempty"` // whose it is; "#7" for one that city.toml no longer names
	Version int       `json:"version"`          // from 1
	Current bool      `json:"current"`          // whether it wraps what is new
	Since   time.Time `json:"since,omitzero"`   // when it was made; unknown of master keys
	Master  int       `json:"master,omitempty"` // version of the master key that wraps a tenant's
}

// A KeyKind says what a key wraps.
type KeyKind string

const (
	// MasterKey wraps the tenants' keys.
	MasterKey KeyKind = "master"
	// TenantKey wraps the keys of a tenant's mails.
	TenantKey KeyKind = "tenant"
)

// Rotated says what a change of a key did.
type Rotated struct {
	Kind    KeyKind `json:"kind"`
	Tenant  string  `json:"tenant,omitempty"`
	Version int     `json:"version"`           // the new key's
	Rewraps int64   `json:"rewraps,omitempty"` // keys of mails that were wrapped again
	Resumed bool    `json:"resumed,omitempty"` // an earlier change was finished, no further key made
	File    string  `json:"file,omitempty"`    // of the master key, on the node's machine
}

// Keys yields every version of every key, the master key's first.
func (c *Client) Keys(ctx context.Context, yield func(Key) error) error {
	return c.ask(ctx, "GET", "/keys", url.Values{}, nil, each(yield), new(struct{}))
}

// RotateKey gives a tenant a new key and waits until the keys of all its mails are
// wrapped with it. The node goes on when ctx ends before.
func (c *Client) RotateKey(ctx context.Context, tenant string) (Rotated, error) {
	var r Rotated
	err := c.ask(ctx, "POST", "/keys/tenant", url.Values{"tenant": {tenant}}, nil, nil, &r)
	return r, err
}

// RotateMaster gives the node a new master key. It may be repeated after any error.
func (c *Client) RotateMaster(ctx context.Context) (Rotated, error) {
	var r Rotated
	err := c.ask(ctx, "POST", "/keys/master", url.Values{}, nil, nil, &r)
	return r, err
}

func (d *Desk) listKeys(ctx context.Context, c *call) (any, error) {
	keys, err := d.opts.Keys.Keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := c.item(k); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

func (d *Desk) rotateKey(ctx context.Context, c *call) (any, error) {
	name := c.query.Get("tenant")
	id, ok := d.opts.House.Directory().TenantNamed(name)
	if !ok {
		return nil, notFound("no tenant has this name")
	}
	return d.opts.Keys.Rotate(ctx, doppelboden.Tenant{ID: id, Name: name}, c.by, func(bodies int64) {
		c.progress(Progress{Step: "body keys", Done: bodies})
	})
}

func (d *Desk) rotateMaster(ctx context.Context, c *call) (any, error) {
	return d.opts.Keys.RotateMaster(ctx, c.by)
}

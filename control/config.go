package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// Planned is the answer to a plan, and to an application what it did.
type Planned struct {
	Version int64    `json:"version,omitempty"` // that is in use now; 0 when nothing was applied
	Changes []Change `json:"changes"`
	// Moves is how many mailboxes' mail goes another way or is no longer taken, of how
	// many there are.
	Moves     int `json:"moves"`
	Mailboxes int `json:"mailboxes"`
	// Confirm is Moves when that is more than the share that the configuration in use
	// allows without asking: then nothing is applied until somebody repeats the number.
	Confirm int `json:"confirm,omitempty"`
	// Dateless are the routes whose mailboxes cannot be reached by IMAP: what waited for long
	// arrives there as if it were new.
	Dateless []string `json:"routes_without_imap,omitempty"`
}

// A Version is one version of the configuration.
type Version struct {
	Version int64     `json:"version"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	InUse   bool      `json:"in_use,omitempty"`
	Again   int64     `json:"again,omitempty"` // the older version that it brought back
	Changes []Change  `json:"changes"`         // as they were when it was applied
	Text    string    `json:"text,omitempty"`  // city.toml; not in a history
}

// PlanConfig has a city.toml compared with the one in use. Mistakes come as
// city.Mistakes.
func (c *Client) PlanConfig(ctx context.Context, name string, text []byte) (Planned, error) {
	var p Planned
	err := c.ask(ctx, "POST", "/config/plan", url.Values{"name": {name}}, text, nil, &p)
	return p, err
}

// ApplyConfig makes a city.toml the one in use. yes repeats Planned.Confirm. Mistakes come
// as city.Mistakes, and nothing changes.
func (c *Client) ApplyConfig(ctx context.Context, name string, text []byte, yes int) (Planned, error) {
	var p Planned
	err := c.ask(ctx, "POST", "/config/apply", url.Values{"name": {name}, "yes": {strconv.Itoa(yes)}}, text, nil, &p)
	return p, err
}

// RollBackConfig applies the text of an older version as a new one. apply false only plans.
func (c *Client) RollBackConfig(ctx context.Context, version int64, yes int, apply bool) (Planned, error) {
	var p Planned
	q := url.Values{"version": {strconv.FormatInt(version, 10)}, "yes": {strconv.Itoa(yes)}}
	path := "/config/plan"
	if apply {
		path = "/config/apply"
	}
	err := c.ask(ctx, "POST", path, q, nil, nil, &p)
	return p, err
}

// ConfigHistory yields the versions of the configuration, the newest first.
func (c *Client) ConfigHistory(ctx context.Context, yield func(Version) error) error {
	return c.ask(ctx, "GET", "/config/history", url.Values{}, nil, each(yield), new(struct{}))
}

// ConfigText returns a version with its text; 0 asks for the one in use.
func (c *Client) ConfigText(ctx context.Context, version int64) (Version, error) {
	var v Version
	err := c.ask(ctx, "GET", "/config/text", url.Values{"version": {strconv.FormatInt(version, 10)}}, nil, nil, &v)
	return v, err
}

// A proposal is a configuration that somebody wants to use.
type proposal struct {
	text    []byte
	again   int64 // the version that it comes from, or 0
	city    *city.City
	planned Planned
}

func (d *Desk) planConfig(ctx context.Context, c *call) (any, error) {
	p, err := d.propose(ctx, c)
	return p.planned, err
}

// propose reads what a call proposes, a text or an older version, and compares it with
// the configuration in use.
func (d *Desk) propose(ctx context.Context, c *call) (p proposal, err error) {
	name := c.query.Get("name")
	if number := c.query.Get("version"); number != "" {
		if p.again, err = strconv.ParseInt(number, 10, 64); err != nil || p.again < 1 {
			return p, refuse("a version is a number from 1")
		}
		old, err := d.opts.Store.Config(ctx, p.again)
		if doppelboden.CodeOf(err) == doppelboden.NotFound {
			return p, refuse("there is no version %s of the configuration", p.again)
		}
		if err != nil {
			return p, fmt.Errorf("read the older version: %w", err)
		}
		name, p.text = fmt.Sprintf("version %d of city.toml", p.again), old.Text
	} else if p.text, err = io.ReadAll(c.body); err != nil {
		return p, fmt.Errorf("read the configuration: %w", err)
	}
	if p.city, err = city.Parse(name, p.text); err != nil {
		return p, err
	}
	if err := d.refuseConfig(ctx, p.city); err != nil {
		return p, err
	}
	used, err := d.opts.Store.Config(ctx, d.opts.House.Version())
	if err != nil {
		return p, fmt.Errorf("read the configuration in use: %w", err)
	}
	p.planned = plan(d.opts.House.Directory(), p.city, used.Text, p.text)
	return p, nil
}

func (d *Desk) applyConfig(ctx context.Context, c *call) (any, error) {
	d.change.Lock()
	defer d.change.Unlock()
	p, err := d.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if yes, _ := strconv.Atoi(c.query.Get("yes")); p.planned.Confirm != 0 && yes != p.planned.Confirm {
		return p.planned, nil
	}
	p.planned.Confirm = 0
	used, err := d.opts.Store.Config(ctx, d.opts.House.Version())
	if err != nil {
		return nil, fmt.Errorf("read the configuration in use: %w", err)
	}
	if bytes.Equal(used.Text, p.text) {
		// The files that it names may be others than before, such as passwords.
		if err := d.opts.House.Install(ctx, d.opts.House.Directory()); err != nil {
			return nil, fmt.Errorf("use the configuration: %w", err)
		}
		p.planned.Version = used.Version
		return p.planned, nil
	}
	if p.planned.Version, err = d.install(ctx, p, c.by); err != nil {
		return nil, err
	}
	d.opts.Log.InfoContext(ctx, "configuration applied", "version", p.planned.Version, "by", c.by, "again", p.again,
		"changes", len(p.planned.Changes), "moves", p.planned.Moves)
	return p.planned, nil
}

// install writes the version, notes it in the ledger, makes the node use it and pins it.
// After a crash in between, the node starts with the version that it ran before; status
// says that a newer one is not in use, and applying it once more ends what was begun.
func (d *Desk) install(ctx context.Context, p proposal, by string) (int64, error) {
	changes, err := json.Marshal(p.planned.Changes)
	if err != nil {
		return 0, fmt.Errorf("write down the changes: %w", err)
	}
	tenants, err := d.opts.Store.PutTenants(ctx, p.city.Names())
	if err != nil {
		return 0, fmt.Errorf("write the tenants: %w", err)
	}
	if err := d.opts.House.Prepare(ctx, tenants); err != nil {
		return 0, fmt.Errorf("prepare the tenants: %w", err)
	}
	now := d.opts.Clock()
	version, err := d.opts.Store.PutConfig(ctx, store.ConfigVersion{Text: p.text, By: by, At: now, Changes: changes, Again: p.again})
	if err != nil {
		return 0, fmt.Errorf("write the configuration: %w", err)
	}
	note := fmt.Sprintf("version %d of city.toml by %s", version, by)
	if err := d.opts.Store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: now, By: by, Note: note}); err != nil {
		return version, fmt.Errorf("note the configuration in the ledger: %w", err)
	}
	dir := d.opts.House.Directory()
	boxes := slices.Collect(dir.All())
	if err := d.opts.House.Install(ctx, city.NewDirectory(p.city, tenants, boxes).Under(dir.Decided())); err != nil {
		return version, fmt.Errorf("use the configuration: %w", err)
	}
	if err := d.opts.House.Pin(ctx, version); err != nil {
		return version, fmt.Errorf("note that the node uses the configuration: %w", err)
	}
	return version, nil
}

func (d *Desk) configHistory(ctx context.Context, c *call) (any, error) {
	var all []Version // not under the store's lock while a terminal reads
	err := d.opts.Store.Configs(ctx, func(v store.ConfigVersion) error {
		one, err := d.version(v)
		all = append(all, one)
		return err
	})
	for _, v := range all {
		if err == nil {
			err = c.item(v)
		}
	}
	return struct{}{}, err
}

// version returns a version as commands show it, without its text.
func (d *Desk) version(v store.ConfigVersion) (Version, error) {
	one := Version{Version: v.Version, By: v.By, At: v.At, Again: v.Again, InUse: v.Version == d.opts.House.Version(), Changes: []Change{}}
	if v.Changes != nil {
		if err := json.Unmarshal(v.Changes, &one.Changes); err != nil {
			return one, fmt.Errorf("read what version %d changed: %w", v.Version, err)
		}
	}
	return one, nil
}

func (d *Desk) configText(ctx context.Context, c *call) (any, error) {
	number, err := strconv.ParseInt(c.query.Get("version"), 10, 64)
	if err != nil || number < 0 {
		return nil, refuse("a version is a number from 1")
	}
	if number == 0 {
		number = d.opts.House.Version()
	}
	v, err := d.opts.Store.Config(ctx, number)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return nil, refuse("there is no version %s of the configuration", number)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	one, err := d.version(v)
	one.Text = string(v.Text)
	return one, err
}

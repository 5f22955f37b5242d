package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"

	"doppelboden"
	"doppelboden/city"
)

// A Mailbox is a mailbox as commands show it and add it.
type Mailbox struct {
	ID         int64    `json:"id,omitempty"` // given by the node
	Tenant     string   `json:"tenant,omitempty"`
	Address    string   `json:"address"`
	Name       string   `json:"name,omitempty"`
	Kind       string   `json:"kind"` // person or function
	Department string   `json:"department,omitempty"`
	Priority   int      `json:"priority"` // 0 to 9
	Aliases    []string `json:"aliases,omitempty"`
	Route      string   `json:"route,omitempty"` // tenant/name
}

// Imported says what an import did.
type Imported struct {
	Mailboxes int    `json:"mailboxes"`
	New       int    `json:"new"`
	Encoding  string `json:"encoding"`
	Separator string `json:"separator"`
}

// AddMailbox adds a mailbox, or changes the one with this address.
func (c *Client) AddMailbox(ctx context.Context, m Mailbox) (Mailbox, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return m, fmt.Errorf("make the request: %w", err)
	}
	var got Mailbox
	err = c.ask(ctx, "POST", "/mailboxes", url.Values{}, body, nil, &got)
	return got, err
}

// ImportMailboxes adds or changes all mailboxes of a list, or none. name is for the
// mistakes, which come as city.Mistakes.
func (c *Client) ImportMailboxes(ctx context.Context, name string, list []byte) (Imported, error) {
	var got Imported
	err := c.ask(ctx, "POST", "/mailboxes/import", url.Values{"name": {name}}, list, nil, &got)
	return got, err
}

// Mailboxes yields all mailboxes, by ID.
func (c *Client) Mailboxes(ctx context.Context, yield func(Mailbox) error) error {
	return c.ask(ctx, "GET", "/mailboxes", url.Values{}, nil, each(yield), new(struct{}))
}

func (d *Desk) listMailboxes(ctx context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	err := d.opts.Store.Mailboxes(ctx, func(m doppelboden.Mailbox) error { return c.item(present(dir, m)) })
	return struct{}{}, err
}

// present returns a mailbox as commands show it.
func present(dir *city.Directory, m doppelboden.Mailbox) Mailbox {
	p := Mailbox{ID: int64(m.ID), Tenant: dir.TenantName(m.Tenant), Address: m.Address.String(), Name: m.Name,
		Kind: string(m.Kind), Department: m.Department, Priority: m.Priority, Route: route(dir, m.ID)}
	for _, a := range m.Aliases {
		p.Aliases = append(p.Aliases, a.String())
	}
	return p
}

func (d *Desk) addMailbox(ctx context.Context, c *call) (any, error) {
	var asked Mailbox
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	d.change.Lock()
	defer d.change.Unlock()
	m, err := checked(d.opts.House.Directory(), asked)
	if err != nil {
		return nil, err
	}
	boxes, err := d.put(ctx, []doppelboden.Mailbox{m})
	if err != nil {
		return nil, err
	}
	return present(d.opts.House.Directory(), boxes[0]), nil
}

// checked returns the mailbox that a person asked for.
func checked(dir *city.Directory, asked Mailbox) (doppelboden.Mailbox, error) {
	m := doppelboden.Mailbox{Name: asked.Name, Kind: doppelboden.MailboxKind(asked.Kind), Department: asked.Department, Priority: asked.Priority}
	var err error
	if m.Address, err = doppelboden.ParseAddress(asked.Address); err != nil {
		return m, err
	}
	var ok bool
	if m.Tenant, ok = dir.TenantOf(m.Address.Domain); !ok {
		return m, invalid(m.Address.Domain + " is no domain of this installation; add it to city.toml first")
	}
	for _, s := range asked.Aliases {
		a, err := doppelboden.ParseAddress(s)
		if err != nil {
			return m, err
		}
		if t, ok := dir.TenantOf(a.Domain); !ok || t != m.Tenant {
			return m, invalid("the alias " + a.String() + " is not in a domain of the mailbox's tenant")
		}
		if a.Key() != m.Address.Key() {
			m.Aliases = append(m.Aliases, a)
		}
	}
	if m.Kind != doppelboden.Person && m.Kind != doppelboden.Function {
		return m, invalid("the kind is person or function")
	}
	if m.Priority < 0 || m.Priority > 9 {
		return m, invalid("the priority is 0 to 9")
	}
	for _, words := range []string{m.Name, m.Department} {
		if problem := city.BadWords(words); !problem.IsZero() {
			return m, invalid("the name or department " + problem.String())
		}
	}
	return m, nil
}

// put writes mailboxes and lets the doors know them. The caller holds d.change.
func (d *Desk) put(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error) {
	boxes, err := d.opts.Store.PutMailboxes(ctx, boxes)
	if err != nil {
		return nil, fmt.Errorf("write the mailboxes: %w", err)
	}
	if err := d.opts.House.Install(ctx, d.opts.House.Directory().With(boxes)); err != nil {
		return nil, fmt.Errorf("let the doors know the mailboxes: %w", err)
	}
	return boxes, nil
}

func (d *Desk) importMailboxes(ctx context.Context, c *call) (any, error) {
	text, err := io.ReadAll(c.body)
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	d.change.Lock()
	defer d.change.Unlock()
	dir := d.opts.House.Directory()
	list, err := city.ParseCSV(c.query.Get("name"), text, dir.TenantOf)
	if err != nil {
		return nil, err
	}
	c.progress(Progress{Step: "mailboxes", Done: int64(len(list.Mailboxes))})
	before := dir.Len()
	// One commit: a list that breaks off in the middle would refuse people's mail.
	if _, err := d.put(ctx, slices.Clone(list.Mailboxes)); err != nil {
		return nil, err
	}
	after := d.opts.House.Directory().Len()
	return Imported{Mailboxes: len(list.Mailboxes), New: after - before, Encoding: list.Encoding, Separator: list.Separator}, nil
}

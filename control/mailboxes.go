package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"doppelboden"
	"doppelboden/city"
)

// A Mailbox is a mailbox as commands show it and add it.
type Mailbox struct {
	ID         int64    `json:"id,omitempty"` // given by the node
	Tenant     string   `json:"tenant,omitempty"`
	Address    string   `json:"address"`
	Name       string   `json:"name,omitempty"`
	Kind       string   `json:"kind"` // person, function or list
	Department string   `json:"department,omitempty"`
	Building   string   `json:"building,omitempty"`
	Phone      string   `json:"phone,omitempty"`
	Priority   int      `json:"priority"` // 0 to 9, its own
	Aliases    []string `json:"aliases,omitempty"`
	Members    []string `json:"members,omitempty"` // of a list; of a function: the people to whom it belongs
	Closed     bool     `json:"closed,omitempty"`  // the list takes no mail from strangers
	Route      string   `json:"route,omitempty"`   // tenant/name; none of a list

	Rank      int       `json:"rank,omitempty"`      // the priority that counts, when its department gives it another
	Directory string    `json:"directory,omitempty"` // that lists it; empty when people added it
	Gone      time.Time `json:"gone,omitzero"`       // since when it takes no mail any more
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

// ImportMailboxes adds or changes all mailboxes of a list. A list with mistakes, which come
// as city.Mistakes, changes nothing. name is for them.
func (c *Client) ImportMailboxes(ctx context.Context, name string, list []byte) (Imported, error) {
	var got Imported
	err := c.ask(ctx, "POST", "/mailboxes/import", url.Values{"name": {name}}, list, nil, &got)
	return got, err
}

// Mailboxes yields the mailboxes and lists of a tenant, or of all, by ID, also those that
// are gone.
func (c *Client) Mailboxes(ctx context.Context, tenant string, yield func(Mailbox) error) error {
	return c.ask(ctx, "GET", "/mailboxes", url.Values{"tenant": {tenant}}, nil, each(yield), new(struct{}))
}

func (d *Desk) listMailboxes(ctx context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	tenant, err := tenantNamed(dir, c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	err = d.opts.Store.Mailboxes(ctx, func(m doppelboden.Mailbox) error {
		if tenant != 0 && m.Tenant != tenant {
			return nil
		}
		return c.item(present(dir, m))
	})
	return struct{}{}, err
}

// present returns a mailbox as commands show it.
func present(dir *city.Directory, m doppelboden.Mailbox) Mailbox {
	p := Mailbox{ID: int64(m.ID), Tenant: dir.TenantName(m.Tenant), Address: m.Address.String(), Name: m.Name,
		Kind: string(m.Kind), Department: m.Department, Building: m.Building, Phone: string(m.Phone), Priority: m.Priority, Route: route(dir, doppelboden.BoxID(m.ID))}
	p.Directory, p.Gone, p.Closed = m.Source, m.Gone, m.Closed
	if rank := dir.PriorityOf(m.ID); rank != m.Priority {
		p.Rank = rank
	}
	if m.Kind == doppelboden.List {
		p.Route = ""
	}
	for _, a := range m.Aliases {
		p.Aliases = append(p.Aliases, a.String())
	}
	for _, a := range m.Members {
		p.Members = append(p.Members, a.String())
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
	m := doppelboden.Mailbox{Name: asked.Name, Kind: doppelboden.MailboxKind(asked.Kind), Department: asked.Department,
		Building: asked.Building, Priority: asked.Priority}
	var err error
	if m.Address, err = doppelboden.ParseAddress(asked.Address); err != nil {
		return m, err
	}
	if asked.Phone != "" {
		if m.Phone, err = doppelboden.ParsePhone(asked.Phone); err != nil {
			return m, err
		}
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
	if err := checkKind(&m, asked.Members, asked.Closed); err != nil {
		return m, err
	}
	if m.Priority < 0 || m.Priority > 9 {
		return m, invalid("the priority is 0 to 9")
	}
	for _, words := range []string{m.Name, m.Department, m.Building} {
		if problem := city.BadWords(words); !problem.IsZero() {
			return m, invalid("the name, department or building " + problem.String())
		}
	}
	return m, nil
}

// checkKind checks what differs between mailboxes and lists.
func checkKind(m *doppelboden.Mailbox, members []string, closed bool) error {
	switch m.Kind {
	case doppelboden.List:
		m.Closed = closed
		if len(members) == 0 {
			return invalid("a list needs members")
		}
	case doppelboden.Person, doppelboden.Function:
		if closed || len(members) > 0 && m.Kind == doppelboden.Person {
			return invalid("a person has no members")
		}
	default:
		return invalid("the kind is person, function or list")
	}
	for _, s := range members {
		a, err := doppelboden.ParseAddress(s)
		if err != nil {
			return err
		}
		m.Members = append(m.Members, a)
	}
	return nil
}

// owned returns a mailbox with what a directory says of it besides: that stays as it is
// when people change the rest, until the directory is read again.
func owned(dir *city.Directory, m doppelboden.Mailbox) doppelboden.Mailbox {
	if id, ok := dir.Holder(m.Address); ok {
		was, _ := dir.Mailbox(id)
		m.Source, m.External = was.Source, was.External
	}
	return m
}

// put writes mailboxes and lets the doors know them. The caller holds d.change.
func (d *Desk) put(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error) {
	for i := range boxes {
		boxes[i] = owned(d.opts.House.Directory(), boxes[i])
	}
	boxes, err := d.opts.Store.PutMailboxes(ctx, boxes)
	if err != nil {
		return nil, fmt.Errorf("write the mailboxes: %w", err)
	}
	if err := d.opts.House.Install(ctx, d.opts.House.Directory().With(boxes)); err != nil {
		return nil, fmt.Errorf("let the doors know the mailboxes: %w", err)
	}
	return boxes, nil
}

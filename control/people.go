package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/directory"
	"doppelboden/store"
)

// Directories reads the tenants' directories; directory.Refresher is one.
type Directories interface {
	Refresh(ctx context.Context, tenant, source string, accept int) (directory.Report, error)
}

// Shown is what becomes of mail for an address.
type Shown struct {
	Address string    `json:"address"`
	Answer  string    `json:"answer"`            // "taken", "kept" (for nobody), or the code of the refusal
	Why     string    `json:"why,omitempty"`     // what a stranger is told
	Mailbox *Mailbox  `json:"mailbox,omitempty"` // who has exactly this address, and else who gets the mail
	To      []Mailbox `json:"to,omitempty"`      // of a list or a catch-all: the mailboxes that get the mail
	Outside []string  `json:"outside,omitempty"` // members of the list who are not in our domains
	Reached bool      `json:"outside_reached"`   // whether those get the mail
	Nobody  []string  `json:"nobody,omitempty"`  // members of the list whom nobody knows
}

// A Refreshed is what a refresh of one directory did.
type Refreshed struct {
	directory.Report
	Error string `json:"error,omitempty"` // why it was not taken over; empty when it was
}

// ShowMailbox says what becomes of mail for an address now.
func (c *Client) ShowMailbox(ctx context.Context, address string) (Shown, error) {
	var got Shown
	err := c.ask(ctx, "GET", "/mailboxes/show", url.Values{"address": {address}}, nil, nil, &got)
	return got, err
}

// RemoveMailbox takes a mailbox out of use. Mail for it that waits is handed over.
func (c *Client) RemoveMailbox(ctx context.Context, address string) (Mailbox, error) {
	var got Mailbox
	err := c.ask(ctx, "POST", "/mailboxes/remove", url.Values{"address": {address}}, nil, nil, &got)
	return got, err
}

// Refresh reads the tenants' directories now, and yields what each did. tenant and source
// may be empty: all. accept is how many lost addresses a person has agreed to.
func (c *Client) Refresh(ctx context.Context, tenant, source string, accept int, yield func(Refreshed) error) error {
	q := url.Values{"tenant": {tenant}, "directory": {source}, "accept": {strconv.Itoa(accept)}}
	return c.ask(ctx, "POST", "/mailboxes/refresh", q, nil, each(yield), new(struct{}))
}

// An Assignment gives mail that is held for nobody to a mailbox.
type Assignment struct {
	ID string `json:"id"` // of a delivery, as ID/N, or of a message with one such delivery
	To string `json:"to"` // address of a mailbox
}

// Assign carries out an assignment under the name of the unix user.
func (c *Client) Assign(ctx context.Context, a Assignment) (Waiting, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return Waiting{}, fmt.Errorf("make the request: %w", err)
	}
	var got Waiting
	err = c.ask(ctx, "POST", "/mailboxes/assign", url.Values{}, body, nil, &got)
	return got, err
}

func (d *Desk) showMailbox(_ context.Context, c *call) (any, error) {
	a, err := doppelboden.ParseAddress(c.query.Get("address"))
	if err != nil {
		return nil, err
	}
	dir := d.opts.House.Directory()
	s := Shown{Address: a.String(), Answer: "taken"}
	if id, ok := dir.Holder(a); ok {
		m, _ := dir.Mailbox(id)
		box := present(dir, m)
		s.Mailbox = &box
	}
	r, err := d.opts.House.Resolve(a)
	switch {
	case err != nil:
		s.Answer, s.Why = doppelboden.CodeOf(err).String(), doppelboden.PublicOf(err)
	case r.Keep:
		s.Answer = "kept"
	}
	t, _ := dir.City().Tenant(dir.TenantName(r.Tenant))
	s.Reached = t.Internet != nil
	s.people(dir, r)
	return s, nil
}

// people fills in who gets the mail.
func (s *Shown) people(dir *city.Directory, r city.Resolution) {
	for _, t := range r.Targets {
		m, _ := dir.Mailbox(t.Mailbox)
		s.To = append(s.To, present(dir, m))
	}
	if !r.List && s.Mailbox == nil && len(s.To) == 1 {
		s.Mailbox = &s.To[0] // by a tag, or as the catch-all
	}
	if !r.List {
		s.To = nil
	}
	for _, a := range r.Outside {
		s.Outside = append(s.Outside, a.String())
	}
	for _, a := range r.Nobody {
		s.Nobody = append(s.Nobody, a.String())
	}
}

func (d *Desk) removeMailbox(ctx context.Context, c *call) (any, error) {
	a, err := doppelboden.ParseAddress(c.query.Get("address"))
	if err != nil {
		return nil, err
	}
	d.change.Lock()
	defer d.change.Unlock()
	dir := d.opts.House.Directory()
	id, ok := dir.Holder(a)
	m, _ := dir.Mailbox(id)
	switch {
	case !ok:
		return nil, notFound("no mailbox has this address")
	case m.Address.Key() != a.Key():
		return nil, invalid(a.String() + " is an alias of " + m.Address.String() + "; to remove an alias, change the mailbox")
	case m.Source != "" && listedBy(dir, m):
		return nil, invalid(m.Address.String() + " is listed by the directory " + m.Source + "; remove it there, or it would come back")
	}
	at := d.opts.Clock()
	if err := d.opts.Store.Retire(ctx, []doppelboden.MailboxID{id}, at); err != nil {
		return nil, fmt.Errorf("retire the mailbox: %w", err)
	}
	m = retired(m, at)
	if err := d.opts.House.Install(ctx, dir.With([]doppelboden.Mailbox{m})); err != nil {
		return nil, fmt.Errorf("let the doors know: %w", err)
	}
	d.opts.Log.InfoContext(ctx, "a mailbox was removed", "mailbox", int64(id), "by", c.by)
	return present(d.opts.House.Directory(), m), nil
}

// listedBy reports whether the directory that listed a mailbox is still one of its
// tenant's.
func listedBy(dir *city.Directory, m doppelboden.Mailbox) bool {
	t, _ := dir.City().Tenant(dir.TenantName(m.Tenant))
	return t.Lists(m.Source)
}

func (d *Desk) refresh(ctx context.Context, c *call) (any, error) {
	accept, err := strconv.Atoi(c.query.Get("accept"))
	if err != nil || accept < 0 {
		return nil, invalid("the number of removals is 0 or more")
	}
	tenant, source := c.query.Get("tenant"), c.query.Get("directory")
	found := 0
	for _, t := range d.opts.House.Directory().City().Tenants {
		for _, l := range t.Directories {
			if tenant != "" && t.Name != tenant || source != "" && l.Name != source {
				continue
			}
			found++
			report, err := d.opts.Directories.Refresh(ctx, t.Name, l.Name, accept)
			got := Refreshed{Report: report}
			if err != nil {
				got.Error = err.Error()
			}
			d.opts.Log.InfoContext(ctx, "a person had a directory read", "tenant", t.Name, "directory", l.Name, "accept", accept, "by", c.by, "err", got.Error)
			if err := c.item(got); err != nil {
				return nil, err
			}
		}
	}
	if found == 0 {
		return nil, notFound("no directory has this name")
	}
	return struct{}{}, nil
}

func (d *Desk) assign(ctx context.Context, c *call) (any, error) {
	var asked Assignment
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	dir := d.opts.House.Directory()
	to, err := doppelboden.ParseAddress(asked.To)
	if err != nil {
		return nil, err
	}
	target, err := dir.Lookup(to)
	if err != nil {
		return nil, notFound("no mailbox has this address")
	}
	if target.List {
		return nil, invalid("mail is assigned to a mailbox, not to a list")
	}
	it, err := d.unassigned(ctx, asked.ID)
	if err != nil {
		return nil, err
	}
	if it.Delivery.Tenant != target.Tenant {
		return nil, invalid("the mail belongs to another tenant than this mailbox")
	}
	box, _ := dir.Mailbox(target.Mailbox)
	a := store.Assignment{Ref: doppelboden.Ref{Message: it.Delivery.Message, N: it.Delivery.N}, Mailbox: target.Mailbox,
		To: box.Address, State: doppelboden.Queued, By: c.by, At: d.opts.Clock()}
	if target.Route.Here {
		a.State = doppelboden.Delivered
	}
	if err := d.opts.House.Assign(ctx, a); err != nil {
		return nil, fmt.Errorf("assign the mail: %w", err)
	}
	d.opts.Log.InfoContext(ctx, "a person assigned mail", "message", a.Ref.Message.String(), "n", a.Ref.N, "mailbox", int64(a.Mailbox), "by", c.by)
	it.Delivery.State, it.Delivery.Mailbox, it.Delivery.Box, it.Delivery.Recipient = a.State, a.Mailbox, doppelboden.BoxID(a.Mailbox), a.To
	it.Delivery.Reply, it.Delivery.Changed = "", a.At
	return waiting(dir, it), nil
}

// unassigned finds the delivery of a message that is held for nobody.
func (d *Desk) unassigned(ctx context.Context, id string) (store.Item, error) {
	message, n, err := d.find(ctx, id)
	if err != nil {
		return store.Item{}, err
	}
	var found []store.Item
	f := store.Filter{Message: message, States: []doppelboden.State{doppelboden.Held}}
	err = d.opts.Store.Deliveries(ctx, f, func(it store.Item) error {
		if it.Delivery.Mailbox == 0 && it.Delivery.Box == 0 && (n < 0 || it.Delivery.N == n) {
			found = append(found, it)
		}
		return nil
	})
	switch {
	case err != nil:
		return store.Item{}, fmt.Errorf("read what is held: %w", err)
	case len(found) == 0:
		return store.Item{}, notFound("nothing of this mail is held for nobody")
	case len(found) > 1:
		return store.Item{}, invalid("several deliveries of this mail are held for nobody: write one of them as ID/N")
	}
	return found[0], nil
}

// A ListStatus is how old a directory's list is.
type ListStatus struct {
	Tenant    string    `json:"tenant"`
	Directory string    `json:"directory"`
	Read      time.Time `json:"read,omitzero"`  // when it was last used
	Tried     time.Time `json:"tried,omitzero"` // when it was last asked for
	Trouble   string    `json:"trouble,omitempty"`
	Stale     bool      `json:"stale"` // unknown recipients get 450
}

// lists fills in how old the lists are.
func (d *Desk) lists(s *Status) {
	dir := d.opts.House.Directory()
	known := map[[2]string]store.Listing{}
	for _, l := range d.opts.House.Listings() {
		known[[2]string{dir.TenantName(l.Tenant), l.Source}] = l
	}
	for _, t := range dir.City().Tenants {
		for _, l := range t.Directories {
			is := known[[2]string{t.Name, l.Name}]
			s.Lists = append(s.Lists, ListStatus{Tenant: t.Name, Directory: l.Name, Read: is.Read, Tried: is.Tried, Trouble: is.Trouble,
				Stale: is.Writing || is.Read.IsZero() || s.Now.Sub(is.Read) > l.MaxAge})
		}
	}
}

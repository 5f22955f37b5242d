package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/event"
	"doppelboden/store"
)

// Events knows how mailboxes and routes are; event.Tracker is one.
type Events interface {
	Open() []event.Summary
	List(ctx context.Context, tenant doppelboden.TenantID, yield func(event.Summary) error) error
	Story(ctx context.Context, tenant doppelboden.TenantID, number int64) (event.Story, error)
	Plan(ctx context.Context, p event.Plan) (event.Summary, error)
	Note(ctx context.Context, tenant doppelboden.TenantID, number int64, by, text string) error
	Close(ctx context.Context, tenant doppelboden.TenantID, number int64, by, note string) (event.Summary, error)
	Attack(ctx context.Context, tenant doppelboden.TenantID, by, why string) (event.Summary, error)
	Released(ctx context.Context, tenant doppelboden.TenantID, number int64, by, ways string) error
}

// An EventRef names an event. Tenant may be empty where there is only one.
type EventRef struct {
	Tenant string `json:"tenant,omitempty"`
	Number int64  `json:"number"`
}

// A Maintenance is what a person announces.
type Maintenance struct {
	Tenant string      `json:"tenant,omitempty"`
	Scope  event.Scope `json:"scope"`
	From   time.Time   `json:"from,omitzero"` // zero: now
	To     time.Time   `json:"to"`
	Why    string      `json:"why,omitempty"`
}

// An EventWord is what a person says about an event.
type EventWord struct {
	EventRef
	Text string `json:"text,omitempty"`
}

// maxEventText bounds what a person says about an event, in bytes: the alarm of a good
// hour fits in.
const maxEventText = 2000

// Events yields the events of a tenant, or of all, by tenant and number.
func (c *Client) Events(ctx context.Context, tenant string, yield func(event.Summary) error) error {
	return c.ask(ctx, "GET", "/events", url.Values{"tenant": {tenant}}, nil, each(yield), new(struct{}))
}

// Event asks for all that is known of an event.
func (c *Client) Event(ctx context.Context, ref EventRef) (event.Story, error) {
	var got event.Story
	err := c.ask(ctx, "GET", "/events/show", ref.query(), nil, nil, &got)
	return got, err
}

func (r EventRef) query() url.Values {
	return url.Values{"tenant": {r.Tenant}, "number": {strconv.FormatInt(r.Number, 10)}}
}

// PlanMaintenance announces a maintenance.
func (c *Client) PlanMaintenance(ctx context.Context, m Maintenance) (event.Summary, error) {
	var got event.Summary
	err := c.post(ctx, "/events/plan", m, &got)
	return got, err
}

// NoteEvent adds a person's words to the story of an event.
func (c *Client) NoteEvent(ctx context.Context, w EventWord) error {
	return c.post(ctx, "/events/note", w, new(struct{}))
}

// CloseEvent ends an event.
func (c *Client) CloseEvent(ctx context.Context, w EventWord) (event.Summary, error) {
	var got event.Summary
	err := c.post(ctx, "/events/close", w, &got)
	return got, err
}

// post sends a request whose body is JSON.
func (c *Client) post(ctx context.Context, path string, body, result any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	return c.ask(ctx, "POST", path, url.Values{}, text, nil, result)
}

func (d *Desk) listEvents(ctx context.Context, c *call) (any, error) {
	tenant, err := tenantNamed(d.opts.House.Directory(), c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.opts.Events.List(ctx, tenant, func(s event.Summary) error { return c.item(s) })
}

func (d *Desk) showEvent(ctx context.Context, c *call) (any, error) {
	tenant, number, err := d.eventAsked(c)
	if err != nil {
		return nil, err
	}
	return d.opts.Events.Story(ctx, tenant, number)
}

// eventAsked reads which event a query is about.
func (d *Desk) eventAsked(c *call) (doppelboden.TenantID, int64, error) {
	number, err := strconv.ParseInt(c.query.Get("number"), 10, 64)
	if err != nil || number < 1 {
		return 0, 0, invalid("an event is a number from 1")
	}
	tenant, err := theTenant(d.opts.House.Directory(), c.query.Get("tenant"))
	return tenant, number, err
}

// theTenant returns the tenant with a name, or, without a name, the only one.
func theTenant(dir *city.Directory, name string) (doppelboden.TenantID, error) {
	if name != "" {
		return tenantNamed(dir, name)
	}
	if all := dir.City().Tenants; len(all) == 1 {
		name = all[0].Name
		return tenantNamed(dir, name)
	}
	return 0, refuse("there are several tenants: say which one with --tenant")
}

func (d *Desk) planMaintenance(ctx context.Context, c *call) (any, error) {
	var asked Maintenance
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	dir := d.opts.House.Directory()
	tenant, err := theTenant(dir, asked.Tenant)
	if err != nil {
		return nil, err
	}
	if err := oneLine(asked.Why); err != nil {
		return nil, err
	}
	scope, err := scopeOf(dir, tenant, asked.Scope)
	if err != nil {
		return nil, err
	}
	return d.opts.Events.Plan(ctx, event.Plan{Tenant: tenant, Scope: scope, Starts: asked.From, Ends: asked.To, Why: asked.Why, By: c.by})
}

// oneLine refuses what is not one line of text.
func oneLine(s string) error {
	if len(s) > maxEventText || strings.ContainsFunc(s, unicode.IsControl) {
		return refuse("a note is one line of at most %s bytes", maxEventText)
	}
	return nil
}

// scopeOf checks whom a maintenance is for: what does not exist was mistyped.
func scopeOf(dir *city.Directory, tenant doppelboden.TenantID, asked event.Scope) (store.EventScope, error) {
	scope := store.EventScope{Routes: asked.Routes, Departments: asked.Departments, Buildings: asked.Buildings}
	t, _ := dir.City().Tenant(dir.TenantName(tenant))
	for _, name := range asked.Routes {
		if r, ok := t.Named(name); !ok || r.Here {
			return scope, refuse("the tenant %s has no route %s", t.Name, name)
		}
	}
	exists := func(is func(doppelboden.Mailbox) bool) bool {
		for m := range dir.All() {
			if m.Tenant == tenant && m.Gone.IsZero() && is(m) {
				return true
			}
		}
		return false
	}
	for _, name := range asked.Departments {
		if !exists(func(m doppelboden.Mailbox) bool { return strings.EqualFold(m.Department, name) }) {
			return scope, refuse("no mailbox is of the department %s", name)
		}
	}
	for _, name := range asked.Buildings {
		if !exists(func(m doppelboden.Mailbox) bool { return strings.EqualFold(m.Building, name) }) {
			return scope, refuse("no mailbox is in the building %s", name)
		}
	}
	for _, text := range asked.Mailboxes {
		a, err := doppelboden.ParseAddress(text)
		if err != nil {
			return scope, err
		}
		id, ok := dir.Holder(a)
		if m, _ := dir.Mailbox(id); !ok || m.Tenant != tenant {
			return scope, refuse("no mailbox has the address %s", a)
		}
		if !slices.Contains(scope.Mailboxes, id) {
			scope.Mailboxes = append(scope.Mailboxes, id)
		}
	}
	return scope, nil
}

// eventWord reads what a person says about an event.
func (d *Desk) eventWord(c *call) (EventWord, doppelboden.TenantID, error) {
	var w EventWord
	if err := json.NewDecoder(c.body).Decode(&w); err != nil {
		return w, 0, invalid("the request is not JSON")
	}
	if err := oneLine(w.Text); err != nil {
		return w, 0, err
	}
	tenant, err := theTenant(d.opts.House.Directory(), w.Tenant)
	return w, tenant, err
}

func (d *Desk) noteEvent(ctx context.Context, c *call) (any, error) {
	w, tenant, err := d.eventWord(c)
	if err == nil && w.Text == "" {
		err = invalid("there is nothing to note")
	}
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.opts.Events.Note(ctx, tenant, w.Number, c.by, w.Text)
}

func (d *Desk) closeEvent(ctx context.Context, c *call) (any, error) {
	w, tenant, err := d.eventWord(c)
	if err != nil {
		return nil, err
	}
	return d.opts.Events.Close(ctx, tenant, w.Number, c.by, w.Text)
}

// eventPeriod returns the period that a balance of an event is about: its beginning is put
// to the minute before, for the mail whose refusal began it had come by then.
func (d *Desk) eventPeriod(ctx context.Context, c *call) (from, to time.Time, err error) {
	tenant, number, err := d.eventAsked(c)
	if err != nil {
		return from, to, err
	}
	s, err := d.opts.Events.Story(ctx, tenant, number)
	if err != nil {
		return from, to, err
	}
	return s.Since.Truncate(time.Minute), s.Until, nil
}

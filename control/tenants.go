package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// A Tenant is what a person wants to know of one.
type Tenant struct {
	Name      string    `json:"name"`
	Domains   []string  `json:"domains"`
	State     string    `json:"state"` // open, paused or closed
	Stops     bool      `json:"hand_over_stops,omitempty"`
	Shut      []string  `json:"shut,omitempty"` // ways to its own systems that are shut in attack mode
	Why       string    `json:"why,omitempty"`
	By        string    `json:"by,omitempty"` // who decided; empty while nobody has
	At        time.Time `json:"at,omitzero"`
	Mailboxes int       `json:"mailboxes"`
	Waiting   int64     `json:"waiting"` // deliveries that are queued or held
}

// A StandingChange is what a person decides about a tenant.
type StandingChange struct {
	Tenant string            `json:"tenant"`
	State  store.TenantState `json:"state"`
	Stops  bool              `json:"hand_over_stops,omitempty"` // with paused: nothing is handed over either
	Why    string            `json:"why,omitempty"`
	// Yes repeats the number of the tenant's mailboxes when it is to be closed.
	Yes int `json:"yes,omitempty"`
}

// A StandingChanged is what came of a StandingChange.
type StandingChanged struct {
	Tenant Tenant `json:"tenant"` // as it is now
	// Confirm is the number that Yes must repeat before the tenant is closed; 0: it is
	// done.
	Confirm int `json:"confirm,omitempty"`
}

// Tenants yields the tenants of the configuration, in its order.
func (c *Client) Tenants(ctx context.Context, yield func(Tenant) error) error {
	return c.ask(ctx, "GET", "/tenants", url.Values{}, nil, each(yield), new(struct{}))
}

// ChangeStanding pauses, closes or opens a tenant.
func (c *Client) ChangeStanding(ctx context.Context, s StandingChange) (StandingChanged, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return StandingChanged{}, fmt.Errorf("make the request: %w", err)
	}
	var got StandingChanged
	err = c.ask(ctx, "POST", "/tenants", url.Values{}, body, nil, &got)
	return got, err
}

func (d *Desk) listTenants(ctx context.Context, c *call) (any, error) {
	dir := d.opts.House.Directory()
	waiting, err := d.waiting(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range dir.City().Tenants {
		if err := c.item(presentTenant(dir, t, waiting)); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// waiting counts the deliveries of each tenant that have not ended.
func (d *Desk) waiting(ctx context.Context) (map[doppelboden.TenantID]int64, error) {
	counts, err := d.opts.Store.Counts(ctx)
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	waiting := map[doppelboden.TenantID]int64{}
	for _, c := range counts {
		if !c.State.Ended() {
			waiting[c.Tenant] += c.Deliveries
		}
	}
	return waiting, nil
}

// presentTenant returns a tenant as commands show it.
func presentTenant(dir *city.Directory, t city.Tenant, waiting map[doppelboden.TenantID]int64) Tenant {
	id, _ := dir.TenantNamed(t.Name)
	s := dir.Standing(id)
	return Tenant{Name: t.Name, Domains: t.Domains, State: string(s.State), Stops: s.Stops, Shut: s.Shut.Parts(), Why: s.Why, By: s.By, At: s.At,
		Mailboxes: mailboxesOf(dir, id), Waiting: waiting[id]}
}

// mailboxesOf counts a tenant's mailboxes.
func mailboxesOf(dir *city.Directory, t doppelboden.TenantID) int {
	n := 0
	for m := range dir.All() {
		if m.Tenant == t {
			n++
		}
	}
	return n
}

// changeStanding pauses, closes or opens a tenant. Nothing of another tenant changes, and
// no delivery ends by it.
func (d *Desk) changeStanding(ctx context.Context, c *call) (any, error) {
	var asked StandingChange
	if err := json.NewDecoder(c.body).Decode(&asked); err != nil {
		return nil, invalid("the request is not JSON")
	}
	if len(asked.Why) > maxWhy || strings.ContainsFunc(asked.Why, unicode.IsControl) {
		return nil, refuse("the reason is one line of at most %s bytes", maxWhy)
	}
	d.change.Lock()
	defer d.change.Unlock()
	dir := d.opts.House.Directory()
	t, ok := dir.City().Tenant(asked.Tenant)
	if !ok {
		return nil, notFound("no tenant has this name")
	}
	id, _ := dir.TenantNamed(t.Name)
	if n := mailboxesOf(dir, id); asked.State == store.TenantClosed && n > 0 && asked.Yes != n {
		waiting, err := d.waiting(ctx)
		return StandingChanged{Tenant: presentTenant(dir, t, waiting), Confirm: n}, err
	}
	s := store.Standing{Tenant: id, State: asked.State, Stops: asked.Stops && asked.State == store.TenantPaused,
		Shut: dir.Standing(id).Shut, Why: asked.Why, By: c.by, At: d.opts.Clock()}
	if err := d.opts.Store.PutStanding(ctx, s); err != nil {
		return nil, fmt.Errorf("write the decision: %w", err)
	}
	note := fmt.Sprintf("tenant %s: %s by %s", t.Name, s.State, c.by)
	if err := d.opts.Store.Note(ctx, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: s.At, Tenant: id, By: c.by, Note: note}); err != nil {
		return nil, fmt.Errorf("note the decision in the ledger: %w", err)
	}
	if err := d.redecide(ctx); err != nil {
		return nil, err
	}
	d.opts.Log.InfoContext(ctx, "a tenant was "+string(s.State), "tenant", t.Name, "by", c.by, "why", s.Why)
	waiting, err := d.waiting(ctx)
	return StandingChanged{Tenant: presentTenant(d.opts.House.Directory(), t, waiting)}, err
}

// redecide makes doors and lanes use what people have decided. The caller holds d.change.
func (d *Desk) redecide(ctx context.Context) error {
	decided, err := ReadDecided(ctx, d.opts.Store)
	if err != nil {
		return err
	}
	if err := d.opts.House.Install(ctx, d.opts.House.Directory().Under(decided)); err != nil {
		return fmt.Errorf("let doors and lanes know: %w", err)
	}
	return nil
}

// Decisions is where what people have decided lies; see package store.
type Decisions interface {
	Standings(ctx context.Context) ([]store.Standing, error)
	Ways(ctx context.Context, yield func(store.Way) error) error
	Destinations(ctx context.Context, yield func(doppelboden.Destination) error) error
}

// ReadDecided reads what people have decided about tenants and mailboxes.
func ReadDecided(ctx context.Context, s Decisions) (city.Decided, error) {
	var got city.Decided
	var err error
	if got.Standings, err = s.Standings(ctx); err != nil {
		return got, fmt.Errorf("read what was decided about tenants: %w", err)
	}
	err = s.Ways(ctx, func(w store.Way) error {
		got.Ways = append(got.Ways, w)
		return nil
	})
	if err != nil {
		return got, fmt.Errorf("read the ways of mailboxes: %w", err)
	}
	err = s.Destinations(ctx, func(to doppelboden.Destination) error {
		if to.Mailbox != 0 {
			got.Destinations = append(got.Destinations, to)
		}
		return nil
	})
	if err != nil {
		return got, fmt.Errorf("read where else mail goes: %w", err)
	}
	return got, nil
}

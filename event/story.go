package event

import (
	"cmp"
	"context"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Summary says what an event is, as commands show it.
type Summary struct {
	Tenant   string          `json:"tenant"`
	Number   int64           `json:"number"`
	Kind     store.EventKind `json:"kind"`
	State    string          `json:"state"` // "open", "planned", "running", "overrun" or "closed"
	Minor    bool            `json:"minor,omitempty"`
	Route    string          `json:"route,omitempty"` // name within the tenant
	Whole    bool            `json:"whole_route,omitempty"`
	Since    time.Time       `json:"since"`
	Until    time.Time       `json:"until,omitzero"`
	ClosedBy string          `json:"closed_by,omitempty"`
	Starts   time.Time       `json:"starts,omitzero"`
	Ends     time.Time       `json:"ends,omitzero"`
	Why      string          `json:"why,omitempty"`
	Scope    *Scope          `json:"scope,omitempty"` // of a maintenance
	Shut     []string        `json:"shut,omitempty"`  // of an attack: the ways that are shut now

	Concerned int64   `json:"mailboxes"`      // now
	Most      int64   `json:"mailboxes_most"` // at once
	Shared    *Shared `json:"shared,omitempty"`
	Reply     string  `json:"reply,omitempty"` // what was heard most; hostile
	Waiting   int64   `json:"waiting"`         // mails for those that are concerned now, in the queue
	Held      int64   `json:"held"`            // mails for them that are held

	Answering bool      `json:"answers_again,omitempty"` // which proves nothing yet
	Turned    time.Time `json:"taken_since,omitzero"`    // since when mail is taken again
}

// States of a Summary.
const (
	Open    = "open"
	Planned = "planned"
	Running = "running"
	Overrun = "overrun"
	Closed  = "closed"
)

// A Scope says whom a maintenance is planned for.
type Scope struct {
	Routes      []string `json:"routes,omitempty"` // names within the tenant
	Departments []string `json:"departments,omitempty"`
	Buildings   []string `json:"buildings,omitempty"`
	Mailboxes   []string `json:"mailboxes,omitempty"` // addresses
}

// A Story is an event with all that is known of it.
type Story struct {
	Summary
	Replies   []Reply `json:"replies"`
	Steps     []Step  `json:"steps"`
	Mailboxes []Box   `json:"mailboxes_now"` // those that are concerned now, those with most mail waiting first
}

// A Reply is what a groupware said, with how often; hostile.
type Reply struct {
	Text  string    `json:"text"`
	Count int64     `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// A Step is a line of the story.
type Step struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	By     string    `json:"by,omitempty"`
	Note   string    `json:"note,omitempty"` // hostile
	Joined int       `json:"joined,omitempty"`
	Left   int       `json:"left,omitempty"`
	After  int       `json:"after"` // mailboxes that are concerned then
}

// A Box is a mailbox that is concerned.
type Box struct {
	Address    string    `json:"address"`
	Department string    `json:"department,omitempty"`
	Building   string    `json:"building,omitempty"`
	State      string    `json:"state"`               // "refused", "served" or "unknown"
	Waiting    int64     `json:"waiting"`             // mails in the queue
	Held       int64     `json:"held"`                // mails that are held
	Reply      string    `json:"reply,omitempty"`     // the last; hostile
	Failed     time.Time `json:"failed,omitzero"`     // when it came
	Taken      time.Time `json:"last_taken,omitzero"` // when mail was last taken, as far as is remembered
}

// Open returns the events that last, of all tenants, by tenant and number: those that have
// begun first, those of lesser weight last.
func (t *Tracker) Open() []Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []Summary{}
	for _, e := range t.machine.episodes {
		if e.open() {
			all = append(all, t.summary(e))
		}
	}
	rank := func(s Summary) int {
		switch {
		case s.State == Planned:
			return 2
		case s.Minor:
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b Summary) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Number, b.Number))
	})
	return all
}

// List yields all events of a tenant, or of all with 0, by tenant and number.
func (t *Tracker) List(ctx context.Context, tenant doppelboden.TenantID, yield func(Summary) error) error {
	var all []store.Event
	err := t.opts.Store.Events(ctx, tenant, func(e store.Event) error {
		all = append(all, e)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range all {
		t.mu.Lock()
		e := t.find(all[i].Tenant, all[i].Number)
		if e == nil {
			e = &episode{Event: all[i]}
		}
		s := t.summary(e)
		t.mu.Unlock()
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

// find returns an event that the machine holds, or nil. The caller holds t.mu.
func (t *Tracker) find(tenant doppelboden.TenantID, number int64) *episode {
	for _, e := range t.machine.episodes {
		if e.Tenant == tenant && e.Number == number {
			return e
		}
	}
	return nil
}

// summary says what an event is. The caller holds t.mu.
func (t *Tracker) summary(e *episode) Summary {
	m := t.machine
	s := Summary{Tenant: m.view.dir.TenantName(e.Tenant), Number: e.Number, Kind: e.Kind, State: stateOf(e), Minor: e.Minor,
		Route: e.Route, Whole: e.Whole, Since: e.Since, Until: e.Until, ClosedBy: e.ClosedBy, Starts: e.Starts, Ends: e.Ends, Why: e.Why,
		Concerned: e.Concerned, Most: e.Most, Reply: m.loudest(e), Answering: e.answering && e.Whole, Turned: e.turned}
	if e.Kind == store.Maintenance {
		s.Scope = &Scope{Routes: e.Scope.Routes, Departments: e.Scope.Departments, Buildings: e.Scope.Buildings}
		for _, id := range e.Scope.Mailboxes {
			s.Scope.Mailboxes = append(s.Scope.Mailboxes, m.address(id))
		}
	}
	if !e.open() {
		return s
	}
	if e.Kind == store.Attack {
		s.Shut = t.opts.Directory().Standing(e.Tenant).Shut.Parts()
	}
	for id := range e.members {
		s.Waiting += m.waiting[id]
		s.Held += t.held[e.Tenant][id]
	}
	if l := m.laneOf(e); l != nil && len(e.members) > 0 {
		shared := m.shared(l, e.members, e.Whole, e.Since)
		s.Shared = &shared
	}
	return s
}

// stateOf names an event's state.
func stateOf(e *episode) string {
	switch {
	case !e.open():
		return Closed
	case e.Kind == store.Outage, e.Kind == store.Attack:
		return Open
	case e.overrun:
		return Overrun
	case e.begun:
		return Running
	}
	return Planned
}

// address returns the address of a mailbox.
func (m *machine) address(id doppelboden.MailboxID) string {
	b, _ := m.view.dir.Mailbox(id)
	return b.Address.String()
}

// Story returns all that is known of an event. NotFound.
func (t *Tracker) Story(ctx context.Context, tenant doppelboden.TenantID, number int64) (Story, error) {
	if err := t.save(ctx); err != nil {
		return Story{}, err
	}
	c, err := t.opts.Store.Event(ctx, tenant, number)
	if err != nil {
		return Story{}, err
	}
	if c.Event.Until.IsZero() {
		held, err := t.heldFor(ctx, tenant)
		if err != nil {
			return Story{}, err
		}
		t.mu.Lock()
		t.held[tenant] = held
		t.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.find(tenant, number)
	if e == nil {
		e = &episode{Event: c.Event}
	}
	s := Story{Summary: t.summary(e), Replies: []Reply{}, Steps: []Step{}, Mailboxes: []Box{}}
	for _, r := range c.Replies {
		if now := e.replies[r.Text]; now != nil {
			r = *now // its count is written only now and then
		}
		s.Replies = append(s.Replies, Reply(r))
	}
	members, ever := map[doppelboden.MailboxID]bool{}, map[doppelboden.MailboxID]bool{}
	for _, st := range c.Steps {
		apply(members, st)
		for _, id := range st.Joined {
			ever[id] = true
		}
		s.Steps = addStep(s.Steps, Step{At: st.At, What: st.What, By: st.By, Note: st.Note, Joined: len(st.Joined), Left: len(st.Left), After: len(members)})
	}
	if l := t.machine.laneOf(e); l != nil && !e.open() && len(ever) > 0 {
		shared := t.machine.shared(l, ever, false, e.Since)
		s.Shared = &shared
	}
	for id := range e.members {
		s.Mailboxes = append(s.Mailboxes, t.box(e, id))
	}
	slices.SortFunc(s.Mailboxes, func(a, b Box) int {
		return cmp.Or(cmp.Compare(b.Waiting+b.Held, a.Waiting+a.Held), cmp.Compare(a.Address, b.Address))
	})
	return s, nil
}

// together is how far apart steps of the same kind may be that are shown as one: mailboxes
// come and go one by one.
const together = 10 * time.Minute

// addStep adds a step to a story, or to its last line.
func addStep(steps []Step, s Step) []Step {
	if n := len(steps); n > 0 && (s.What == stepGrew || s.What == stepShrank) {
		last := &steps[n-1]
		if last.What == s.What && s.At.Sub(last.At) < together {
			last.Joined, last.Left, last.After = last.Joined+s.Joined, last.Left+s.Left, s.After
			return steps
		}
	}
	return append(steps, s)
}

// box says how a concerned mailbox is. The caller holds t.mu.
func (t *Tracker) box(e *episode, id doppelboden.MailboxID) Box {
	b, _ := t.machine.view.dir.Mailbox(id)
	box := Box{Address: b.Address.String(), Department: b.Department, Building: b.Building, State: "unknown",
		Waiting: t.machine.waiting[id], Held: t.held[e.Tenant][id]}
	if r := t.machine.records[id]; r != nil {
		box.Taken = r.took
		switch {
		case r.failing():
			box.State, box.Reply, box.Failed = "refused", r.reply, r.fail
		case !e.turned.IsZero() && !r.took.Before(e.turned):
			box.State = "served"
		}
	}
	return box
}

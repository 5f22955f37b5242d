package account

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/harvest"
)

// Mailboxes knows how complete emergency mailboxes are; harvest.Room does.
type Mailboxes interface {
	Coverages(ctx context.Context, t doppelboden.TenantID, boxes []doppelboden.MailboxID, yield func(doppelboden.MailboxID, harvest.Coverage) error) error
	Gaps(t doppelboden.TenantID) []harvest.Gap
}

// A Filled says how many mailboxes of a department are complete up to a few minutes ago.
type Filled struct {
	Mailboxes int    `json:"mailboxes"` // of people and of functions
	Complete  int    `json:"complete"`
	Lacks     []Lack `json:"lacks,omitempty"` // why the others are not, most first
	// Partly are the others, by address.
	Partly []Partly `json:"-"`
}

// A Lack is a reason why mailboxes are complete only in part.
type Lack struct {
	Part      string `json:"part"` // one of harvest.PartInbox and so on
	Why       string `json:"why"`  // one of harvest.WhyNothing and so on
	Mailboxes int    `json:"mailboxes"`
}

// A Partly is a mailbox that is complete only in part.
type Partly struct {
	Address string    `json:"address"`
	Name    string    `json:"name,omitempty"`
	Part    string    `json:"part"` // what it lacks most
	Why     string    `json:"why"`
	Until   time.Time `json:"until,omitzero"` // up to when that is complete; zero: nothing is proved
}

// A Department is how ready it is: its people, their mailboxes, and those of functions.
type Department struct {
	Ready
	Filled
	Owned
}

// Prepared says how ready a tenant is for an outage.
type Prepared struct {
	Departments []Department // by name
	Gaps        []harvest.Gap
}

// filledFor is how long it is remembered how complete mailboxes are: to count a city costs
// some tenths of a second, and heads of departments look again and again.
const filledFor = time.Minute

// A filling is how complete a tenant's mailboxes were at a time, by department in lower case.
type filling struct {
	at     time.Time
	byName map[string]*Filled
	names  map[string]string // as the department is written
}

// Prepared returns how ready a tenant is: who could log in, and how complete the mailboxes
// are, as it was a minute ago at most.
func (r *Room) Prepared(ctx context.Context, t doppelboden.TenantID) (Prepared, error) {
	ready, err := r.Readiness(ctx, t)
	if err != nil {
		return Prepared{}, err
	}
	f, err := r.filling(ctx, t)
	if err != nil {
		return Prepared{}, err
	}
	owned, err := r.owned(ctx, t)
	if err != nil {
		return Prepared{}, err
	}
	p := Prepared{Gaps: r.opts.Mailboxes.Gaps(t)}
	seen := map[string]bool{}
	for _, d := range ready {
		key := strings.ToLower(d.Department)
		seen[key] = true
		one := Department{Ready: d}
		if f.byName[key] != nil {
			one.Filled = *f.byName[key]
		}
		p.Departments = append(p.Departments, one)
	}
	for key, one := range f.byName {
		if !seen[key] { // function mailboxes alone
			p.Departments = append(p.Departments, Department{Ready: Ready{Department: f.names[key]}, Filled: *one})
		}
	}
	for i := range p.Departments {
		if o := owned[strings.ToLower(p.Departments[i].Department)]; o != nil {
			p.Departments[i].Owned = *o
		}
	}
	slices.SortStableFunc(p.Departments, func(a, b Department) int {
		return strings.Compare(strings.ToLower(a.Department), strings.ToLower(b.Department))
	})
	return p, nil
}

// filling counts a tenant's mailboxes. Who asks while that is done waits for the answer.
func (r *Room) filling(ctx context.Context, t doppelboden.TenantID) (filling, error) {
	r.filledMu.Lock()
	defer r.filledMu.Unlock()
	now := r.opts.Clock()
	if f, known := r.filled[t]; known && now.Sub(f.at) < filledFor {
		return f, nil
	}
	f := filling{at: now, byName: map[string]*Filled{}, names: map[string]string{}}
	boxes := map[doppelboden.MailboxID]doppelboden.Mailbox{}
	for m := range r.opts.Directory().All() {
		if m.Tenant == t && m.Kind != doppelboden.List && m.Gone.IsZero() {
			boxes[m.ID] = m
		}
	}
	ids := make([]doppelboden.MailboxID, 0, len(boxes))
	for id := range boxes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b doppelboden.MailboxID) int {
		return strings.Compare(boxes[a].Address.Key(), boxes[b].Address.Key())
	})
	err := r.opts.Mailboxes.Coverages(ctx, t, ids, func(id doppelboden.MailboxID, c harvest.Coverage) error {
		f.add(boxes[id], c, now)
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("ask how complete mailboxes are: %w", err)
	}
	for _, d := range f.byName {
		slices.SortStableFunc(d.Lacks, func(a, b Lack) int { return cmp.Compare(b.Mailboxes, a.Mailboxes) })
	}
	r.filled[t] = f
	return f, nil
}

// add counts one mailbox.
func (f *filling) add(m doppelboden.Mailbox, c harvest.Coverage, now time.Time) {
	key := strings.ToLower(m.Department)
	d := f.byName[key]
	if d == nil {
		d = &Filled{}
		f.byName[key], f.names[key] = d, m.Department
	}
	d.Mailboxes++
	part, p, whole := c.Wanting(now)
	if whole {
		d.Complete++
		return
	}
	d.Partly = append(d.Partly, Partly{Address: m.Address.String(), Name: m.Name, Part: part, Why: p.Why, Until: p.Until})
	i := slices.IndexFunc(d.Lacks, func(l Lack) bool { return l.Part == part && l.Why == p.Why })
	if i < 0 {
		i, d.Lacks = len(d.Lacks), append(d.Lacks, Lack{Part: part, Why: p.Why})
	}
	d.Lacks[i].Mailboxes++
}

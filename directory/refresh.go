package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/store"
)

// Store is what a Refresher needs of the database.
type Store interface {
	Mailboxes
	PutListing(ctx context.Context, l store.Listing) error
	Listings(ctx context.Context) ([]store.Listing, error)
	// PutBelongings adds who may open mailboxes; see store.Accounts.
	PutBelongings(ctx context.Context, list []store.Belonging) error
	// Note writes entries into the ledger; see store.Store.
	Note(ctx context.Context, entries ...doppelboden.Entry) error
}

// House is the running node as far as lists change it.
type House interface {
	// Directory returns the snapshot that the doors use now.
	Directory() *city.Directory
	// Install makes the doors use d from now on.
	Install(ctx context.Context, d *city.Directory) error
	// Changing is held by whoever changes mailboxes or the city.
	Changing() sync.Locker
	// Listed makes the doors know again how old the lists are.
	Listed(ctx context.Context) error
}

// RefresherOptions say what a Refresher works with. All must be set.
type RefresherOptions struct {
	Store    Store
	House    House
	Secret   func(city.Secret) (string, error) // reads a secret
	File     func(name string) string          // finds a file that city.toml names
	Clock    func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
}

func (o *RefresherOptions) validate() error {
	if o.Store == nil || o.House == nil || o.Secret == nil || o.File == nil || o.Clock == nil || o.Log == nil || o.Registry == nil {
		return errors.New("directory: an option is not set")
	}
	return nil
}

// A Refresher reads the tenants' directories again and again. It may be used by several
// goroutines.
type Refresher struct {
	opts    RefresherOptions
	metrics *metrics

	mu   sync.Mutex
	busy map[place]chan struct{} // read just now; closed when that has ended
	next map[place]time.Time     // when it is due
}

// A place names a source.
type place struct{ tenant, source string }

// NewRefresher returns a refresher.
func NewRefresher(o RefresherOptions) (*Refresher, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Refresher{opts: o, metrics: newMetrics(o.Registry), busy: map[place]chan struct{}{}, next: map[place]time.Time{}}, nil
}

// pace is the time between two looks at what is due. The shortest interval is a minute.
const pace = 2 * time.Second

// Run reads what is due until ctx ends.
func (r *Refresher) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		for _, p := range r.due(ctx) {
			// Each on its own: one that hangs must not make the others old.
			work.Go(func() {
				// What went wrong is in the store, where the alarm comes from.
				if _, err := r.Refresh(ctx, p.tenant, p.source, 0); err != nil && ctx.Err() == nil {
					r.opts.Log.Warn("a directory was not taken over", "tenant", p.tenant, "directory", p.source, "err", err)
				}
			})
		}
		if !clock.Sleep(ctx, clock.Beat, pace) {
			return
		}
	}
}

// due returns the sources that are to be read now, and notes when they are next.
func (r *Refresher) due(ctx context.Context) []place {
	now := r.opts.Clock()
	dir := r.opts.House.Directory()
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []place
	for _, t := range dir.City().Tenants {
		if id, _ := dir.TenantNamed(t.Name); dir.Shut(id, store.ShutDirectory) {
			continue // what it says may be an attacker's; the list stays as it is
		}
		for i := range t.Directories {
			l := &t.Directories[i]
			p := place{t.Name, l.Name}
			next, known := r.next[p]
			if !known {
				next = r.first(ctx, dir, p, l)
			}
			// A configuration may have made the interval shorter.
			if limit := now.Add(l.Refresh + l.Refresh/10); next.After(limit) {
				next = limit
			}
			if now.Before(next) || r.busy[p] != nil {
				r.next[p] = next
				continue
			}
			r.next[p] = now.Add(jitter(l.Refresh))
			due = append(due, p)
		}
	}
	return due
}

// jitter returns an interval that is up to a tenth shorter or longer, so that seventy
// tenants do not ask one directory in the same second for ever.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// first returns when a source is read for the first time in this run.
func (r *Refresher) first(ctx context.Context, dir *city.Directory, p place, l *city.LDAP) time.Time {
	id, _ := dir.TenantNamed(p.tenant)
	state, err := r.state(ctx, id, p.source)
	if err != nil || state.Tried.IsZero() || state.Trouble != "" {
		return time.Time{}
	}
	return state.Tried.Add(jitter(l.Refresh))
}

// state returns what is known of a source.
func (r *Refresher) state(ctx context.Context, id doppelboden.TenantID, source string) (store.Listing, error) {
	all, err := r.opts.Store.Listings(ctx)
	if err != nil {
		return store.Listing{}, fmt.Errorf("read what is known of the lists: %w", err)
	}
	for _, l := range all {
		if l.Tenant == id && l.Source == source {
			return l, nil
		}
	}
	return store.Listing{Tenant: id, Source: source}, nil
}

// A Report says what a refresh did.
type Report struct {
	Tenant   string        `json:"tenant"`
	Source   string        `json:"directory"`
	Entries  int           `json:"entries"`   // that were read
	Listed   int           `json:"mailboxes"` // and lists, among them
	New      int           `json:"new"`
	Changed  int           `json:"changed"`
	Gone     int           `json:"gone"`
	Lost     int           `json:"lost_addresses"` // that are no longer taken
	Foreign  int           `json:"without_address_here"`
	Disabled int           `json:"disabled"`
	Notes    []string      `json:"notes,omitempty"`   // what is wrong with entries, the first of them
	Wrong    int           `json:"wrong_entries"`     // how many notes there would be
	Took     time.Duration `json:"took_nanoseconds"`  // reading and writing
	Refused  string        `json:"refused,omitempty"` // why nothing was changed
}

// ErrRefused is in the tree of the error of a list that would take too much away.
var ErrRefused = errors.New("the list would take too many addresses away")

// Refresh reads a source and takes its list over. accept is how many lost addresses a
// person has agreed to; 0 leaves it to the configuration. The code is NotFound for a
// source that there is not. While the source is read already, it waits for its turn. Any
// error leaves mailboxes as they were, unless it comes from the store while it writes:
// then unknown recipients are put off until a later refresh has ended.
func (r *Refresher) Refresh(ctx context.Context, tenant, source string, accept int) (Report, error) {
	began := r.opts.Clock()
	report := Report{Tenant: tenant, Source: source}
	dir := r.opts.House.Directory()
	l, id, err := find(dir, tenant, source)
	if err != nil {
		return report, err
	}
	if dir.Shut(id, store.ShutDirectory) {
		return report, errShut
	}
	p := place{tenant, source}
	if err := r.begin(ctx, p); err != nil {
		return report, err
	}
	defer r.end(p)
	state, err := r.state(ctx, id, source)
	if err != nil {
		return report, err
	}
	state.Tried, state.Trouble, state.Lost = began, "", 0
	err = r.refresh(ctx, dir, l, &state, &report, accept)
	report.Took = r.opts.Clock().Sub(began)
	r.metrics.ended(p, report, err)
	if err != nil && ctx.Err() == nil {
		state.Trouble = clean(err.Error(), 500)
	}
	if ctx.Err() == nil || err == nil {
		err = errors.Join(err, r.keep(context.WithoutCancel(ctx), state))
	}
	return report, err
}

// errShut is the answer while a tenant is in attack mode.
var errShut = &doppelboden.Error{Code: doppelboden.Policy, Public: "the administration is in attack mode: its directory is not believed"}

// find returns the configuration of a source.
func find(dir *city.Directory, tenant, source string) (*city.LDAP, doppelboden.TenantID, error) {
	id, known := dir.TenantNamed(tenant)
	t, ok := dir.City().Tenant(tenant)
	for i := range t.Directories {
		if t.Directories[i].Name == source && ok && known {
			return &t.Directories[i], id, nil
		}
	}
	return nil, 0, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no directory has this name"}
}

// begin notes that a source is being read, once nobody else reads it.
func (r *Refresher) begin(ctx context.Context, p place) error {
	for {
		r.mu.Lock()
		other := r.busy[p]
		if other == nil {
			r.busy[p] = make(chan struct{})
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end lets others read the source.
func (r *Refresher) end(p place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.busy[p])
	delete(r.busy, p)
}

// keep stores what is known of a source and tells the doors.
func (r *Refresher) keep(ctx context.Context, state store.Listing) error {
	if err := r.opts.Store.PutListing(ctx, state); err != nil {
		return fmt.Errorf("note what became of the list: %w", err)
	}
	return r.opts.House.Listed(ctx)
}

// refresh reads, compares, and writes what is different.
func (r *Refresher) refresh(ctx context.Context, dir *city.Directory, l *city.LDAP, state *store.Listing, report *Report, accept int) error {
	o := Options{LDAP: *l, Password: func() (string, error) { return r.opts.Secret(l.Password) }}
	if l.CA != "" {
		o.CA = r.opts.File(l.CA)
	}
	entries, err := NewSource(o).Read(ctx)
	if err != nil {
		return err
	}
	listed := Compose(entries, Tenant{ID: state.Tenant, Source: l.Name, Owns: func(domain string) bool {
		id, ok := dir.TenantOf(domain)
		return ok && id == state.Tenant
	}})
	report.Entries, report.Listed, report.Foreign, report.Disabled = len(entries), len(listed.Mailboxes), listed.Foreign, listed.Disabled
	report.Notes, report.Wrong = listed.Notes, listed.Wrong

	lock := r.opts.House.Changing()
	lock.Lock()
	defer lock.Unlock()
	dir = r.opts.House.Directory()
	if dir.Shut(state.Tenant, store.ShutDirectory) {
		return errShut // since it was asked
	}
	change := Compare(knownOf(dir, state.Tenant), listed.Mailboxes, l.Name)
	report.note(change.Notes...)
	report.New, report.Changed, report.Gone, report.Lost = change.New, change.Changed, len(change.Retire), change.Lost
	if err := guard(change, len(listed.Mailboxes), l.MaxLost, accept); err != nil {
		state.Lost = change.Lost
		report.Refused = err.Error()
		return err
	}
	if err := r.apply(ctx, dir, change, state, report); err != nil {
		return err
	}
	state.Read, state.Writing = state.Tried, false
	return nil
}

// knownOf returns all mailboxes of a tenant. Those of a directory that city.toml no longer
// names count as added by people: another directory, or the same under a new name, may
// have them.
func knownOf(dir *city.Directory, id doppelboden.TenantID) []doppelboden.Mailbox {
	t, _ := dir.City().Tenant(dir.TenantName(id))
	var known []doppelboden.Mailbox
	for b := range dir.All() {
		if b.Tenant != id {
			continue
		}
		if b.Source != "" && !t.Lists(b.Source) {
			b.Source, b.External = "", ""
		}
		known = append(known, b)
	}
	return known
}

// note adds to the notes of a report.
func (r *Report) note(notes ...string) {
	r.Wrong += len(notes)
	for _, n := range notes {
		if len(r.Notes) < maxNotes {
			r.Notes = append(r.Notes, clean(n, 300))
		}
	}
}

// guard refuses a list that would take too much away, unless a person said that it may.
func guard(c *Change, listed, percent, accept int) error {
	allowed := max(Allowed(c.Of, percent), accept)
	if listed == 0 && accept == 0 {
		// Nobody at all is never true of a city.
		if c.Of == 0 {
			return fmt.Errorf("%w: it is empty; check base and filter", ErrRefused)
		}
		allowed = 0
	}
	if c.Lost > allowed {
		return fmt.Errorf("%w: %d of %d, and %d are allowed", ErrRefused, c.Lost, c.Of, allowed)
	}
	return nil
}

// apply writes a change and has the doors use it. While it is written, what lies in the
// database is neither the old list nor the new one: should the node end here, it puts
// unknown recipients off until a list was read as a whole.
func (r *Refresher) apply(ctx context.Context, dir *city.Directory, c *Change, state *store.Listing, report *Report) error {
	if len(c.Put)+len(c.Retire) == 0 {
		return nil
	}
	// Begun, it is done: half of it would only be done again.
	ctx = context.WithoutCancel(ctx)
	state.Writing = true
	if err := r.opts.Store.PutListing(ctx, *state); err != nil {
		return fmt.Errorf("note that the list is being written: %w", err)
	}
	if err := retire(ctx, r.opts.Store, c.Retire, state.Tried); err != nil {
		return err
	}
	put, err := r.put(ctx, dir, c, state.Tried, report)
	if err != nil {
		return err
	}
	for _, id := range c.Retire {
		b, _ := dir.Mailbox(id)
		b.Gone, b.Aliases, b.Members = state.Tried, nil, nil
		put = append(put, b)
	}
	if err := r.opts.House.Install(ctx, dir.With(put)); err != nil {
		return fmt.Errorf("let the doors know the mailboxes: %w", err)
	}
	r.opts.Log.Info("a directory was taken over", "tenant", report.Tenant, "directory", report.Source,
		"new", report.New, "changed", report.Changed, "gone", report.Gone)
	return nil
}

package mailbox

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
)

// AlarmKind is the kind of alarm that says that what a groupware took is not there.
const AlarmKind = "readback"

// A Reader reads back what groupware said it took, and confirms it.
type Reader struct {
	opts  Options
	seed  maphash.Seed
	mails *prometheus.CounterVec

	mu     sync.Mutex
	routes map[string]*reading
}

// NewReader returns a reader that does nothing until Run.
func NewReader(o Options) (*Reader, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Reader{opts: o, seed: maphash.MakeSeed(), routes: map[string]*reading{},
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_readback_mails_total",
			Help: "Mails that were looked for in the groupware's mailboxes, by route and what was found: there, moved, missing.",
		}, []string{"route", "found"})}
	o.Registry.MustRegister(r.mails)
	return r, nil
}

// Run reads back until ctx ends: every route for itself, so that a slow one holds up no
// other. Routes come and go with the configuration.
func (r *Reader) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stops := map[string]context.CancelFunc{}
	for {
		now := r.opts.Routes()
		for key, stop := range stops {
			if _, is := now[key]; !is {
				stop()
				delete(stops, key)
				r.forget(key)
			}
		}
		for key, conf := range now {
			if stops[key] != nil {
				continue
			}
			run, stop := context.WithCancel(ctx)
			stops[key] = stop
			one := r.begin(key, conf.Tenant)
			running.Go(func() { one.run(run) })
		}
		if !clock.Sleep(ctx, r.opts.Timer, r.opts.Pace.Every) {
			break
		}
	}
	for _, stop := range stops {
		stop()
	}
}

// begin makes a route known. What an earlier reading of it still does is its own.
func (r *Reader) begin(key string, tenant doppelboden.TenantID) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := &reading{r: r, key: key, tenant: tenant}
	r.routes[key] = one
	return one
}

// forget forgets a route that cannot be looked into any more.
func (r *Reader) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, key)
}

// Forgive begins the evidence of a route anew: what was missing is handed over again. What is
// being looked for meanwhile does not count any more.
func (r *Reader) Forgive(route string) {
	r.mu.Lock()
	one := r.routes[route]
	r.mu.Unlock()
	if one != nil {
		one.mu.Lock()
		one.record, one.told = record{}, nil
		one.anew++
		one.mu.Unlock()
	}
}

// A RouteStatus says how the reading of a route goes.
type RouteStatus struct {
	Route string `json:"route"`
	Reads bool   `json:"reads"` // somebody looks into its mailboxes
	Evidence
	Until   time.Time `json:"until"`            // what was handed over before this has been looked at
	Skipped bool      `json:"skipped"`          // it fell behind, and some was passed over
	Busy    bool      `json:"busy"`             // it leaves the groupware alone, which has mail to take
	Trouble string    `json:"trouble,omitzero"` // why mailboxes cannot be looked into; hostile text
	Since   time.Time `json:"since,omitzero"`   // of the trouble
}

// Status returns how all routes are, by name.
func (r *Reader) Status() []RouteStatus {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.routes))
	r.mu.Unlock()
	list := make([]RouteStatus, len(all))
	for i, one := range all {
		list[i] = one.status()
	}
	slices.SortFunc(list, func(a, b RouteStatus) int { return strings.Compare(a.Route, b.Route) })
	return list
}

const (
	// told is how often the text of an alarm follows the numbers.
	toldFor = 5 * time.Minute
	// blindFor is how long a route cannot be looked into before that is an alarm.
	blindFor = 15 * time.Minute
)

// Alarms returns what is wrong, by route.
func (r *Reader) Alarms() map[string]doppelboden.Telling {
	r.mu.Lock()
	all := maps.Clone(r.routes)
	r.mu.Unlock()
	wrong := map[string]doppelboden.Telling{}
	for key, one := range all {
		if said := one.wrong(); len(said) > 0 {
			wrong[key] = said
		}
	}
	return wrong
}

// parts returns the tenant and the name of a route's key.
func parts(key string) (tenant, name string) {
	tenant, name, _ = strings.Cut(key, "/")
	return tenant, name
}

// share reports whether a mailbox is among those that are looked into in an hour.
func (r *Reader) share(b doppelboden.BoxID, at time.Time) bool {
	h := maphash.Comparable(r.seed, [2]int64{int64(b), at.Unix() / 3600})
	return int(h%100) < r.opts.Pace.Share
}

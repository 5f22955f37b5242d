package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A countKey names one count.
type countKey struct {
	tenant doppelboden.TenantID
	state  doppelboden.State
}

// tallies are the counts of table count, in memory, and for each a Seq below which no
// delivery is in that state. So nobody ever counts rows, and who looks for the oldest
// need not start at the beginning each time.
type tallies struct {
	looking sync.Mutex // held by who looks for the oldest
	mu      sync.Mutex
	n       map[countKey]int64
	from    map[countKey]int64 // no smaller Seq is in the state; 0: not known
	entered map[countKey]int64 // the smallest Seq that entered since a look began
}

// load replaces everything by what the database says.
func (t *tallies) load(n map[countKey]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n, t.from, t.entered = n, map[countKey]int64{}, map[countKey]int64{}
}

// apply adds what a commit changed.
func (t *tallies) apply(changes map[countKey]change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, c := range changes {
		empty := t.n[k] == 0
		t.n[k] += c.by
		if c.entered == 0 {
			continue
		}
		if empty || c.entered < t.from[k] {
			t.from[k] = c.entered
		}
		if e := t.entered[k]; e == 0 || c.entered < e {
			t.entered[k] = c.entered
		}
	}
}

// begin starts a look at the counts that are not zero.
func (t *tallies) begin() (n, from map[countKey]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.entered)
	n = maps.Clone(t.n)
	maps.DeleteFunc(n, func(_ countKey, v int64) bool { return v == 0 })
	return n, maps.Clone(t.from)
}

// found notes the result of a look: the oldest had this Seq.
func (t *tallies) found(k countKey, seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entered[k]; e != 0 && e < seq {
		seq = e
	}
	t.from[k] = seq
}

// Counts returns the number of deliveries for every tenant and state that has any. The
// oldest is the one with the smallest Seq.
func (s *Store) Counts(ctx context.Context) ([]store.Count, error) {
	s.tallies.looking.Lock()
	defer s.tallies.looking.Unlock()
	n, from := s.tallies.begin()
	counts := make([]store.Count, 0, len(n))
	for k, deliveries := range n {
		seq, received, err := s.oldest(ctx, k, from[k])
		if err != nil {
			return nil, err
		}
		if seq > 0 {
			s.tallies.found(k, seq)
		}
		counts = append(counts, store.Count{Tenant: k.tenant, State: k.state, Deliveries: deliveries, Oldest: received})
	}
	slices.SortFunc(counts, func(a, b store.Count) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.State, b.State))
	})
	return counts, nil
}

// oldest finds the first delivery of a tenant in a state from a Seq on.
func (s *Store) oldest(ctx context.Context, k countKey, from int64) (seq int64, received time.Time, err error) {
	walk := s.scanFrom(from)
	for seq == 0 && err == nil {
		err = s.read(ctx, func(c *conn) error {
			low, high, more, err := walk.window(ctx, c)
			if err != nil || !more {
				return cmp.Or(err, errNoRow)
			}
			return c.query(ctx, func(row []driver.Value) error {
				seq, received = asInt(row[0]), asTime(row[1])
				return nil
			}, `SELECT d.seq, m.received FROM delivery d NOT INDEXED CROSS JOIN message m ON m.num = d.seq - d.n
				WHERE d.seq >= ? AND d.seq < ? AND d.state = ? AND d.tenant = ? ORDER BY d.seq LIMIT 1`,
				low, high, int64(k.state), int64(k.tenant))
		})
	}
	if errors.Is(err, errNoRow) {
		err = nil // it changed since it was counted
	}
	return seq, received, err
}

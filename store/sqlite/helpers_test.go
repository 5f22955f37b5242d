package sqlite

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

var ctx = context.Background()

// openAt opens a store with a chain of its own; edit changes the options.
func openAt(t testing.TB, path string, edit ...func(*Options)) *Store {
	t.Helper()
	o := Options{Path: path, Chain: &testChain{name: "node/" + time.Now().Format(time.RFC3339Nano)}}
	for _, e := range edit {
		e(&o)
	}
	s, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openNew opens a fresh store.
func openNew(t testing.TB, edit ...func(*Options)) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "store.db"), edit...)
}

// eventually waits until a thing is so. What it waits for has no channel to wait on.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("after 60 s still not: %s", what)
		case <-tick.C:
		}
	}
}

// accept accepts a realistic message.
func accept(t testing.TB, s *Store) *doppelboden.Message {
	t.Helper()
	var made realistic
	m := made.message(1)
	if _, err := s.Accept(ctx, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// links returns all links, and fails unless each continues the one before.
func links(t testing.TB, s *Store) (all []doppelboden.Link) {
	t.Helper()
	err := s.Links(ctx, time.Time{}, func(l doppelboden.Link) error {
		if n := len(all); n > 0 && all[n-1].Chain == l.Chain && (all[n-1].Number+1 != l.Number || all[n-1].Hash != l.Prev) {
			t.Errorf("link %d does not continue link %d", l.Number, all[n-1].Number)
		}
		all = append(all, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// entrySize is what testChain writes for an entry.
const entrySize = 1 + 16 + 32

// entriesIn counts the entries in links.
func entriesIn(links []doppelboden.Link) (n int) {
	for _, l := range links {
		n += len(l.Entries) / entrySize
	}
	return n
}

// rows counts deliveries by reading them.
func rows(t testing.TB, s *Store) (n int64) {
	t.Helper()
	if err := s.Deliveries(ctx, store.Filter{}, func(store.Item) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// checkCounts compares Counts with the rows.
func checkCounts(t testing.TB, s *Store) {
	t.Helper()
	counts, err := s.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, c := range counts {
		n += c.Deliveries
	}
	if want := rows(t, s); n != want {
		t.Errorf("Counts say %d deliveries, there are %d", n, want)
	}
}

// script is a list of faults: the first ones to come get the first errors.
type script struct {
	mu   sync.Mutex
	plan map[fault][]error
}

// faults returns what Options take.
func (f *script) faults() *faults {
	return &faults{at: func(at fault, _ *op) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.plan[at]) == 0 {
			return nil
		}
		err := f.plan[at][0]
		f.plan[at] = f.plan[at][1:]
		return err
	}}
}

// next plans what comes next at a place.
func (f *script) next(at fault, errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan == nil {
		f.plan = map[fault][]error{}
	}
	f.plan[at] = errs
}

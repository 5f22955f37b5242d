package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"doppelboden"
)

// interned is a store of destinations that counts how often it is asked.
type interned struct {
	list []doppelboden.Destination
	puts int
	fail bool
}

func (s *interned) PutDestination(_ context.Context, d doppelboden.Destination, _ time.Time) (doppelboden.BoxID, error) {
	if s.fail {
		return 0, errors.New("the disk is full")
	}
	s.puts++
	for _, known := range s.list {
		if d.ID = known.ID; d == known {
			return known.ID, nil
		}
	}
	d.ID = doppelboden.BoxID(-1 - len(s.list))
	s.list = append(s.list, d)
	return d.ID, nil
}

func (s *interned) Destinations(_ context.Context, yield func(doppelboden.Destination) error) error {
	for _, d := range s.list {
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}

func TestADomainThatIsInUseCostsTheStoreNothing(t *testing.T) {
	now := time.Now()
	s := &interned{list: []doppelboden.Destination{{ID: -1, Tenant: 1, Mailbox: 7, Route: "new"}, {ID: -2, Tenant: 1, Domain: "old.example"}}}
	d := NewDestinations(s, func() time.Time { return now })
	err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	box := func(tenant doppelboden.TenantID, domain string, want doppelboden.BoxID, puts int) {
		t.Helper()
		id, err := d.Box(t.Context(), tenant, domain)
		if id != want || err != nil || s.puts != puts {
			t.Errorf("box of %s: %d (%v) after %d puts, want %d after %d", domain, id, err, s.puts, want, puts)
		}
	}
	box(1, "old.example", -2, 1) // once in a run the store learns that it is in use
	box(1, "old.example", -2, 1)
	box(1, "x.example", -3, 2)
	box(1, "x.example", -3, 2)
	box(2, "x.example", -4, 3)
	now = now.Add(putEvery)
	box(1, "x.example", -3, 4)
	if to, ok := d.Of(-3); !ok || to.Domain != "x.example" || to.Tenant != 1 {
		t.Errorf("box -3 is %+v, %v", to, ok)
	}
	if _, ok := d.Of(-1); ok {
		t.Error("a second route of a mailbox counts as a domain")
	}
	s.fail = true
	if _, err := d.Box(t.Context(), 1, "new.example"); doppelboden.CodeOf(err) != doppelboden.Temporary {
		t.Errorf("while the store fails: %v, want a temporary error", err)
	}
	box(1, "x.example", -3, 4)
}

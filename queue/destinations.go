package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"doppelboden"
)

// DestinationStore is what Destinations needs of the store; see package store.
type DestinationStore interface {
	PutDestination(ctx context.Context, d doppelboden.Destination, at time.Time) (doppelboden.BoxID, error)
	Destinations(ctx context.Context, yield func(doppelboden.Destination) error) error
}

// Destinations knows the boxes of the Internet's domains, so that RCPT is answered without
// asking the store for a domain that somebody wrote to today. It holds one entry for each
// domain of the last weeks, some 150 bytes each: retention removes the others from the
// store, and a restart from here.
type Destinations struct {
	store DestinationStore
	clock func() time.Time

	mu      sync.RWMutex
	boxes   map[farKey]farBox
	domains map[doppelboden.BoxID]doppelboden.Destination
}

type farKey struct {
	tenant doppelboden.TenantID
	domain string
}

// A farBox is a box and when the store was last told that it is in use.
type farBox struct {
	id  doppelboden.BoxID
	put time.Time
}

// putEvery is how often the store is told that a domain is in use. It must be much
// shorter than what retention waits for before it removes one: see retention.Job.
const putEvery = 12 * time.Hour

// NewDestinations returns one that knows no domain yet; see Read.
func NewDestinations(s DestinationStore, clock func() time.Time) *Destinations {
	return &Destinations{store: s, clock: clock, boxes: map[farKey]farBox{}, domains: map[doppelboden.BoxID]doppelboden.Destination{}}
}

// Read makes what the store has known, and forgets the rest: the store may have been
// restored to a time at which it had given fewer numbers.
func (d *Destinations) Read(ctx context.Context) error {
	begun := d.clock()
	boxes, domains := map[farKey]farBox{}, map[doppelboden.BoxID]doppelboden.Destination{}
	err := d.store.Destinations(ctx, func(to doppelboden.Destination) error {
		if to.Mailbox == 0 {
			boxes[farKey{to.Tenant, to.Domain}] = farBox{id: to.ID}
			domains[to.ID] = to
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the destinations: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, b := range d.boxes {
		if !b.put.Before(begun) { // since
			boxes[key], domains[b.id] = b, d.domains[b.id]
		}
	}
	d.boxes, d.domains = boxes, domains
	return nil
}

// Box returns the box in which a tenant's mail for a domain waits. Errors are those of
// PutDestination; of a domain that is known there is none while the store does not answer.
func (d *Destinations) Box(ctx context.Context, tenant doppelboden.TenantID, domain string) (doppelboden.BoxID, error) {
	now, key := d.clock(), farKey{tenant, domain}
	d.mu.RLock()
	known, ok := d.boxes[key]
	d.mu.RUnlock()
	if ok && now.Sub(known.put) < putEvery && !known.put.After(now) {
		return known.id, nil
	}
	to := doppelboden.Destination{Tenant: tenant, Domain: domain}
	id, err := d.store.PutDestination(ctx, to, now)
	if err != nil {
		if ok && !doppelboden.CodeOf(err).Permanent() {
			return known.id, nil // it is told again with the next mail, long before it would go
		}
		return 0, fmt.Errorf("keep the destination: %w", err)
	}
	to.ID = id
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes[key], d.domains[id] = farBox{id, now}, to
	return id, nil
}

// Of returns the destination of a box, if it is a domain of the Internet.
func (d *Destinations) Of(b doppelboden.BoxID) (doppelboden.Destination, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	to, ok := d.domains[b]
	return to, ok
}

package store

import (
	"context"
	"math"
	"time"

	"doppelboden"
)

// Unnumbered is the box of mail for a domain of the Internet whose number could not be had
// when it was accepted. It never comes into a store: who drains what landed has the domain
// of the recipient numbered first.
const Unnumbered doppelboden.BoxID = math.MinInt64

// Destinations are where mail goes that does not go to a mailbox's own route, and the
// queue of what waits for them without an order.
type Destinations interface {
	// PutDestination gives the number of the destination with d's Tenant, Mailbox, Route
	// and Domain, and notes that it is in use at the time at. The same content has the
	// same number as long as it is in use, and no number is ever given to another. The
	// code is Invalid when d is neither a route of a mailbox nor a domain.
	PutDestination(ctx context.Context, d doppelboden.Destination, at time.Time) (doppelboden.BoxID, error)

	// Destinations yields all of them, in no order.
	Destinations(ctx context.Context, yield func(doppelboden.Destination) error) error

	// DropDestinations removes domains of the Internet that were not put since cut and
	// that nothing queued or held goes to, and returns how many.
	DropDestinations(ctx context.Context, cut time.Time) (int, error)

	// Due returns for each of the boxes, which are destinations, its queued deliveries in
	// the order of Next and then Seq, at most limit for each. Of those that are due after
	// until it returns only the first, which says when something is due again. It may be
	// asked for up to 100 boxes at once.
	Due(ctx context.Context, boxes []doppelboden.BoxID, until time.Time, limit int) ([]Item, error)
}

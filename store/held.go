package store

import (
	"context"
	"strings"
	"time"

	"doppelboden"
)

// Held holds why deliveries are held. What is written about a delivery when it becomes
// held (Settlement.Hold, or HoldOf at Accept) is gone as soon as it is no longer held;
// when it is held anew, it is replaced.
type Held interface {
	// HeldGroups yields what is held of a tenant, or of all (0), by group (Hold.Group), in
	// the order of their names. It reads an index of what is held.
	HeldGroups(ctx context.Context, t doppelboden.TenantID, yield func(HeldGroup) error) error

	// HeldWhy returns why deliveries are held, by Seq; those that are not held are left
	// out. It may be asked for up to 1,000 at once.
	HeldWhy(ctx context.Context, seqs []int64) (map[int64]HeldWhy, error)

	// RefusedBoxes yields every group and box with deliveries that are tried again by
	// themselves (HoldReason.TriedAgain), by group and box.
	RefusedBoxes(ctx context.Context, yield func(RefusedBox) error) error

	// Failing yields what is queued and was tried before without success, of a tenant or of
	// all (0), by tenant and Seq, at the cost of what it yields.
	Failing(ctx context.Context, t doppelboden.TenantID, yield func(Failing) error) error
}

// HeldWhy says why one delivery is held.
type HeldWhy struct {
	doppelboden.Hold
	Group string
	At    time.Time // when it was held last: At of the settlement
}

// A HeldGroup is what is held for the same reason with the same words on the same route.
type HeldGroup struct {
	doppelboden.Hold
	Group      string
	Tenant     doppelboden.TenantID
	Deliveries int64
	Boxes      int64     // in which they wait
	Last       time.Time // when the last of them came in
	Oldest     Item      // the one with the smallest Seq
}

// A RefusedBox says that a box has deliveries in a group that are tried again.
type RefusedBox struct {
	doppelboden.Hold
	Group     string
	Tenant    doppelboden.TenantID
	Box       doppelboden.BoxID
	Mailbox   doppelboden.MailboxID // of the first of them
	Recipient doppelboden.Address   // of the first of them
	Last      time.Time             // when the last of them came in
}

// A Failing is a queued delivery that was tried without success.
type Failing struct {
	Seq       int64
	Tenant    doppelboden.TenantID
	Mailbox   doppelboden.MailboxID
	Box       doppelboden.BoxID
	Recipient doppelboden.Address
	Reply     string
	Changed   time.Time
}

// HoldOf returns why a delivery is held that comes into being so: nobody has its address, a
// next server refused it while it took the same mail for others, or a check was against it.
func HoldOf(d *doppelboden.Delivery) doppelboden.Hold {
	switch {
	case BoxOf(d) == 0:
		return doppelboden.Hold{Reason: doppelboden.HeldForNobody}
	case d.Attempts > 0:
		return doppelboden.Hold{Reason: doppelboden.HeldMail}
	case strings.HasPrefix(d.Reply, "quarantine"):
		return doppelboden.Hold{Reason: doppelboden.HeldMalware}
	}
	return doppelboden.Hold{Reason: doppelboden.HeldByCheck}
}

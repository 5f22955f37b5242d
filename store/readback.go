package store

import (
	"context"
	"strings"
	"time"

	"doppelboden"
)

// A Handed is a delivery that a next server took: Delivered or Confirmed.
type Handed struct {
	Ref       doppelboden.Ref
	Seq       int64
	Tenant    doppelboden.TenantID
	Mailbox   doppelboden.MailboxID
	Box       doppelboden.BoxID
	Recipient doppelboden.Address
	State     doppelboden.State
	At        time.Time // when the next server took it
	Received  time.Time // when its message was received
	Sighting  Sighting  // what was seen of it; zero while it is not Confirmed
}

// A Sighting is what was seen of a delivery in its mailbox.
type Sighting struct {
	Validity uint32    // UIDVALIDITY of the folder; 0 when it was not the inbox
	UID      uint32    // in that folder
	Size     int64     // as the mailbox's server counts it, in bytes
	Date     time.Time // its INTERNALDATE
}

// A HandedFilter selects what next servers took.
type HandedFilter struct {
	From, To time.Time            // took at From or later, and before To; zero To: no bound
	Tenant   doppelboden.TenantID // 0: of every tenant
	Box      doppelboden.BoxID    // 0: for every box
	AfterSeq int64                // of what was taken at From, only greater Seqs; with a Box, only greater Seqs at all
	Limit    int                  // at most so many; 0: no bound
}

// A Confirmation says that a delivery lies in its mailbox.
type Confirmation struct {
	Ref doppelboden.Ref
	Sighting
	By string
	At time.Time
}

// ReplayBy begins the By of a settlement that opens an ended delivery again.
const ReplayBy = "replay:"

// Readback is what is known of mail after the next server has taken it. What lies in a
// mailbox of ours (route "here") was taken by nobody.
type Readback interface {
	// Handed yields what f selects by the time at which it was taken, and by Seq within a
	// microsecond; with a Box by Seq alone. The next page begins at the time and behind
	// the Seq of the last one.
	Handed(ctx context.Context, f HandedFilter, yield func(Handed) error) error

	// Confirm makes deliveries Confirmed as Settle does, and keeps what was seen. One that
	// is Confirmed already keeps the new sighting. Its reply stays what the next server
	// said. A delivery that is not Delivered is passed over.
	Confirm(ctx context.Context, lease Lease, list []Confirmation) error
}

// Effective reports whether a settlement changes a delivery that was last written at a
// time, in a state. Promise 4: a late success is recorded, a late failure is dropped. A
// replay opens what was taken before it was decided, so that its repetition does not open
// what it handed over itself.
func Effective(was doppelboden.State, changed time.Time, s *doppelboden.Settlement) bool {
	switch {
	case !was.Ended():
		return true
	case s.State == doppelboden.Confirmed:
		return was != doppelboden.Confirmed
	case s.State == doppelboden.Delivered:
		return was == doppelboden.Bounced || was == doppelboden.Discarded
	case s.State == doppelboden.Queued && strings.HasPrefix(s.By, ReplayBy):
		return (was == doppelboden.Delivered || was == doppelboden.Confirmed) && changed.Before(s.At.Truncate(time.Microsecond))
	}
	return false
}

package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Listing is what became of the list of mailboxes that one source of a tenant gives.
type Listing struct {
	Tenant  doppelboden.TenantID
	Source  string    // the directory's name in city.toml, or "" for what people do
	Read    time.Time // when the list was last read as a whole and used; zero: never
	Tried   time.Time // when it was last asked for
	Trouble string    // why that led to nothing; "" when it did
	Writing bool      // mailboxes are being written: what is there may be a part of the list
	Lost    int       // addresses that the refused list would have taken away; 0: none was refused
}

// Lists holds where mailboxes come from, and mail that nobody's mailbox took.
type Lists interface {
	// PutListing replaces what is known of a source.
	PutListing(ctx context.Context, l Listing) error

	// Listings returns all of them, by tenant and source.
	Listings(ctx context.Context) ([]Listing, error)

	// Retire says that nobody lists mailboxes any more, all in one commit. They keep
	// their numbers and their mail; their addresses are free for others. PutMailboxes
	// with such an address brings the mailbox back. Unknown ones are passed over.
	Retire(ctx context.Context, ids []doppelboden.MailboxID, at time.Time) error

	// Assign gives a held delivery that belongs to no mailbox to one: the next server is
	// asked for a.To from then on, the message gets a copy in its INBOX, and the delivery
	// goes to a.State. The code is Invalid for a delivery that is not held or belongs to
	// somebody, NotFound for one that does not exist, Fenced as in Queue.Settle.
	Assign(ctx context.Context, lease Lease, a Assignment) error

	// Unassigned returns how many held deliveries of each tenant belong to no mailbox.
	Unassigned(ctx context.Context) (map[doppelboden.TenantID]int64, error)
}

// An Assignment gives mail that was kept for nobody to a mailbox.
type Assignment struct {
	Ref     doppelboden.Ref
	Mailbox doppelboden.MailboxID
	To      doppelboden.Address
	State   doppelboden.State // Queued, or Delivered when the copy is the delivery
	By      string            // who decided
	At      time.Time
}

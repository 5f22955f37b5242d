package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Way says where the mail of one mailbox goes, where that is not what the configuration
// says of its domain. Its zero Route and empty Also say that nothing is different.
type Way struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Route   string    // name of a route of the tenant; "": that of the mailbox's domain
	Also    []string  // names of routes that its mail goes to as well, in their order
	By      string    // who decided
	At      time.Time // when
}

// Ways holds the ways of single mailboxes.
type Ways interface {
	// PutWays replaces the ways of mailboxes, all in one commit. A way that says nothing
	// different is removed. Every route in Also gets a Destination of its mailbox, if it
	// has none yet.
	PutWays(ctx context.Context, ways []Way) error

	// Ways yields all ways, by mailbox.
	Ways(ctx context.Context, yield func(Way) error) error

	// Rebox lets deliveries that have not ended wait in the order of another box. Unknown
	// refs and deliveries that have ended are passed over; what the mailbox shows stays as
	// it is. lease is as in Queue.Settle.
	Rebox(ctx context.Context, lease Lease, refs []doppelboden.Ref, box doppelboden.BoxID) error
}

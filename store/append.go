package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Filing is what a mailbox's folder said right before mails of a box were put into it.
// When nobody knows what came of that, what lies there at UID Next and above is compared
// with what was to be put there.
type Filing struct {
	Tenant   doppelboden.TenantID
	Box      doppelboden.BoxID
	Route    string // the lane by which the mailbox was reached
	Folder   string // as the groupware names it; "": that for new mail
	Validity uint32 // UIDVALIDITY of the folder: RFC 9051, section 2.3.1.1
	Next     uint32 // its UIDNEXT before the first of the mails
	Through  int64  // Seq of the last of the mails
	At       time.Time
}

// Filings holds the last filing of every box that ever had one: a row for each mailbox.
type Filings interface {
	// PutFiling replaces what is known of f.Box. It is durable when it returns, and only
	// then may mail be put into the folder. lease is as in Queue.Settle.
	PutFiling(ctx context.Context, lease Lease, f Filing) error

	// FilingOf returns the last filing of a box. NotFound.
	FilingOf(ctx context.Context, box doppelboden.BoxID) (Filing, error)
}

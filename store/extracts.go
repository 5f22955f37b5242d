package store

import (
	"context"

	"doppelboden"
)

// An Extract is what was taken out of a mail for lists and for searching. Both parts are
// sealed with a key that comes from the body's own, so whoever may not read the body reads
// nothing here.
type Extract struct {
	Message doppelboden.ID
	Format  int    // which version of package search wrote it
	Summary []byte // sealed
	Text    []byte // sealed
}

// An Extracted is an extract with what is needed to open it.
type Extracted struct {
	Message    doppelboden.ID
	KeyVersion int    // of the body: doppelboden.Body
	Key        []byte // of the body, wrapped
	Format     int    // 0: there is no extract; Summary and Text are empty
	Summary    []byte // empty unless asked for
	Text       []byte // empty unless asked for
}

// A Take says which parts of extracts to read.
type Take int

// The parts of an extract.
const (
	TakeSummary Take = 1 << iota
	TakeText
)

// Extracts keeps what package search takes out of mails. An extract goes with its message.
type Extracts interface {
	// PutExtracts adds extracts, or replaces them, in one commit. Messages that no longer
	// exist are passed over.
	PutExtracts(ctx context.Context, list []Extract) error

	// Extracts yields what there is of the tenant's messages, in no order; ids are distinct.
	// Messages that do not exist, or are another tenant's, are passed over. It may be asked
	// for up to 1,000 at once.
	Extracts(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, take Take, yield func(Extracted) error) error

	// TextsOf yields, in no order, what is needed to read the tenant's messages: ID, Tenant,
	// Scan, Prefix and Body; nothing else of them is set. For ids holds what Extracts says.
	TextsOf(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, yield func(*doppelboden.Message) error) error

	// Unextracted looks at up to limit messages behind after, in the order in which they
	// were kept, and returns those that lie in a mailbox of ours and have no extract of
	// this format, and where to go on. next equals after when there was nothing to look at.
	Unextracted(ctx context.Context, format int, after int64, limit int) (list []doppelboden.ID, next int64, err error)
}

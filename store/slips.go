package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Slip is a small note that people leave with a mailbox: a signature, who answers a
// mail. What it says is sealed.
type Slip struct {
	Tenant     doppelboden.TenantID
	Mailbox    doppelboden.MailboxID
	Kind       string    // what it is for: "signature", "taken", "absence", "answered"
	Key        string    // unique among those of its kind in the mailbox; may be empty
	Value      []byte    // sealed with the key that Wrapped holds
	Wrapped    []byte    // wrapped by the tenant's key
	KeyVersion int       // the version of the tenant's key
	At         time.Time // when it was written
	Until      time.Time // when it ends; zero: never
}

// A SlipFilter selects slips; zero fields select all.
type SlipFilter struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Kind    string
}

// Slips keeps slips.
type Slips interface {
	// PutSlip keeps a slip in the place of the one with its mailbox, kind and key.
	PutSlip(ctx context.Context, s Slip) error

	// ClaimSlip keeps a slip unless one with its mailbox, kind and key is there that has not
	// ended when this one was written, and reports whether it did. Of those who ask for the
	// same at the same time, one is told so, at whatever node.
	ClaimSlip(ctx context.Context, s Slip) (claimed bool, err error)

	// Slips yields slips by mailbox, kind and key, those that have ended too.
	Slips(ctx context.Context, f SlipFilter, yield func(Slip) error) error

	// DropSlip removes a slip. One that is not there is no error.
	DropSlip(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, kind, key string) error

	// DropSlips removes up to limit slips that ended before cut, and returns how many.
	DropSlips(ctx context.Context, cut time.Time, limit int) (int, error)
}

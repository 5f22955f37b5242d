package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Mode says how people use a mailbox, where that is not in the groupware alone.
type Mode struct {
	Tenant    doppelboden.TenantID
	Mailbox   doppelboden.MailboxID
	Emergency bool      // it is used here; else somebody said that it is not, although Event lasts
	By        string    // who said so: "event 3", "person:12", a name
	At        time.Time // when
	Event     int64     // the last event that was heard of; 0: none
	Used      time.Time // when it was last used here, some minutes exactly; zero: never
}

// Modes holds how mailboxes are used.
type Modes interface {
	// PutModes replaces the modes of mailboxes, all in one commit. One that is not Emergency
	// and has no Event says nothing and is removed.
	PutModes(ctx context.Context, list []Mode) error

	// UseModes notes that mailboxes were used here, of those that are Emergency.
	UseModes(ctx context.Context, mailboxes []doppelboden.MailboxID, at time.Time) error

	// Modes yields all modes, by mailbox.
	Modes(ctx context.Context, yield func(Mode) error) error
}

// A Sending is a mail that somebody was about to send from a mailbox: whether it was sent,
// its message tells.
type Sending struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	Key     [16]byte       // names the sending in the mailbox; unguessable or a sum of that
	Message doppelboden.ID // which it becomes
	Node    string         // that was about to send it
	At      time.Time
}

// Sendings keeps one mail from being sent twice.
type Sendings interface {
	// PutSending keeps s, unless there is one with its mailbox and key: then that one is
	// returned, and stays, or, when it is of the message instead, is replaced. It is durable
	// when it returns.
	PutSending(ctx context.Context, s Sending, instead doppelboden.ID) (Sending, error)

	// DropSendings removes up to limit sendings from before cut and returns how many.
	DropSendings(ctx context.Context, cut time.Time, limit int) (int, error)
}

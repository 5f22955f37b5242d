package store

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"doppelboden"
)

// An EventKind says what an event is.
type EventKind string

const (
	// Outage: a groupware does not take the mail of some mailboxes.
	Outage EventKind = "outage"
	// Maintenance: it is planned that it does not.
	Maintenance EventKind = "maintenance"
	// Attack: somebody else may have the tenant's own systems; see Shut. Only a person opens
	// and ends it.
	Attack EventKind = "attack"
)

// An Event is a time in which mailboxes are not served by their groupware, or are not
// expected to be. The number is small, from 1, and unique within the tenant.
type Event struct {
	Tenant   doppelboden.TenantID
	Number   int64
	Kind     EventKind
	Minor    bool       // an outage of single mailboxes, which says nothing about others
	Route    string     // of an outage: the name of the route within the tenant
	Whole    bool       // of an outage: the route itself does not work, for whomever it is
	Scope    EventScope // of a maintenance: whom it is planned for
	Since    time.Time  // when it began, or, of a maintenance that is to come, was planned
	Until    time.Time  // when it ended; zero while it lasts
	ClosedBy string     // who ended it; "" while it lasts
	Starts   time.Time  // of a maintenance: from when on; else zero
	Ends     time.Time  // of a maintenance: until when; else zero
	Why      string     // of a maintenance: what for; may be empty

	Concerned int64 // mailboxes, as of the last step
	Most      int64 // mailboxes at once
}

// An EventScope says whom a maintenance is planned for: the mailboxes of routes,
// departments and buildings, and single ones, all together.
type EventScope struct {
	Routes      []string                `json:"routes,omitempty"` // names within the tenant
	Departments []string                `json:"departments,omitempty"`
	Buildings   []string                `json:"buildings,omitempty"`
	Mailboxes   []doppelboden.MailboxID `json:"mailboxes,omitempty"`
}

// An EventStep is a line in the story of an event, and who came to be concerned by it.
type EventStep struct {
	N      int    // from 1, without gaps
	What   string // such as "opened", "grew", "noted", "closed"; see package event
	At     time.Time
	By     string // who did it; "" when nobody had to
	Note   string // one line; a person's words, or a groupware's; may be empty
	Joined []doppelboden.MailboxID
	Left   []doppelboden.MailboxID
}

// An EventReply is what a groupware said during an event, without what differs from mail
// to mail.
type EventReply struct {
	Text  string
	Count int64
	First time.Time
	Last  time.Time
}

// An EventChange is what one call writes about an event.
type EventChange struct {
	Event   Event
	Steps   []EventStep
	Replies []EventReply // with their counts so far
}

// Events keeps the story of outages and maintenances.
type Events interface {
	// PutEvent writes an event as it is now, adds steps, and replaces the counts of
	// replies, in one commit. Steps that are there already, by N, stay as they are. lease
	// is as in Queue.Settle.
	PutEvent(ctx context.Context, lease Lease, c EventChange) error

	// Events yields all events of a tenant, or of all with 0, by tenant and number.
	Events(ctx context.Context, t doppelboden.TenantID, yield func(Event) error) error

	// Event returns an event with all its steps, by N, and its replies, those with the
	// highest count first. NotFound.
	Event(ctx context.Context, t doppelboden.TenantID, number int64) (EventChange, error)
}

// PackMailboxes writes a list of mailboxes into few bytes, whatever its order: the
// distances between their numbers. It is how engines keep such lists.
func PackMailboxes(ids []doppelboden.MailboxID) []byte {
	if len(ids) == 0 {
		return nil
	}
	ids = slices.Sorted(slices.Values(ids))
	packed := make([]byte, 0, len(ids)+8)
	last := doppelboden.MailboxID(0)
	for _, id := range ids {
		packed = binary.AppendUvarint(packed, uint64(id-last))
		last = id
	}
	return packed
}

// UnpackMailboxes reads what PackMailboxes wrote. What is not whole is left out.
func UnpackMailboxes(packed []byte) []doppelboden.MailboxID {
	if len(packed) == 0 {
		return nil
	}
	ids := make([]doppelboden.MailboxID, 0, len(packed))
	last := doppelboden.MailboxID(0)
	for len(packed) > 0 {
		step, n := binary.Uvarint(packed)
		if n <= 0 {
			break
		}
		last += doppelboden.MailboxID(step)
		ids, packed = append(ids, last), packed[n:]
	}
	return ids
}

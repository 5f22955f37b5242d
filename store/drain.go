package store

import (
	"context"

	"doppelboden"
)

// A Landed is what one commit of a landing kept: a link of the landing's chain, and the
// messages that the link's entries record.
type Landed struct {
	Link     doppelboden.Link
	Messages []*doppelboden.Message

	// Aside says that the link may be there although the messages never were: they had been
	// refused, or their turn had not come.
	Aside bool

	// Follows says that the link before this one was drained by an earlier call. When it is
	// not there, the database has lost what it had: nothing of the call is written, and the
	// code is NotFound.
	Follows bool
}

// A Drainer takes over what a landing keeps and has acknowledged already.
type Drainer interface {
	// Drain writes landed commits of one chain, which follow each other by number, in one
	// commit: the links as they are, and the messages as Accept does, but without entries
	// of their own, for those of the links record them. Deliveries get their Seq.
	//
	// Links and messages that are there already stay as they are, so that the same may be
	// drained any number of times; the deliveries of such a message get the Seq and Box
	// that they have there, the State, and since when. A link with the number of another one that is
	// there is Invalid. What cannot be written for its own sake (the code is Invalid)
	// harms nothing else: nothing of the call is written, and the caller finds out which
	// it is by draining less. The context bounds the wait for a place in a commit, never
	// the commit.
	Drain(ctx context.Context, landed []Landed) error

	// Drained returns the number of the last link of a chain; 0 for none.
	Drained(ctx context.Context, chain string) (int64, error)
}

// Entries returns what the ledger records of a message that comes into being.
func Entries(m *doppelboden.Message) []doppelboden.Entry {
	first := doppelboden.Entry{Kind: doppelboden.EntryAccepted, At: m.Received, Tenant: m.Tenant, Message: m.ID,
		Recipients: m.Recipients, Deliveries: len(m.Deliveries), Expanded: m.Expanded, Merged: m.Merged,
		Generated: m.Door == "generated", Sum: m.Body.Sum}
	var settled []doppelboden.Entry
	for i := range m.Deliveries {
		switch d := &m.Deliveries[i]; {
		case d.State == doppelboden.Delivered && d.Attempts > 0: // a next server took it meanwhile
			settled = append(settled, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: d.Changed, Tenant: m.Tenant,
				Message: m.ID, N: i, State: doppelboden.Delivered, By: "courier"})
		case d.State == doppelboden.Delivered:
			first.Here = append(first.Here, i)
		case d.State == doppelboden.Held:
			settled = append(settled, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: m.Received, Tenant: m.Tenant,
				Message: m.ID, N: i, State: doppelboden.Held, By: "intake"})
		}
	}
	return append([]doppelboden.Entry{first}, settled...)
}

package queue

import (
	"context"

	"doppelboden"
	"doppelboden/store"
)

// A Returner tells senders what became of their mail; see intake.Returner. The queue asks
// it before it writes a settlement that ends a delivery without success, or with one that
// the sender wants to hear of, and writes what it answers in the same order.
type Returner interface {
	// Return completes what is to be written about deliveries of one message that end at
	// the same moment. It answers one settlement for each ending: as Ending.Settlement
	// has it, with the DSN as its Generated (one DSN for all of them), or with another
	// state where the mail may not be returned: Held for a person, Discarded for what has
	// no sender to be returned to. Who writes it hands Generated to Notify afterwards.
	//
	// It may be called again for the same deliveries as long as nothing is written; what
	// it made before is then of no effect. An error means that nothing can be said yet:
	// the deliveries stay as they are and the caller comes back later (nothing ends
	// without its notice).
	Return(ctx context.Context, ends []Ending) ([]doppelboden.Settlement, error)
}

// An Ending is a delivery that is about to end.
type Ending struct {
	Item   store.Item
	How    How
	Reply  doppelboden.Reply // the next server's last words; zero when there were none
	Server string            // host:port that said so, or empty
	Why    string            // for Returned: the reason that a person gives, one line

	// Settlement is what would be written if nobody had to be told.
	Settlement doppelboden.Settlement
}

// How says how a delivery ends.
type How int

const (
	// Refused: the next server said a clear no about this recipient.
	Refused How = iota + 1
	// Expired: the age limit of the Internet was reached.
	Expired
	// Returned: a person had it sent back to its sender.
	Returned
	// Relayed: the next server took it and does not tell the sender (no DSN extension).
	Relayed
	// Arrived: it lies in the recipient's mailbox.
	Arrived
)

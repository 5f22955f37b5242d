package queue

import (
	"context"

	"doppelboden"
)

// A Returner tells senders what became of their mail; intake.Intake is one. The queue
// asks it before it writes a settlement that ends a delivery without success, or with a
// success that the sender wants to hear of (doppelboden.Notify), and writes what it
// answers.
type Returner interface {
	// Return completes what is to be written about deliveries of one message that end at
	// the same moment. It answers one settlement for each ending, in their order: as
	// Ending.Settlement has it, with the DSN as its Generated (one DSN for all of them),
	// or with another state where the mail may not be returned: Held for a person,
	// Discarded for what has no sender. Generated is for Notify once it is written.
	//
	// It may be called again for the same deliveries as long as nothing is written; what
	// it made before has no effect then. An error says that nothing can be said yet: the
	// deliveries stay as they are, and the caller comes back later, for nothing ends
	// without its notice.
	Return(ctx context.Context, ends []doppelboden.Ending) ([]doppelboden.Settlement, error)
}

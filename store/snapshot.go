package store

import (
	"context"

	"doppelboden"
)

// A Snapshotter copies a database while it is in use.
type Snapshotter interface {
	// Snapshot writes the state of one moment into the new file to, durably, and says what
	// it holds. Reading and writing go on meanwhile.
	//
	// moment, which may be nil, is called at that moment: no commit happens until it
	// returns, so that what it measures fits to the state; it must be short and not call
	// the store. After an error of any kind there is no file that anybody could use. The
	// context ends the copy.
	Snapshot(ctx context.Context, to string, moment func() error) (Snapshot, error)
}

// A Snapshot says what a copy of a database holds.
type Snapshot struct {
	Schema   int              // how many migrations it has seen
	Rows     map[string]int64 // rows by table
	Messages int64            // rows of messages
	Counts   []Count          // deliveries by tenant and state
	Bodies   map[string]int64 // by segment, the greatest Offset + Size of the bodies in it
	LastKnot doppelboden.Knot // without Heads; Number 0: there is none
}

package store

import (
	"context"
	"time"

	"doppelboden"
)

// Notices tie what we tell senders to the deliveries that it is about. They are written
// with the notice itself, from Message.About; see Acceptor.Accept and Queue.Settle.
type Notices interface {
	// Notices returns the notices about deliveries of a message, in the order in which
	// they were made; one that is about several deliveries, once for each.
	Notices(ctx context.Context, message doppelboden.ID) ([]Notice, error)

	// Overdue returns queued deliveries of one box that wait since before cut and about
	// which there is no notice yet, of messages with a confirmed sender, in the order of
	// Seq, at most limit with a Seq greater than after.
	Overdue(ctx context.Context, box doppelboden.BoxID, cut time.Time, after int64, limit int) ([]Item, error)
}

// A Notice is one message of ours about one delivery.
type Notice struct {
	ID doppelboden.ID // of the notice
	N  int            // of the delivery that it is about
}

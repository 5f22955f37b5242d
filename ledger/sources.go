package ledger

import (
	"context"
	"errors"
	"time"

	"doppelboden/store"
	"doppelboden/tally"
)

// Doors reads what the doors logged; see tally.ReadDoors for the order, the damage and
// what it must show.
type Doors interface {
	ReadDoors(from, to time.Time, yield func(tally.DoorRecord) error) error
}

// Replies reads what the couriers logged; see tally.ReadReplies.
type Replies interface {
	ReadReplies(from, to time.Time, yield func(tally.ReplyRecord) error) error
}

// A Tally is a folder with logs of package tally. It implements Doors and Replies.
type Tally struct {
	Dir   string
	Flush func() error // makes readers see what waits in memory; nil when nobody writes
}

// ReadDoors implements Doors.
func (t Tally) ReadDoors(from, to time.Time, yield func(tally.DoorRecord) error) error {
	if err := t.flush(); err != nil {
		return err
	}
	return tally.ReadDoors(t.Dir, from, to, yield)
}

// ReadReplies implements Replies.
func (t Tally) ReadReplies(from, to time.Time, yield func(tally.ReplyRecord) error) error {
	if err := t.flush(); err != nil {
		return err
	}
	return tally.ReadReplies(t.Dir, from, to, yield)
}

func (t Tally) flush() error {
	if t.Flush == nil {
		return nil
	}
	return t.Flush()
}

// Rows reads delivery rows; see store.Queue.
type Rows interface {
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
}

// Sources are what a balance is drawn from.
//
// It rests on three promises of the rooms: a door's intent is on the disk before the
// message is accepted, its Sent is written after that, and an answer is on the disk
// before the state that follows from it.
type Sources struct {
	Doors   Doors
	Ledger  LinkReader
	Replies Replies
	Rows    Rows

	Clock func() time.Time // nil: time.Now

	// Started is when the present run of the node began; zero says that none runs. An
	// answer of an earlier run may have been lost on its way to the ledger.
	Started time.Time

	// PerPass bounds the messages that are in memory at once, about 130 bytes each;
	// 0: 400,000. More need more walks over the sources.
	PerPass int

	Progress func(Progress) // may be nil
}

// defaultPerPass keeps a balance near 50 MB.
const defaultPerPass = 400000

func (s *Sources) validate() error {
	if s.Doors == nil || s.Ledger == nil || s.Replies == nil || s.Rows == nil {
		return errors.New("a source is missing")
	}
	if s.Clock == nil {
		s.Clock = time.Now
	}
	if s.PerPass <= 0 {
		s.PerPass = defaultPerPass
	}
	return nil
}

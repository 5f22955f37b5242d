package directory

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
)

// Mailboxes is where mailboxes are written; see store.City and store.Lists.
type Mailboxes interface {
	PutMailboxes(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error)
	Retire(ctx context.Context, ids []doppelboden.MailboxID, at time.Time) error
}

// chunk is how many mailboxes one commit writes. Mail that comes in meanwhile waits for
// one of them, some ten milliseconds.
const chunk = 500

// Put writes mailboxes, some with each commit, and returns them with their numbers, and
// those that could not be written because others have their addresses, with the reason.
// Mailboxes may exchange addresses among each other. After an error it may be repeated.
func Put(ctx context.Context, s Mailboxes, boxes []doppelboden.Mailbox, progress func(done int)) (put []doppelboden.Mailbox, refused []Refused, err error) {
	refused = make([]Refused, 0)
	for waiting := boxes; len(waiting) > 0; {
		refused = refused[:0]
		for begin := 0; begin < len(waiting); begin += chunk {
			part := waiting[begin:min(begin+chunk, len(waiting))]
			written, not, err := putSome(ctx, s, part)
			if err != nil {
				return put, refused, err
			}
			put, refused = append(put, written...), append(refused, not...)
			progress(len(put))
		}
		// What one had to give up first, another may have now.
		if len(refused) == len(waiting) {
			break
		}
		waiting = nil
		for _, r := range refused {
			waiting = append(waiting, r.Mailbox)
		}
	}
	return put, refused, nil
}

// A Refused is a mailbox that could not be written, and why.
type Refused struct {
	Mailbox doppelboden.Mailbox
	Why     error
}

// putSome writes mailboxes in one commit, or, when one of them is refused, each in one.
func putSome(ctx context.Context, s Mailboxes, part []doppelboden.Mailbox) (put []doppelboden.Mailbox, refused []Refused, err error) {
	put, err = s.PutMailboxes(ctx, part)
	if err == nil || doppelboden.CodeOf(err) != doppelboden.Invalid {
		return put, nil, err
	}
	put = nil
	for i := range part {
		one, err := s.PutMailboxes(ctx, part[i:i+1])
		switch {
		case err == nil:
			put = append(put, one...)
		case doppelboden.CodeOf(err) == doppelboden.Invalid:
			refused = append(refused, Refused{Mailbox: part[i], Why: err})
		default:
			return put, refused, fmt.Errorf("write %s: %w", part[i].Address, err)
		}
	}
	return put, refused, nil
}

// retire takes mailboxes out of use, some with each commit.
func retire(ctx context.Context, s Mailboxes, ids []doppelboden.MailboxID, at time.Time) error {
	for begin := 0; begin < len(ids); begin += chunk {
		if err := s.Retire(ctx, ids[begin:min(begin+chunk, len(ids))], at); err != nil {
			return fmt.Errorf("retire mailboxes: %w", err)
		}
	}
	return nil
}

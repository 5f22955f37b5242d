package handback

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// An opening is the last event in which somebody opened a mailbox, as far as this run of the
// node knows.
type opening struct {
	event int64
	since time.Time // when the event began
	noted bool      // it is on the disk
}

// Opened is told that somebody opens a mailbox. In an event it is noted, once and without
// the hour, so that the owner gets the last letter also where nothing was done that goes back.
// It is on the disk when it returns without an error; else Run notes it.
func (r *Room) Opened(ctx context.Context, m doppelboden.MailboxID) error {
	if _, ok := r.opts.Place(m); !ok {
		return nil
	}
	number, since, err := r.opts.Event(ctx, m, r.opts.Clock())
	if err != nil {
		return fmt.Errorf("find the event: %w", err)
	}
	if number <= 0 { // also who says that hers alone does not work: nobody knows when that ends
		return nil
	}
	r.mu.Lock()
	o := r.openings[m]
	if o.event != number {
		o = opening{event: number, since: since}
		r.openings[m] = o
	}
	r.mu.Unlock()
	if o.noted {
		return nil
	}
	return r.noteOpening(ctx, m, o)
}

// noteOpenings notes what could not be noted when it happened.
func (r *Room) noteOpenings(ctx context.Context) error {
	left := map[doppelboden.MailboxID]opening{}
	r.mu.Lock()
	for m, o := range r.openings {
		if !o.noted {
			left[m] = o
		}
	}
	r.mu.Unlock()
	for m, o := range left {
		if err := r.noteOpening(ctx, m, o); err != nil {
			return err
		}
	}
	return nil
}

// noteOpening writes down that a mailbox was opened in an event. While somebody works on the
// mailbox that waits for the next round.
func (r *Room) noteOpening(ctx context.Context, m doppelboden.MailboxID, o opening) error {
	place, ok := r.opts.Place(m)
	if ok {
		release, free := r.claim(place.Tenant, m)
		if !free {
			return nil
		}
		defer release()
		if err := r.putOpening(ctx, m, place, o); err != nil {
			return fmt.Errorf("note that a mailbox was opened: %w", err)
		}
	}
	o.noted = true
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.openings[m].event == o.event {
		r.openings[m] = o
	}
	return nil
}

func (r *Room) putOpening(ctx context.Context, m doppelboden.MailboxID, place Place, o opening) error {
	state, err := r.state(ctx, place.Tenant, m)
	if err != nil {
		return err
	}
	if state.Event == o.event && state.Opened || state.Told == o.event {
		return nil
	}
	// A letter about an earlier event must not count as one about this.
	if err := r.finish(ctx, m, place, &state); err != nil {
		return err
	}
	next := state
	if told := next.Event != 0 && next.Told == next.Event; told || next.Since.IsZero() || next.Event == 0 && len(next.Left) == 0 {
		next.Done, next.Left, next.More, next.Since = store.HandbackCounts{}, nil, 0, o.since
	}
	next.Event, next.Opened = o.event, true
	if next.At.IsZero() { // nobody is to read here when she came
		next.At = o.since
	}
	return r.put(ctx, &state, next, nil)
}

// quietSince returns since when nothing was done in a mailbox whose last letter is due: where
// nothing was done at all, since it is well.
func (r *Room) quietSince(m doppelboden.MailboxID, state *store.Handback) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[m]; idle(state) && b != nil && b.healthy.After(state.At) {
		return b.healthy
	}
	return state.At
}

// idle reports whether a mailbox was opened at most, and nothing was done that goes back.
func idle(h *store.Handback) bool {
	return h.Done == store.HandbackCounts{} && len(h.Left) == 0
}

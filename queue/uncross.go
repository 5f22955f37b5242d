package queue

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// A Twin is a box in which second deliveries of a mailbox's mail may wait.
type Twin struct {
	Box    doppelboden.BoxID
	Lane   string // by which it goes
	Wanted bool   // whether the mailbox's mail is to go there today
}

// movedBy is who ends a delivery because its mailbox moved to where the mail goes anyway.
const movedBy = "route move"

// uncross looks through what is queued or held in the box of a mailbox that now goes by a
// route by which second deliveries of the same mails went already, or will. Such a mail
// would arrive there twice. It is to arrive wherever the mailbox's mail goes today, so it
// changes to the box of a route that it would miss; where it misses none, the delivery is
// discarded, because the other one does the work. It may be repeated.
func (q *Queue) uncross(ctx context.Context, id doppelboden.BoxID) error {
	name, _, _ := q.opts.Router.Place(id) // also where the hand-over is stopped
	twins := q.opts.Router.Twins(id)
	if !slices.ContainsFunc(twins, func(t Twin) bool { return t.Lane == name }) {
		return nil
	}
	// One state after the other, for each of which the store has an index.
	for _, state := range []doppelboden.State{doppelboden.Queued, doppelboden.Held} {
		f := store.Filter{Box: id, States: []doppelboden.State{state}, Limit: decideBatch}
		if err := q.uncrossAll(ctx, f, name, twins); err != nil {
			return err
		}
	}
	return nil
}

// uncrossAll does it for all deliveries that f selects.
func (q *Queue) uncrossAll(ctx context.Context, f store.Filter, name string, twins []Twin) error {
	for {
		var items []store.Item
		err := q.opts.Store.Deliveries(ctx, f, func(it store.Item) error {
			items = append(items, it)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read what waits: %w", err)
		}
		if len(items) == 0 {
			return nil
		}
		f.AfterSeq = items[len(items)-1].Delivery.Seq
		if err := q.uncrossBatch(ctx, items, name, twins); err != nil {
			return err
		}
	}
}

// uncrossBatch does it for some deliveries.
func (q *Queue) uncrossBatch(ctx context.Context, items []store.Item, name string, twins []Twin) error {
	var ends []doppelboden.Settlement
	moves := map[doppelboden.BoxID][]doppelboden.Ref{}
	now := q.opts.Clock()
	for _, it := range items {
		goes, err := q.goes(ctx, it, twins)
		if err != nil {
			return err
		}
		if !goes[name] {
			continue
		}
		missed := slices.IndexFunc(twins, func(t Twin) bool { return t.Wanted && !goes[t.Lane] })
		if missed >= 0 {
			moves[twins[missed].Box] = append(moves[twins[missed].Box], refOf(it))
			continue
		}
		ends = append(ends, doppelboden.Settlement{Ref: refOf(it), Box: it.Delivery.Box, State: doppelboden.Discarded,
			Reply: "not needed: the second delivery of this mail goes by the same route", By: movedBy, At: now})
	}
	if len(ends) > 0 {
		if err := q.opts.Store.Settle(ctx, q.opts.Lease, ends); err != nil {
			return fmt.Errorf("end deliveries that are not needed: %w", err)
		}
	}
	for box, refs := range moves {
		if err := q.opts.Store.Rebox(ctx, q.opts.Lease, refs, box); err != nil {
			return fmt.Errorf("change the box of deliveries: %w", err)
		}
		q.eachLane([]doppelboden.Settlement{{Box: box, At: now}}, (*lane).look)
	}
	return nil
}

// goes returns the lanes by which second deliveries of a mail go or went.
func (q *Queue) goes(ctx context.Context, it store.Item, twins []Twin) (map[string]bool, error) {
	lanes := map[string]bool{}
	err := q.opts.Store.Deliveries(ctx, store.Filter{Message: it.Delivery.Message}, func(other store.Item) error {
		d := other.Delivery
		i := slices.IndexFunc(twins, func(t Twin) bool { return t.Box == d.Box })
		if i >= 0 && d.State != doppelboden.Discarded && d.State != doppelboden.Bounced {
			lanes[twins[i].Lane] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the other deliveries of a mail: %w", err)
	}
	return lanes, nil
}

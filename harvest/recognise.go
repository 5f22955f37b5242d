package harvest

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/mailbox"
)

// A match is what is known of a mail that came.
type match struct {
	body doppelboden.ID   // a message whose body it is; zero: none is there
	same []doppelboden.ID // messages that are this mail within a mailbox, body among them
}

// named returns the message that the topmost Received line of ours in a header names, when
// it is this mail and not only somebody's claim.
func (r *Room) named(ctx context.Context, t *tenant, header []byte, s sums) (doppelboden.ID, error) {
	id := mailbox.ReceivedID(header)
	if id.IsZero() {
		return doppelboden.ID{}, nil
	}
	asked := [][16]byte{s.stranger, s.weak}
	if s.whole {
		asked = append(asked, s.strong)
	}
	known, err := r.opts.Store.Marked(ctx, t.id, asked)
	if err != nil {
		return doppelboden.ID{}, fmt.Errorf("look for the message that passed: %w", err)
	}
	for _, k := range known {
		if k.Message == id {
			return id, nil
		}
	}
	return doppelboden.ID{}, nil
}

// recognise looks for a mail among all that have their marks. t.deciding is held.
func (r *Room) recognise(ctx context.Context, t *tenant, header []byte, s sums) (match, error) {
	var found match
	id, err := r.named(ctx, t, header, s)
	if err != nil {
		return found, err
	}
	asked := [][16]byte{s.weak}
	if s.whole {
		asked = append(asked, s.strong)
	}
	known, err := r.opts.Store.Marked(ctx, t.id, asked)
	if err != nil {
		return found, fmt.Errorf("look for the mail: %w", err)
	}
	if !id.IsZero() {
		found.body, found.same = id, []doppelboden.ID{id}
	}
	for _, k := range known {
		if s.whole && k.Sum == s.strong && found.body.IsZero() {
			found.body = k.Message
		}
		if !slices.Contains(found.same, k.Message) {
			found.same = append(found.same, k.Message)
		}
	}
	return found, nil
}

package handback

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// A mail that somebody sent to herself as well is two in her mailbox that look alike, with one
// id of ours in both: what she keeps of what she sent, and what came. What is done with the
// one is not to be done with the other.

// twofold says of tasks whether their mails may be two: what came through us for the mailbox,
// and what lies here among what its owner sent as well as elsewhere.
func (h *hand) twofold(ctx context.Context, tasks []*task) error {
	var asked []doppelboden.ID
	for _, t := range tasks {
		if t.two = t.own != nil; !t.two {
			asked = append(asked, t.deed.Message)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	copies, err := h.opts.Store.CopiesOf(ctx, h.place.Tenant, h.box, asked)
	if err != nil {
		return fmt.Errorf("read where mails lie: %w", err)
	}
	others := map[doppelboden.ID][]string{}
	for _, c := range copies {
		others[c.Message] = append(others[c.Message], c.Folder)
	}
	for _, t := range tasks {
		t.two = t.two || slices.ContainsFunc(others[t.deed.Message], func(folder string) bool {
			own := t.deed.Is != nil && t.deed.Is.Folder == folder
			return !own && h.tree.isSent(folder) != t.sent()
		})
	}
	return nil
}

// sent reports whether a task is about what its owner sent.
func (t *task) sent() bool {
	return slices.ContainsFunc(append(t.before(), t.deed.Is), func(s *store.Spot) bool { return s != nil && s.Use == store.UseSent })
}

// mayLie reports whether a task's mail may have come to lie in a folder. Of one that may be
// two, what was sent lies only where somebody put it here, and what came anywhere but among
// what was sent.
func (h *hand) mayLie(t *task, folder string) bool {
	sent := h.tree.forUse(store.UseSent)
	switch {
	case !t.two:
		return true
	case !t.sent():
		return folder != sent
	}
	return folder == sent || folder == h.tree.bin() || slices.ContainsFunc(append(t.before(), t.deed.Is), func(s *store.Spot) bool {
		return s != nil && h.tree.theirs(s) == folder
	})
}

package handback

import (
	"context"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	// bareSlack is by how much earlier than its event a mail must have come to be old: what came
	// right before an outage was noticed may have waited.
	bareSlack = 10 * time.Minute
	// bareYears is how far back old mail is looked for.
	bareYears = 30
	// bareMails is how many of a folder's first mails are looked at.
	bareMails = 100
)

// bare reports whether the groupware was rebuilt without its mail: it took some of missing
// before the event, and nothing is there that is older than that. Then what was done with
// these waits for a replay, which lays each mail where it lies here. Without it marks would be
// lost, and what was deleted here would come again. After Pace.Patience nobody waits any more.
func (h *hand) bare(ctx context.Context, missing []*task) (bool, error) {
	if len(missing) == 0 || h.stuckFor(h.box) >= h.opts.Pace.Patience {
		return false, nil
	}
	first := missing[0].deed.At
	for _, t := range missing {
		if t.deed.At.Before(first) {
			first = t.deed.At
		}
	}
	number, since, err := h.opts.Event(ctx, h.box, first)
	if err != nil {
		return false, fmt.Errorf("find the event: %w", err)
	}
	lost := func(t *task) bool { return t.own != nil && t.deed.Was != nil && t.own.Changed.Before(since) }
	if number == 0 || !slices.ContainsFunc(missing, lost) {
		return false, nil
	}
	since = since.Add(-bareSlack)
	for i, folder := range slices.Concat([]string{""}, h.tree.names) {
		if i == mostFolders {
			break
		}
		old, err := h.older(ctx, folder, since)
		if old || err != nil {
			return false, err
		}
	}
	for _, t := range missing {
		t.stay = whyBare
	}
	h.opts.Log.Warn("the groupware has none of the mail that lay there before; what was done with it waits for a replay", "mailbox", int64(h.box), "mails", len(missing))
	return true, h.unbegin(ctx, missing)
}

// unbegin forgets that tasks were begun: nothing of them is there. What a replay lays there
// must not look like something of ours that was taken back here.
func (h *hand) unbegin(ctx context.Context, tasks []*task) error {
	next := *h.state
	next.Doing = slices.DeleteFunc(slices.Clone(next.Doing), func(d store.HandbackDoing) bool {
		return slices.ContainsFunc(tasks, func(t *task) bool { return t.deed.Number == d.Number })
	})
	return h.keep(ctx, h.state, next, nil)
}

// older reports whether a folder holds a mail from before a time.
func (h *hand) older(ctx context.Context, folder string, than time.Time) (bool, error) {
	there, err := h.enter(ctx, folder)
	if err != nil || !there || h.at.Exists == 0 {
		return false, err
	}
	uids, err := h.s.Between(ctx, than.AddDate(-bareYears, 0, 0), than)
	if err != nil || len(uids) == 0 {
		return false, err
	}
	slices.Sort(uids)
	marks, err := h.s.Marks(ctx, uids[:min(len(uids), bareMails)])
	if err != nil {
		return false, err
	}
	for i := range marks {
		if marks[i].Date.Before(than) && flagsOf(marks[i].Flags)&doppelboden.Deleted == 0 {
			return true, nil
		}
	}
	return false, nil
}

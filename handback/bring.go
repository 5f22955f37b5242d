package handback

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// mostAttached bounds the mails that one letter brings, in bytes: what every groupware takes.
const mostAttached = 10 << 20

// bring sends what was written here as attachments of a letter, and tells the rest in words:
// for groupware that lets nobody into its mailboxes. It waits until the owner is done.
func (r *Room) bring(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback, tasks []*task, res *result) error {
	var last time.Time
	var attached, told []*task
	total, more := int64(0), false
	for _, t := range tasks {
		if t.deed.At.After(last) {
			last = t.deed.At
		}
		switch {
		case !t.open():
		case t.deed.Was != nil || t.own != nil:
			told = append(told, t)
		case len(attached) > 0 && total+t.deed.Size > mostAttached:
			more = true
		default:
			attached = append(attached, t)
			total += t.deed.Size
		}
	}
	now := r.opts.Clock()
	if quiet := now.Sub(last); quiet < r.opts.Pace.Quiet {
		res.wait = r.opts.Pace.Quiet - quiet
		return nil
	}
	if !r.opts.Clear(m) {
		res.wait = r.opts.Pace.First
		return nil
	}
	if err := r.settle(ctx, state, tasks); err != nil { // what ended by itself
		return err
	}
	if len(attached)+len(told) == 0 {
		return nil
	}
	next := *state
	next.Letter = &store.HandbackLetter{ID: r.ids.New(now)}
	for _, t := range append(append([]*task{}, attached...), told...) {
		next.Letter.Covers = append(next.Letter.Covers, t.returned())
	}
	if err := r.keep(ctx, state, next, nil); err != nil {
		return err
	}
	err := r.write(ctx, m, place, next.Letter.ID, func() (content, error) { return r.summary(m, attached, told, more), nil })
	if err != nil {
		return fmt.Errorf("write to the owner: %w", err)
	}
	r.metrics.letters.WithLabelValues("bring").Inc()
	next = *state
	next.Letter = nil
	next.Done.Brought += len(attached)
	next.Done.Listed += len(told)
	if err := r.brought(ctx, state, next, state.Letter.Covers); err != nil {
		return err
	}
	for _, t := range append(attached, told...) {
		t.done, t.written = true, true
	}
	return nil
}

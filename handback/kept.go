package handback

import (
	"context"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// stuck notes whether nothing but what the groupware refuses is left of a mailbox.
func (r *Room) stuck(m doppelboden.MailboxID, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.boxes[m]
	switch {
	case b == nil:
	case !is:
		b.stuck = time.Time{}
	case b.stuck.IsZero():
		b.stuck = r.opts.Clock()
	}
}

// stuckFor returns for how long that is so; after a restart it begins anew.
func (r *Room) stuckFor(m doppelboden.MailboxID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[m]; b != nil && !b.stuck.IsZero() {
		return r.opts.Clock().Sub(b.stuck)
	}
	return 0
}

// went notes that a visit handed something back, whatever ends it.
func (r *Room) went(m doppelboden.MailboxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[m]; b != nil {
		b.went = r.opts.Clock()
	}
}

// stillFor returns for how long nothing went back from a mailbox; in a run in which nothing
// did that is long.
func (r *Room) stillFor(m doppelboden.MailboxID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[m]; b != nil {
		return r.opts.Clock().Sub(b.went)
	}
	return 0
}

// forGood reports whether the groupware will never take what a task is about.
func (t *task) forGood() bool { return t.stay == whyTooLarge || t.stay == whyUnfit }

// tellKept writes the last letter of an event although the groupware refuses something, which
// the letter names. That stays here, and is tried on: nobody is told a second time.
func (r *Room) tellKept(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback, res *result) error {
	res.wait = r.opts.Pace.Most / 6
	begun := len(state.Doing) > 0 // when it is taken back here somebody must look after that
	owes := state.Event != 0 && state.Told != state.Event
	if res.tell = owes || begun; !owes {
		return nil
	}
	enough := r.opts.Pace.Patience
	if !slices.ContainsFunc(res.keeps, func(t *task) bool { return !t.forGood() }) {
		enough = r.opts.Pace.Quiet
	}
	if more := max(enough-r.stuckFor(m), r.opts.Pace.Quiet-r.stillFor(m)); more > 0 {
		res.wait = min(res.wait, more)
		return nil
	}
	if !r.opts.Clear(m) {
		res.wait = r.opts.Pace.First
		return nil
	}
	if err := r.last(ctx, m, place, state, letterOf(res.keeps, r.opts.Clock())); err != nil {
		return err
	}
	res.tell = begun
	return nil
}

// letterOf begins a letter that tells of tasks that stay.
func letterOf(keeps []*task, now time.Time) *store.HandbackLetter {
	l := &store.HandbackLetter{}
	for _, t := range keeps {
		if len(l.Kept) == mostLeft {
			l.More = len(keeps) - mostLeft
			break
		}
		why := t.stay
		if t.held {
			why = whyHeld
		}
		l.Kept = append(l.Kept, store.HandbackLeft{Message: t.deed.Message, Why: why, At: now})
	}
	return l
}

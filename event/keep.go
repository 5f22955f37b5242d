package event

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// restore reads the events that last, and those that may go on.
func (t *Tracker) restore(ctx context.Context, m *machine) error {
	now := t.opts.Clock()
	var open []store.Event
	err := t.opts.Store.Events(ctx, 0, func(e store.Event) error {
		m.last[e.Tenant] = max(m.last[e.Tenant], e.Number)
		if e.Minor {
			m.singles[eventKey{e.Tenant, e.Number}] = true
		}
		if e.Until.IsZero() || now.Sub(e.Until) <= t.opts.Pace.Reopen {
			open = append(open, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range open {
		c, err := t.opts.Store.Event(ctx, e.Tenant, e.Number)
		if err != nil {
			return fmt.Errorf("read event %d: %w", e.Number, err)
		}
		m.resume(c, now)
	}
	return nil
}

// resume goes on with an event as the store has it.
func (m *machine) resume(c store.EventChange, now time.Time) {
	e := &episode{Event: c.Event, members: map[doppelboden.MailboxID]bool{}, replies: map[string]*store.EventReply{}, said: map[string]bool{},
		wrote: map[doppelboden.MailboxID]letter{}, steps: len(c.Steps), told: now, shrunk: now, mute: c.Event.Whole}
	for _, s := range c.Steps {
		apply(e.members, s)
		switch s.What {
		case stepBegan:
			e.begun = true
		case stepOverrun:
			e.overrun = true
		}
	}
	for i := range c.Replies {
		e.replies[c.Replies[i].Text] = &c.Replies[i]
	}
	m.episodes = append(m.episodes, e)
	if !e.open() || e.Whole || e.Kind != store.Outage {
		return
	}
	// Who was refused before is, until somebody takes mail again.
	for _, l := range m.lanes {
		if l.tenant != e.Tenant || l.name != e.Route {
			continue
		}
		for id := range e.members {
			r := &record{lane: l, fail: e.Since, first: e.Since, fails: 1} // sort nothing: it is from before
			m.records[id], l.failing[id] = r, r
		}
	}
}

// apply changes a set of mailboxes as a step says.
func apply(members map[doppelboden.MailboxID]bool, s store.EventStep) {
	for _, id := range s.Joined {
		members[id] = true
	}
	for _, id := range s.Left {
		delete(members, id)
	}
}

// save writes what is not durable yet. Replies alone are written now and then.
func (t *Tracker) save(ctx context.Context) error {
	t.saving.Lock()
	defer t.saving.Unlock()
	t.mu.Lock()
	now := t.opts.Clock()
	var changed []*episode
	var changes []store.EventChange
	for _, e := range t.machine.episodes {
		if !e.dirty && (len(e.said) == 0 || now.Sub(e.saved) < repliesEvery) {
			continue
		}
		c := store.EventChange{Event: e.Event, Steps: e.unsaved[:len(e.unsaved):len(e.unsaved)]}
		for text := range e.said {
			c.Replies = append(c.Replies, *e.replies[text])
		}
		clear(e.said)
		e.dirty, e.saved = false, now
		changed, changes = append(changed, e), append(changes, c)
	}
	lease := t.lease
	t.mu.Unlock()
	var failed error
	for i, e := range changed {
		err := t.opts.Store.PutEvent(ctx, lease, changes[i])
		t.mu.Lock()
		if err == nil {
			e.unsaved = e.unsaved[len(changes[i].Steps):]
		} else {
			e.dirty = true
			for _, r := range changes[i].Replies {
				e.said[r.Text] = true
			}
			failed = err
		}
		t.mu.Unlock()
	}
	return failed
}

// repliesEvery is the time between two writings of counts when nothing else is new.
const repliesEvery = 30 * time.Second

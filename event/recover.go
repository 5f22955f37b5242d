package event

import (
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// listen writes into the story of a dead route that it answers again. That ends nothing.
func (m *machine) listen(e *episode, now time.Time) {
	l := m.laneOf(e)
	if l == nil || !e.mute || e.answering || l.dead(&m.pace, now) || l.fails > 0 || l.spoke.Before(e.told) {
		return
	}
	e.answering = true
	if now.Sub(e.told) >= m.pace.Shrink || e.steps == 1 { // it may come and go
		e.told = now
		e.step(store.EventStep{What: stepAnswering, At: now})
	}
}

// laneOf returns the route of an outage, or, of a maintenance, the one that does not work.
func (m *machine) laneOf(e *episode) *lane {
	for _, l := range m.lanes {
		if l.tenant == e.Tenant && (l.name == e.Route || e.Kind == store.Maintenance && slices.Contains(e.Scope.Routes, l.name)) {
			return l
		}
	}
	return nil
}

// A tally counts the members of an event by how they are.
type tally struct {
	failing []doppelboden.MailboxID // the last answer was a bad one
	well    []doppelboden.MailboxID // taken again for long enough
	taken   int                     // taken again, also since a moment
	waiting int                     // mail waits, and none was tried since it turned
	unknown []doppelboden.MailboxID // nothing was heard of them since it turned
}

func (m *machine) count(e *episode, now time.Time) tally {
	var t tally
	for id := range e.members {
		r := m.records[id]
		switch {
		case r.failing():
			t.failing = append(t.failing, id)
		case r != nil && !r.took.IsZero() && !r.took.Before(e.turned):
			t.taken++
			if r.well.IsZero() || now.Sub(r.well) >= m.pace.Calm {
				t.well = append(t.well, id)
			}
		case m.waiting[id] > 0:
			t.waiting++
		default:
			t.unknown = append(t.unknown, id)
		}
	}
	return t
}

// countEvery is the time between two looks at all members of an event.
const countEvery = 2 * time.Second

// recover lets mailboxes go that are well again, and ends the event when enough are.
func (m *machine) recover(e *episode, now time.Time) {
	m.leave(e, now)
	if !e.open() || now.Sub(e.counted) < countEvery {
		return
	}
	e.counted = now
	if e.Minor {
		m.recoverSingle(e, now)
		return
	}
	if e.turned.IsZero() || now.Sub(e.turned) < m.pace.Calm {
		return
	}
	t := m.count(e, now)
	done := e.done + t.taken
	bad := len(t.failing)
	enough := 100*done >= doneShare*(done+t.waiting+bad)
	if done > 0 && enough && (bad == 0 || bad < m.pace.Crowd && bad < done) {
		if e.Kind == store.Outage || !now.Before(e.Ends) {
			m.close(e, now, "", "")
			return
		}
	}
	if now.Sub(e.shrunk) < m.pace.Shrink {
		return
	}
	left := t.well
	if e.Whole && done > bad {
		// The route works for most: those of whom nothing is known go with them.
		e.Whole, e.dirty = false, true
		left = append(left, t.unknown...)
	}
	if len(left) == 0 {
		return
	}
	slices.Sort(left)
	e.done += len(t.well)
	e.shrunk = now
	e.step(store.EventStep{What: stepShrank, At: now, Left: left})
	if len(e.members) == 0 && e.Kind == store.Outage {
		m.close(e, now, "", "")
	}
}

// recoverSingle lets single mailboxes go that are well again.
func (m *machine) recoverSingle(e *episode, now time.Time) {
	var left []doppelboden.MailboxID
	for id := range e.members {
		if r := m.records[id]; r != nil && !r.failing() && !r.took.IsZero() && now.Sub(r.well) >= m.pace.Calm {
			left = append(left, id)
		}
	}
	if len(left) == 0 {
		return
	}
	slices.Sort(left)
	e.step(store.EventStep{What: stepShrank, At: now, Left: left})
	if len(e.members) == 0 {
		m.close(e, now, "", "")
	}
}

// leave lets mailboxes go that are gone, or go by another route now.
func (m *machine) leave(e *episode, now time.Time) {
	if e.seen == m.view {
		return
	}
	e.seen = m.view
	var left []doppelboden.MailboxID
	for id := range e.members {
		key := m.view.lane(id)
		l := m.lanes[key]
		if key == "" || l == nil || e.Kind == store.Outage && l.name != e.Route {
			left = append(left, id)
		}
	}
	if len(left) == 0 {
		return
	}
	slices.Sort(left)
	e.step(store.EventStep{What: stepShrank, At: now, Left: left})
	if len(e.members) == 0 && e.Kind == store.Outage {
		m.close(e, now, "", "")
	}
}

// maintain begins and ends what is planned.
func (m *machine) maintain(now time.Time) {
	for _, e := range m.episodes {
		if e.Kind != store.Maintenance || !e.open() {
			continue
		}
		if !e.begun && !now.Before(e.Starts) {
			e.begun = true
			e.step(store.EventStep{What: stepBegan, At: now})
		}
		switch {
		case !e.begun:
		case !now.Before(e.Ends) && len(e.members) == 0:
			m.close(e, now, "", "")
		case now.Sub(e.Ends) >= m.pace.Grace && !e.overrun:
			e.overrun = true
			e.step(store.EventStep{What: stepOverrun, At: now})
		}
	}
}

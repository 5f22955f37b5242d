package queue

import "doppelboden"

// Well reports whether mail for a box could be handed over at once: the next server takes
// mail as far as its lane knows, and nothing waits for the box that would be overtaken.
func (q *Queue) Well(id doppelboden.BoxID) bool {
	return q.ofBox(id, func(l *lane) bool { return !l.health.down && l.boxes[id] == nil })
}

// Empty reports whether nothing waits for a box.
func (q *Queue) Empty(id doppelboden.BoxID) bool {
	return q.ofBox(id, func(l *lane) bool { return l.boxes[id] == nil })
}

// ofBox reports whether something is so of the lane of a box; false where it has none.
func (q *Queue) ofBox(id doppelboden.BoxID, is func(*lane) bool) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	name, _, ok := q.opts.Router.Place(id)
	l := q.lanes[name]
	if !ok || l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return is(l)
}

// Up reports whether mail of a lane could be handed over now, as far as the lane knows; one
// that is down and has nothing waiting learns of its return only from what it is given.
func (q *Queue) Up(lane string) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	l := q.lanes[lane]
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.health.down || len(l.boxes) == 0
}

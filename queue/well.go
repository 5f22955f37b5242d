package queue

import "doppelboden"

// Well reports whether mail for a box could be handed over at once: the next server takes
// mail as far as its lane knows, and nothing waits for the box that would be overtaken.
func (q *Queue) Well(id doppelboden.BoxID) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	name, _, ok := q.opts.Router.Place(id)
	l := q.lanes[name]
	if !ok || l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.health.down && l.boxes[id] == nil
}

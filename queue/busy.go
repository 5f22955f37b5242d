package queue

// Busy reports whether a lane hands over as much at once as its next server bears, and mail
// waits all the same.
func (q *Queue) Busy(lane string) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	l := q.lanes[lane]
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued > int64(l.inFlight) && l.inFlight >= l.throttle.now
}

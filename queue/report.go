package queue

import "doppelboden"

// report tells of a transaction that was judged. What broke off because we end says
// nothing about the next server, and neither does trouble at the way into the mailboxes.
func (l *lane) report(j *job, outcomes []doppelboden.Outcome) {
	if l.q.opts.Report == nil || l.hand.Err() != nil {
		return
	}
	items := j.items
	if j.run {
		items = nil
		var about []doppelboden.Outcome
		for i, o := range outcomes {
			if o.Scope != doppelboden.AboutRoute && !o.InDoubt {
				items, about = append(items, j.items[i]), append(about, o)
			}
		}
		outcomes = about
	}
	if len(outcomes) > 0 {
		l.q.opts.Report(l.conf.Route.Name, outcomes, items)
	}
}

// Waiting yields the boxes of lanes that have mail waiting, and how much, as far as the
// lanes were told; the store knows. yield must not call the queue.
func (q *Queue) Waiting(yield func(b doppelboden.BoxID, queued int64)) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, l := range q.lanes {
		l.mu.Lock()
		for id, b := range l.boxes {
			if b.queued > 0 {
				yield(id, b.queued)
			}
		}
		l.mu.Unlock()
	}
}

// InFlight returns how many transactions of each lane are under way.
func (q *Queue) InFlight() map[string]int {
	q.mu.RLock()
	defer q.mu.RUnlock()
	all := make(map[string]int, len(q.lanes))
	for name, l := range q.lanes {
		l.mu.Lock()
		all[name] = l.inFlight
		l.mu.Unlock()
	}
	return all
}

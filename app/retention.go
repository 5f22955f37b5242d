package app

import "doppelboden/retention"

// retention returns the job that removes what has outlived its time.
func (n *Node) retention() *retention.Job {
	return retention.New(retention.Options{
		Store: n.store, Bodies: n.bodies, Logs: []retention.Log{n.doors, n.replies}, Log: n.log, Clock: n.clock, Timer: n.opts.Timer,
		Days: func() int { return n.house.Directory().City().RetentionDays },
		Here: n.spared, Crisis: n.inCrisis, Guard: &n.moving,
		Moved: n.house.queue.Refresh, First: n.landedFirst, Registry: n.registry,
	})
}

// crisisShare is the part of all mailboxes, one in so many, from which on their events are a
// crisis: retention rests rather than move their mail out of the way.
const crisisShare = 10

// inCrisis reports whether a good part of all mailboxes is in an event: more than one, for
// the mail of one is moved soon.
func (n *Node) inCrisis() bool {
	concerned := len(n.events.Concerned())
	return concerned > 1 && crisisShare*concerned >= n.house.Directory().Len()
}

package app

import "doppelboden/retention"

// retention returns the job that removes what has outlived its time.
func (n *Node) retention() *retention.Job {
	return retention.New(retention.Options{
		Store: n.store, Bodies: n.bodies, Logs: []retention.Log{n.doors, n.replies}, Log: n.log, Clock: n.clock, Timer: n.opts.Timer,
		Days: func() int { return n.house.Directory().City().RetentionDays },
		Here: n.spared, Guard: &n.moving,
		Moved: n.house.queue.Refresh, First: n.landedFirst,
	})
}

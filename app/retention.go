package app

import (
	"doppelboden"
	"doppelboden/city"
	"doppelboden/retention"
	"doppelboden/store"
)

// retention returns the job that removes what has outlived its time. There is one.
func (n *Node) retention() *retention.Job {
	if n.retainer != nil {
		return n.retainer
	}
	n.retainer = retention.New(retention.Options{
		Store: n.store, Bodies: n.bodies, Logs: []retention.Log{n.doors, n.replies}, Log: n.log, Clock: n.clock, Timer: n.opts.Timer,
		Days: func() int { return n.house.Directory().City().RetentionDays },
		Here: n.spared, Crisis: n.inCrisis, Guard: &n.moving,
		Moved: n.house.queue.Refresh, First: n.landedFirst, Registry: n.registry,
	})
	return n.retainer
}

// crisisShare is the part of all mailboxes, one in so many, from which on their events are a
// crisis: retention rests rather than move their mail out of the way.
const crisisShare = 10

// inCrisis reports whether the mail of a good part of all mailboxes is spared for a while:
// then segments stay.
func (n *Node) inCrisis() bool {
	now, single := n.events.Outages(), n.events.OfSingle
	if !n.opts.Node.Has(city.RoleQueue) { // it knows of events what others have written
		now, single = nil, n.lasting.single
	}
	spared, all := inOutages(now, n.modes.All(), single), n.house.Directory().Len()
	if spared <= 1 || crisisShare*spared < all { // the mail of one is moved soon
		return false
	}
	n.log.Info("retention drops no segments: many mailboxes are in an outage, or are still used here after one", "mailboxes", spared, "of", all)
	return true
}

// inOutages counts the mailboxes that are in outages of many, or were brought here by one and
// are still used here. Single ones do not count, for they may stay so for months: which refuse
// mail for a reason of their own, or which somebody has opened here.
func inOutages(now []doppelboden.MailboxID, here []store.Mode, single func(t doppelboden.TenantID, event int64) bool) int {
	all := map[doppelboden.MailboxID]bool{}
	for _, m := range now {
		all[m] = true
	}
	for _, m := range here {
		if m.Event != 0 && !single(m.Tenant, m.Event) {
			all[m.Mailbox] = true
		}
	}
	return len(all)
}

package app

import (
	"context"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/event"
	"doppelboden/store"
)

// openEvents makes the one who follows how mailboxes and routes are.
func (n *Node) openEvents() error {
	var err error
	n.events, err = event.New(event.Options{
		Store: n.store, Directory: n.house.Directory, Log: n.log, Registry: n.registry, Clock: n.clock, Timer: n.beat,
		Probe: n.probe, Changed: n.lookNow, Try: n.try,
		Touched:  func(m doppelboden.MailboxID) bool { return n.handback.May(m) },
		InFlight: func() map[string]int { return n.house.queue.InFlight() },
		Waiting:  func(yield func(doppelboden.BoxID, int64)) { n.house.queue.Waiting(yield) },
	})
	return err
}

// observed tells what became of a transaction, unless it was we who broke it off.
func (n *Node) observed(lane string, outcomes []doppelboden.Outcome, items []store.Item) {
	if n.keeper.MayDot() {
		n.events.Report(lane, outcomes, items)
	}
}

// probe asks whether a route would talk to us.
func (n *Node) probe(ctx context.Context, key string) (doppelboden.Outcome, bool) {
	for _, t := range n.house.Directory().City().Tenants {
		for _, r := range t.Routes {
			if r.Key() == key && !r.Here {
				return courier.Probe(ctx, n.agents, n.house.route(r)), true
			}
		}
	}
	return doppelboden.Outcome{}, false
}

// lookNow has the watcher look at once. It never waits.
func (n *Node) lookNow() {
	select {
	case n.look <- struct{}{}:
	default: // it will
	}
}

// spared are the mailboxes of which retention removes nothing: those whose mail lies only
// here, those that are in an event, and those that are used here.
func (n *Node) spared() []doppelboden.MailboxID {
	list := append(n.house.hereMailboxes(), n.events.Concerned()...)
	for _, m := range n.modes.All() {
		list = append(list, m.Mailbox)
	}
	return list
}

// events tells of outages, and of maintenances that do not end.
func (w *watcher) events(wrong alarms) {
	for subject, said := range w.n.events.Alarms() {
		wrong[alarmKey{event.AlarmKind, subject}] = said
	}
}

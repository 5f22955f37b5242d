package event

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Trial is a letter that shows whether a groupware takes mail again: none waits for anybody
// concerned by an event, so that nothing else would.
type Trial struct {
	Tenant  doppelboden.TenantID
	Event   int64                 // its number
	Mailbox doppelboden.MailboxID // whom it is for
	Since   time.Time             // when the event began
}

const (
	// trialsAtOnce is to how many mailboxes letters go at the same time where single ones must
	// be proved to work.
	trialsAtOnce = 8
	// seldom is the longest time between two letters about a whole route that takes nothing, or
	// comes and goes, and seldomBox between two to a single mailbox, which may be gone for good.
	seldom, seldomBox = time.Hour, 12 * time.Hour
)

// A letter is the last one that went to a mailbox in an event.
type letter struct {
	at   time.Time
	n    int   // how many went there, since this node started
	held int64 // so many mails for the mailbox were held before it
}

// pause is the time between two letters, of which n went out, for they become seldom.
func (p *Pace) pause(n int, most time.Duration) time.Duration {
	return min(most, p.Trial<<min(max(n-1, 0), 10))
}

// trials returns the letters that are to go out now. The caller holds t.mu.
func (t *Tracker) trials(now time.Time) (list []Trial) {
	for _, e := range t.machine.episodes {
		to := t.wanting(e, now)
		var names []string
		for _, id := range to {
			list = append(list, Trial{Tenant: e.Tenant, Event: e.Number, Mailbox: id, Since: e.Since})
			e.wrote[id] = letter{at: now, n: e.wrote[id].n + 1, held: t.held[e.Tenant][id]}
			names = append(names, t.machine.address(id))
		}
		if len(to) > 0 {
			e.tries, e.tried = e.tries+1, now
			e.step(store.EventStep{What: stepTried, At: now, Note: strings.Join(names, ", ")})
		}
	}
	return list
}

// wanting returns to whom letters of an event would go now, by what is known. The caller holds
// t.mu.
func (t *Tracker) wanting(e *episode, now time.Time) []doppelboden.MailboxID {
	if !t.ready(e, now) || t.waits(e) {
		return nil
	}
	if t.countWaiting(now, 0); t.waits(e) { // it may have come a moment ago
		return nil
	}
	return t.addressees(e, now)
}

// ready reports whether it is time for a letter: the route answers for as long as mail would
// have to be taken, and what went out before has come to its end. The caller holds t.mu.
func (t *Tracker) ready(e *episode, now time.Time) bool {
	m := t.machine
	ours := e.Kind == store.Outage || e.Kind == store.Maintenance && !now.Before(e.Ends)
	if !ours || !e.active() || len(e.members) == 0 || m.view.dir.Stopped(e.Tenant) {
		return false
	}
	l := m.laneOf(e)
	if l == nil || l.answers.IsZero() || now.Sub(l.answers) < m.pace.Calm || l.dead(&m.pace, now) {
		return false
	}
	pause := m.pace.Trial
	if e.Whole && e.turned.IsZero() {
		pause = m.pace.pause(e.tries, seldom)
	}
	if e.tries > 0 && now.Sub(e.tried) < pause {
		return false
	}
	if !e.turned.IsZero() { // mail is taken, and that may be enough
		return now.Sub(e.turned) >= 2*m.pace.Calm
	}
	for id, w := range e.wrote {
		if t.held[e.Tenant][id] > w.held {
			return false // it was refused for good, and is tried again by itself
		}
	}
	return true
}

// waits reports whether mail waits that shows how the groupware is. The caller holds t.mu.
func (t *Tracker) waits(e *episode) bool {
	m := t.machine
	if e.Minor { // each of its mailboxes is looked at for itself
		return false
	}
	for id := range e.members {
		// What waits for a mailbox that has a trouble of its own proves nothing.
		if r := m.records[id]; m.waiting[id] > 0 && !(r.failing() && r.sort == own) {
			return true
		}
	}
	return false
}

// addressees returns to whom letters go. One shows whether a whole route works: the
// postmaster, else somebody who has done something here. When that was not enough, and of an
// event of single mailboxes, it is some of those for whom nothing waits, first who was refused.
func (t *Tracker) addressees(e *episode, now time.Time) []doppelboden.MailboxID {
	m := t.machine
	one := e.Whole && e.turned.IsZero()
	var list []doppelboden.MailboxID
	for id := range e.members {
		r := m.records[id]
		served := r != nil && !r.failing() && !e.turned.IsZero() && !r.took.Before(e.turned)
		w := e.wrote[id]
		soon := !one && w.n > 0 && now.Sub(w.at) < m.pace.pause(w.n, seldomBox)
		if m.waiting[id] == 0 && t.held[e.Tenant][id] == 0 && !served && !soon {
			list = append(list, id)
		}
	}
	postmaster := m.view.postmaster[e.Tenant]
	rank := func(id doppelboden.MailboxID) int {
		switch failing := m.records[id].failing(); {
		case failing && one:
			return 3
		case failing, one && id == postmaster:
			return 0
		case t.opts.Touched(id):
			return 1
		}
		return 2
	}
	ranks := make(map[doppelboden.MailboxID]int, len(list))
	for _, id := range list {
		ranks[id] = rank(id)
	}
	slices.SortFunc(list, func(a, b doppelboden.MailboxID) int {
		return cmp.Or(cmp.Compare(ranks[a], ranks[b]), e.wrote[a].at.Compare(e.wrote[b].at), cmp.Compare(a, b))
	})
	if one {
		return list[:min(len(list), 1)]
	}
	return list[:min(len(list), trialsAtOnce)]
}

// try has letters made, beside all decisions. One that cannot be made is one less: the next
// comes in its time. What is held was counted some time ago, and may be more by now, above all
// for who is refused by a groupware that has just come back; so it is counted before.
func (t *Tracker) try(ctx context.Context, beside *sync.WaitGroup) {
	t.mu.Lock()
	now := t.opts.Clock()
	due := !t.trying && !now.Before(t.tryNext) && slices.ContainsFunc(t.machine.episodes, func(e *episode) bool { return len(t.wanting(e, now)) > 0 })
	t.trying = t.trying || due
	t.mu.Unlock()
	if !due {
		return
	}
	beside.Go(func() {
		known := t.countHeld(ctx, 0)
		t.mu.Lock()
		var list []Trial
		now := t.opts.Clock()
		if t.trying = false; known {
			list = t.trials(now)
		} else {
			t.tryNext = now.Add(heldEvery)
		}
		t.mu.Unlock()
		for _, one := range list {
			if err := t.opts.Try(ctx, one); err != nil && ctx.Err() == nil {
				t.opts.Log.Warn("a letter to see whether mail is taken again cannot be made", "event", one.Event, "mailbox", int64(one.Mailbox), "err", err)
			}
		}
	})
}

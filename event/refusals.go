package event

import (
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// refusals looks at the mailboxes of a route whose last answer was a bad one and that are
// in no event: do they belong to one, are they one, or are they single ones?
func (m *machine) refusals(l *lane, now time.Time) {
	var free, minor []doppelboden.MailboxID
	planned := map[*episode][]doppelboden.MailboxID{}
	for id, r := range l.failing {
		if m.view.lane(id) != l.key {
			delete(l.failing, id)
			continue
		}
		switch e := m.of(id); {
		case e != nil && !e.Minor:
			continue
		case e != nil:
			minor = append(minor, id)
		default:
			if e := m.planned(l, id); e != nil {
				planned[e] = append(planned[e], id)
				e.say(r.reply, r.fail)
				continue
			}
			free = append(free, id)
		}
	}
	for e, ids := range planned {
		slices.Sort(ids)
		e.step(store.EventStep{What: stepGrew, At: now, Joined: ids})
	}
	slices.Sort(free)
	if e := m.onLane(l, false); e != nil && e.Kind == store.Outage {
		free = m.join(l, e, free, now)
	} else if e == nil {
		free = m.crowd(l, free, minor, now)
	}
	m.single(l, free, now)
	m.wholly(l, now)
}

// planned returns the active maintenance that expects a mailbox not to be served, or nil.
func (m *machine) planned(l *lane, id doppelboden.MailboxID) *episode {
	for _, e := range m.episodes {
		if e.Kind == store.Maintenance && e.Tenant == l.tenant && e.active() && m.covers(e, l, id) {
			return e
		}
	}
	return nil
}

// covers reports whether a mailbox is within the scope of a maintenance.
func (m *machine) covers(e *episode, l *lane, id doppelboden.MailboxID) bool {
	if slices.Contains(e.Scope.Routes, l.name) || slices.Contains(e.Scope.Mailboxes, id) {
		return true
	}
	box, _ := m.view.dir.Mailbox(id)
	is := func(one string) func(string) bool {
		return func(other string) bool { return one != "" && strings.EqualFold(one, other) }
	}
	return slices.ContainsFunc(e.Scope.Departments, is(box.Department)) || slices.ContainsFunc(e.Scope.Buildings, is(box.Building))
}

// join lets mailboxes that fail like the others of an outage, or for long enough by
// themselves, belong to it. It returns the rest.
func (m *machine) join(l *lane, e *episode, free []doppelboden.MailboxID, now time.Time) (rest []doppelboden.MailboxID) {
	var joined []doppelboden.MailboxID
	for _, id := range free {
		r := l.failing[id]
		like := e.replies[r.reply] != nil && r.reply != ""
		long := r.sort != own && r.sort != message && r.fails >= 2 && r.fail.Sub(r.first) >= m.pace.Span
		if like || long {
			joined = append(joined, id)
			continue
		}
		rest = append(rest, id)
	}
	if len(joined) > 0 {
		m.enlist(e, stepGrew, "", joined, now)
		for _, id := range joined {
			e.say(l.failing[id].reply, l.failing[id].fail)
		}
	}
	return rest
}

// crowd opens an outage when many are refused at the same time. It returns the mailboxes
// that are not part of it. Those in an event of lesser weight count, when they fail now.
func (m *machine) crowd(l *lane, free, minor []doppelboden.MailboxID, now time.Time) (rest []doppelboden.MailboxID) {
	var members []doppelboden.MailboxID
	// First what began a short while ago: who is refused for an hour must not hide it.
	for _, window := range []time.Duration{m.pace.Window, m.pace.forget()} {
		all := m.recent(l, slices.Concat(free, minor), now, window)
		serious := slices.DeleteFunc(slices.Clone(all), func(id doppelboden.MailboxID) bool { return l.failing[id].sort == own })
		if members = m.group(l, serious); members == nil && m.mass(l, all, wholeShare/2) {
			members = all // so many are full at once that it is the groupware that is
		}
		if members != nil {
			break
		}
	}
	if members == nil {
		return free
	}
	slices.Sort(members)
	m.begin(l, false, false, now, l.failing[members[0]].reply, members)
	return slices.DeleteFunc(slices.Clone(free), func(id doppelboden.MailboxID) bool { _, in := slices.BinarySearch(members, id); return in })
}

// recent returns those that began to fail within a window and still do. Of one that was
// refused for good nobody asks again, so it counts for longer.
func (m *machine) recent(l *lane, ids []doppelboden.MailboxID, now time.Time, window time.Duration) []doppelboden.MailboxID {
	return slices.DeleteFunc(slices.Clone(ids), func(id doppelboden.MailboxID) bool {
		r := l.failing[id]
		return now.Sub(r.first) > window || r.sort != refused && now.Sub(r.fail) > m.pace.Window
	})
}

// group returns those of the mailboxes that are an outage: all of them, those of some
// department, or those of some building; or nil.
func (m *machine) group(l *lane, ids []doppelboden.MailboxID) []doppelboden.MailboxID {
	if !m.crowded(l, ids, m.pace.Crowd) {
		return nil
	}
	asked := m.asked(l, m.firstOf(l, ids))
	if 100*len(ids) >= routeShare*len(asked) || m.mass(l, ids, massShare) {
		return ids
	}
	for _, by := range []func(doppelboden.Mailbox) string{departmentOf, buildingOf} {
		of, among := map[string][]doppelboden.MailboxID{}, map[string]int{}
		for _, id := range ids {
			if name := m.named(id, by); name != "" {
				of[name] = append(of[name], id)
			}
		}
		for _, id := range asked {
			among[m.named(id, by)]++
		}
		var members []doppelboden.MailboxID
		for _, name := range sortedKeys(of) {
			if 100*len(of[name]) >= crowdShare*among[name] && m.crowded(l, of[name], m.pace.Crowd) {
				members = append(members, of[name]...)
			}
		}
		if members != nil {
			return members
		}
	}
	return nil
}

func departmentOf(b doppelboden.Mailbox) string { return b.Department }
func buildingOf(b doppelboden.Mailbox) string   { return b.Building }

// named returns what a mailbox has by an attribute, whatever its case.
func (m *machine) named(id doppelboden.MailboxID, by func(doppelboden.Mailbox) string) string {
	b, _ := m.view.dir.Mailbox(id)
	return strings.ToLower(by(b))
}

// crowded reports whether mailboxes are enough and fail for long enough, each by itself: a
// single mail to many says nothing about them.
func (m *machine) crowded(l *lane, ids []doppelboden.MailboxID, need int) bool {
	need = min(need, len(m.view.onRoute[l.key]))
	if len(ids) == 0 || len(ids) < need {
		return false
	}
	var last time.Time
	mails := map[doppelboden.ID]bool{}
	free, lasting := 0, 0
	for _, id := range ids {
		r := l.failing[id]
		if r.fail.After(last) {
			last = r.fail
		}
		if r.sort == message || r.sort == broken {
			mails[r.mail] = true
		} else {
			free++
		}
		if r.fails >= 2 {
			lasting++
		}
	}
	if len(ids) < m.pace.Crowd && lasting < len(ids) {
		return false // so few there are that each must have failed twice
	}
	return free+len(mails) >= need && last.Sub(m.firstOf(l, ids)) >= m.pace.Span
}

// mass reports whether mailboxes are many, and at least a share of those that were asked.
func (m *machine) mass(l *lane, ids []doppelboden.MailboxID, share int) bool {
	return m.crowded(l, ids, m.pace.Mass) && 100*len(ids) >= share*len(m.asked(l, m.firstOf(l, ids)))
}

// firstOf returns when the first of some failing mailboxes began to fail.
func (m *machine) firstOf(l *lane, ids []doppelboden.MailboxID) time.Time {
	var first time.Time
	for _, id := range ids {
		if r := l.failing[id]; first.IsZero() || r.first.Before(first) {
			first = r.first
		}
	}
	return first
}

// asked returns the mailboxes of a route about which something was heard since cut. Who was
// heard of before says nothing about a groupware that fell since.
func (m *machine) asked(l *lane, cut time.Time) []doppelboden.MailboxID {
	var ids []doppelboden.MailboxID
	for id, r := range m.records {
		if r.lane == l && (!r.took.Before(cut) || r.failing() && !r.fail.Before(cut)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// single lets mailboxes that fail for long, and alone, be an event of lesser weight.
func (m *machine) single(l *lane, free []doppelboden.MailboxID, now time.Time) {
	lonely := slices.DeleteFunc(slices.Clone(free), func(id doppelboden.MailboxID) bool {
		r := l.failing[id]
		return now.Sub(r.first) < m.pace.Lonely || r.fails < 2 && r.sort != refused && r.sort != own
	})
	if len(lonely) == 0 {
		return
	}
	e := m.onLane(l, true)
	if e == nil {
		m.begin(l, true, false, now, l.failing[lonely[0]].reply, lonely)
		return
	}
	e.step(store.EventStep{What: stepGrew, At: now, Joined: lonely})
	for _, id := range lonely {
		e.say(l.failing[id].reply, l.failing[id].fail)
	}
}

// wholly makes the outage of nearly all mailboxes that were asked an outage of their route.
func (m *machine) wholly(l *lane, now time.Time) {
	e := m.onLane(l, false)
	all := m.view.onRoute[l.key]
	if e == nil || e.Kind != store.Outage || e.Whole || now.Sub(l.took) < m.pace.Calm || now.Sub(m.born) < m.pace.Calm {
		return
	}
	bad := 0
	for _, r := range l.failing {
		if r.sort != nothing && now.Sub(r.fail) < m.pace.Calm {
			bad++
		}
	}
	if bad < min(wholeLeast, len(all)) || 100*bad < wholeShare*len(m.asked(l, now.Add(-m.pace.Calm))) {
		return
	}
	e.Whole, e.mute, e.turned, e.told = true, false, time.Time{}, now
	m.enlist(e, stepSilent, m.loudest(e), m.free(all, e), now)
}

// loudest returns the reply that was heard most.
func (m *machine) loudest(e *episode) string {
	best := ""
	for _, text := range sortedKeys(e.replies) {
		if best == "" || e.replies[text].Count > e.replies[best].Count {
			best = text
		}
	}
	return best
}

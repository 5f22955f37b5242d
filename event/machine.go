package event

import (
	"cmp"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// What steps say.
const (
	stepOpened    = "opened"
	stepPlanned   = "planned"   // a maintenance that is to come
	stepBegan     = "began"     // it has come
	stepGrew      = "grew"      // more mailboxes are concerned
	stepShrank    = "shrank"    // mailboxes are well again, or gone
	stepSilent    = "silent"    // the route itself does not work
	stepAnswering = "answering" // it answers again, which proves nothing yet
	stepTried     = "tried"     // a letter goes out, for no mail waits that could show it
	stepTurned    = "turned"    // mail is taken again
	stepNoted     = "noted"
	stepOverrun   = "overrun"
	stepClosed    = "closed"
	stepReopened  = "reopened"
	stepReleased  = "released" // of an attack: a way was opened again
)

// maxReplies bounds the different replies of one event; the rest are counted together.
const maxReplies = 30

// otherReplies stands for those.
const otherReplies = "…"

// An episode is an event with what is needed to go on with it.
type episode struct {
	store.Event
	members map[doppelboden.MailboxID]bool
	replies map[string]*store.EventReply

	turned    time.Time // since when mail is taken again, without the route failing; zero: it is not
	mute      bool      // of a whole route: it does not talk to us; else it talks and refuses
	answering bool      // it talks again
	told      time.Time // when the story last said that it answers, or that it does not
	done      int       // members that left because they are well, since it opened
	shrunk    time.Time // when members were last let go
	counted   time.Time // when members were last looked at
	seen      *view     // whom members were last looked up in
	begun     bool      // of a maintenance: its time has come
	overrun   bool      // of a maintenance: its time is over, and that is an alarm

	wrote map[doppelboden.MailboxID]letter // letters that went out to see whether mail is taken
	tries int                              // how often some went out, since this node started
	tried time.Time                        // when they last did

	steps     int               // how many there are
	unsaved   []store.EventStep // the last ones, which are not durable yet
	said      map[string]bool   // replies whose counts are not durable yet
	dirty     bool
	saved     time.Time           // when it was last written
	alarm     doppelboden.Telling // what the alarm says
	alarmed   time.Time
	alarmedAt int // steps that there were then
}

// open reports whether it lasts.
func (e *episode) open() bool { return e.Until.IsZero() }

// active reports whether it is open and has begun.
func (e *episode) active() bool { return e.open() && (e.Kind != store.Maintenance || e.begun) }

// step adds a line to the story.
func (e *episode) step(s store.EventStep) {
	e.steps++
	s.N = e.steps
	for _, id := range s.Joined {
		e.members[id] = true
	}
	for _, id := range s.Left {
		delete(e.members, id)
	}
	e.Concerned = int64(len(e.members))
	e.Most = max(e.Most, e.Concerned)
	e.unsaved = append(e.unsaved, s)
	e.dirty = true
}

// say counts a reply.
func (e *episode) say(text string, at time.Time) { e.heard(text, 1, at, at) }

// heard counts a reply that came n times from first to last.
func (e *episode) heard(text string, n int, first, last time.Time) {
	if text == "" {
		return
	}
	if e.replies[text] == nil && len(e.replies) >= maxReplies {
		text = otherReplies
	}
	r := e.replies[text]
	if r == nil {
		r = &store.EventReply{Text: text, First: first}
		e.replies[text] = r
	}
	r.Count += int64(n)
	if first.Before(r.First) {
		r.First = first
	}
	if last.After(r.Last) {
		r.Last = last
	}
	e.said[text] = true
}

// A machine decides what is an event. It does no I/O and is used by one goroutine at a time.
type machine struct {
	pace     Pace
	view     *view
	records  map[doppelboden.MailboxID]*record
	lanes    map[string]*lane
	episodes []*episode                      // open ones, and those that may be opened again
	last     map[doppelboden.TenantID]int64  // number of the last event
	singles  map[eventKey]bool               // events of single mailboxes, also those that are over
	waiting  map[doppelboden.MailboxID]int64 // mails that wait in the queue, of members
	born     time.Time                       // since when anything is observed
	pruned   time.Time
}

// An eventKey names an event.
type eventKey struct {
	tenant doppelboden.TenantID
	number int64
}

func newMachine(p Pace, v *view, now time.Time) *machine {
	m := &machine{pace: p, born: now, records: map[doppelboden.MailboxID]*record{}, lanes: map[string]*lane{},
		last: map[doppelboden.TenantID]int64{}, singles: map[eventKey]bool{}, waiting: map[doppelboden.MailboxID]int64{}}
	m.follow(v)
	return m
}

// follow makes v what is known of who there is.
func (m *machine) follow(v *view) {
	m.view = v
	for _, t := range v.dir.City().Tenants {
		id, _ := v.dir.TenantNamed(t.Name)
		for _, r := range t.Routes {
			if r.Here {
				continue
			}
			if key := v.keys[r]; m.lanes[key] == nil {
				m.lanes[key] = &lane{key: key, tenant: id, name: r.Name, failing: map[doppelboden.MailboxID]*record{}}
			}
		}
	}
}

// observe learns from an answer.
func (m *machine) observe(o *observation) {
	l := m.lanes[o.lane]
	if l == nil || o.sort == nothing {
		return
	}
	if !o.filed {
		l.add(o)
	}
	if o.sort == silent {
		if e := m.onLane(l, false); e != nil {
			e.say(o.reply, o.at)
			if l.fails >= 2 { // one is not enough: a server may have too many connections
				e.turned = time.Time{}
			}
		}
		return
	}
	if o.sort == answered || o.mailbox == 0 || m.view.lane(o.mailbox) != o.lane {
		return
	}
	r := m.records[o.mailbox]
	if r == nil {
		r = &record{}
		m.records[o.mailbox] = r
	}
	if r.lane != l {
		*r = record{lane: l}
	}
	r.add(o)
	e := m.of(o.mailbox)
	if o.sort != took {
		l.failing[o.mailbox], l.fresh = r, true
		if e != nil {
			e.say(o.reply, o.at)
		}
		return
	}
	delete(l.failing, o.mailbox)
	if e != nil && e.turned.IsZero() && l.fails == 0 {
		e.turned = o.at
		e.step(store.EventStep{What: stepTurned, At: o.at})
	}
}

// of returns the open event that a mailbox is concerned by, or nil.
func (m *machine) of(id doppelboden.MailboxID) *episode {
	for _, e := range m.episodes {
		if e.open() && e.members[id] {
			return e
		}
	}
	return nil
}

// onLane returns the open outage of a route: that of many mailboxes, or that of single
// ones; or nil. An active maintenance of the route stands for the first.
func (m *machine) onLane(l *lane, minor bool) *episode {
	for _, e := range m.episodes {
		if e.Tenant != l.tenant || !e.active() {
			continue
		}
		if e.Kind == store.Outage && e.Route == l.name && e.Minor == minor {
			return e
		}
	}
	if minor {
		return nil
	}
	return m.maintained(l)
}

// maintained returns the active maintenance of a whole route, or nil.
func (m *machine) maintained(l *lane) *episode {
	for _, e := range m.episodes {
		if e.Kind == store.Maintenance && e.Tenant == l.tenant && e.active() && slices.Contains(e.Scope.Routes, l.name) {
			return e
		}
	}
	return nil
}

// tick decides, at least once a second.
func (m *machine) tick(now time.Time) {
	m.maintain(now)
	for _, key := range sortedKeys(m.lanes) {
		l := m.lanes[key]
		switch {
		case l.dead(&m.pace, now):
			m.lost(l, now)
		case len(l.failing) > 0 && (l.fresh || now.Sub(l.looked) >= m.pace.Span):
			l.fresh, l.looked = false, now
			m.refusals(l, now)
		}
	}
	for _, e := range m.episodes {
		if e.active() {
			m.listen(e, now)
			m.recover(e, now)
		}
	}
	m.episodes = slices.DeleteFunc(m.episodes, func(e *episode) bool {
		return !e.open() && now.Sub(e.Until) > m.pace.Reopen && !e.dirty && len(e.unsaved) == 0
	})
	m.prune(now)
}

// lost notes that a route does not work, for whomever it is.
func (m *machine) lost(l *lane, now time.Time) {
	all := m.view.onRoute[l.key]
	if len(all) == 0 {
		return // nobody's mail goes by it; its lane tells
	}
	e := m.onLane(l, false)
	reply := l.reply
	if l.fails == 0 {
		reply = "no transaction has ended for " + m.pace.Hung.String()
	}
	if e != nil && e.Whole && e.mute && !e.answering && e.turned.IsZero() {
		if e.seen == m.view {
			return
		}
		if fresh := m.free(all, e); len(fresh) > 0 { // somebody moved here
			m.enlist(e, stepGrew, "", fresh, now)
		}
		return
	}
	if e == nil {
		m.begin(l, false, true, now, reply, m.free(all, nil))
		return
	}
	again := e.mute && now.Sub(e.told) < m.pace.Shrink
	e.Whole, e.mute, e.answering, e.turned = true, true, false, time.Time{}
	fresh := m.free(all, e)
	if again && len(fresh) == 0 {
		return // it comes and goes; the story need not say so every time
	}
	e.told = now
	m.enlist(e, stepSilent, reply, fresh, now)
}

// enlist lets mailboxes belong to an event, which they leave another one of lesser weight
// for.
func (m *machine) enlist(e *episode, what, note string, ids []doppelboden.MailboxID, now time.Time) {
	m.release(ids, now)
	e.step(store.EventStep{What: what, At: now, Note: note, Joined: ids})
}

// free returns those who are in no event, or in one of lesser weight, which they leave. It
// leaves out who is in e already.
func (m *machine) free(ids []doppelboden.MailboxID, e *episode) []doppelboden.MailboxID {
	var free []doppelboden.MailboxID
	for _, id := range ids {
		switch in := m.of(id); {
		case in == nil, in != e && in.Kind == store.Outage && in.Minor:
			free = append(free, id)
		}
	}
	return free
}

// begin opens an event for mailboxes, or goes on with one that ended a short while ago.
func (m *machine) begin(l *lane, minor, whole bool, now time.Time, note string, ids []doppelboden.MailboxID) {
	m.release(ids, now)
	e := m.ended(l, minor, now)
	what := stepReopened
	if e == nil {
		what = stepOpened
		e = m.newEpisode(store.Event{Tenant: l.tenant, Kind: store.Outage, Minor: minor, Route: l.name, Since: now})
	}
	e.Until, e.ClosedBy, e.Whole, e.mute = time.Time{}, "", whole, whole
	e.turned, e.answering, e.done, e.told, e.shrunk = time.Time{}, false, 0, now, now
	if e.steps == 0 {
		e.Since = m.firstSign(l, whole, ids, now)
	}
	e.step(store.EventStep{What: what, At: now, Note: note, Joined: ids})
	for _, id := range ids {
		if r := m.records[id]; r.failing() && !r.fail.Before(e.Since) {
			e.heard(r.reply, r.fails, r.first, r.fail)
		}
	}
	if whole && l.fails > 0 {
		e.heard(l.reply, l.fails, l.since, now)
	}
}

// firstSign returns when it began, as far as we saw.
func (m *machine) firstSign(l *lane, whole bool, ids []doppelboden.MailboxID, now time.Time) time.Time {
	since := now
	if whole && l.fails > 0 && l.since.Before(since) {
		since = l.since
	}
	for _, id := range ids {
		if r := m.records[id]; r.failing() && r.first.Before(since) && now.Sub(r.first) <= m.pace.Window {
			since = r.first
		}
	}
	return since
}

// newEpisode makes an event with the next number of its tenant.
func (m *machine) newEpisode(e store.Event) *episode {
	m.last[e.Tenant]++
	e.Number = m.last[e.Tenant]
	if e.Minor {
		m.singles[eventKey{e.Tenant, e.Number}] = true
	}
	ep := &episode{Event: e, members: map[doppelboden.MailboxID]bool{}, replies: map[string]*store.EventReply{}, said: map[string]bool{},
		wrote: map[doppelboden.MailboxID]letter{}, dirty: true}
	m.episodes = append(m.episodes, ep)
	return ep
}

// release takes mailboxes out of events of lesser weight: they join a greater one.
func (m *machine) release(ids []doppelboden.MailboxID, now time.Time) {
	leaving := map[*episode][]doppelboden.MailboxID{}
	for _, id := range ids {
		if e := m.of(id); e != nil {
			leaving[e] = append(leaving[e], id)
		}
	}
	for e, left := range leaving {
		e.step(store.EventStep{What: stepShrank, At: now, Left: left})
		if len(e.members) == 0 {
			m.close(e, now, "", "")
		}
	}
}

// ended returns the outage of a route that ended so short ago that it goes on, or nil.
func (m *machine) ended(l *lane, minor bool, now time.Time) *episode {
	for _, e := range slices.Backward(m.episodes) {
		if e.Kind == store.Outage && e.Tenant == l.tenant && e.Route == l.name && e.Minor == minor && !e.open() && now.Sub(e.Until) <= m.pace.Reopen {
			return e
		}
	}
	return nil
}

// close ends an event.
func (m *machine) close(e *episode, now time.Time, by, note string) {
	left := make([]doppelboden.MailboxID, 0, len(e.members))
	for id := range e.members {
		left = append(left, id)
	}
	slices.Sort(left)
	e.Until, e.ClosedBy = now, by
	e.step(store.EventStep{What: stepClosed, At: now, By: by, Note: note, Left: left})
}

// prune forgets what was well long ago.
func (m *machine) prune(now time.Time) {
	if now.Sub(m.pruned) < m.pace.Window {
		return
	}
	m.pruned = now
	for id, r := range m.records {
		lane := m.view.lane(id)
		switch {
		case lane != r.lane.key: // it has moved, or is gone
			delete(r.lane.failing, id)
			delete(m.records, id)
		case !r.failing() && now.Sub(r.took) > m.pace.forget() && m.of(id) == nil:
			delete(m.records, id)
		}
	}
}

// forget is after how long a mailbox that was well is unknown again.
func (p *Pace) forget() time.Duration { return max(time.Hour, p.Window) }

// sortedKeys returns the keys of a map in their order.
func sortedKeys[K cmp.Ordered, V any](all map[K]V) []K {
	keys := make([]K, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

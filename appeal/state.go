package appeal

import (
	"slices"
	"time"

	"doppelboden"
)

// A group is what was refused with the same words on the same route. Like all here, it is
// guarded by Appeals.mu.
type group struct {
	id     string
	tenant doppelboden.TenantID
	hold   doppelboden.Hold

	members map[doppelboden.BoxID]int // the boxes with mail in it: the round in which each was last tried
	order   []doppelboden.BoxID       // the same, and some that have left; the first is tried next

	next   time.Time // when its next round begins
	failed int       // rounds in a row in which nothing was taken; -1: the route was well again
	round  int       // counts rounds
	wave   int       // boxes that go at once; 0: the first has not been taken yet
	sent   int       // deliveries of the wave, or the first alone
	out    int       // of these, those whose outcome is not known
	took   bool      // one of them was taken
	asked  time.Time // when they went
}

// A box is where refused mail waits.
type box struct {
	id        doppelboden.BoxID
	tenant    doppelboden.TenantID
	mailbox   doppelboden.MailboxID
	recipient doppelboden.Address // whom the groupware did not know; null: it said no such thing
	groups    map[string]*group
	refused   time.Time // the last time
	took      time.Time // the last time; zero: not as long as this run knows the box
	seen      bool      // it was refused in this run; what came between earlier refusals nobody knows

	next   time.Time // not before this it is tried for being well (Appeals.well)
	failed int       // how often that did not help, in a row

	looking time.Time // when its last look began; zero: there is none
	guilty  bool      // it was refused after everything else said that nobody is there: its mail goes back
	retry   time.Time // guilty: not before this
}

// refusedAt notes a refusal.
func (b *box) refusedAt(at time.Time) {
	if at.After(b.refused) {
		b.refused = at
	}
}

// tookAt notes a success.
func (b *box) tookAt(at time.Time) {
	if at.After(b.took) {
		b.took = at
	}
}

// A lane is what is known of a route.
type lane struct {
	took    map[doppelboden.BoxID]time.Time // the mailboxes that took mail last, at most mostTook
	last    time.Time                       // when any did
	refused map[doppelboden.BoxID]bool      // those that were refused since, at most mostRefused
	again   time.Time                       // when it was last found to be well again
	begun   int                             // groups begun since minute, none of whose mail was taken
	minute  time.Time                       // when begun was last set to 0
}

const (
	// mostTook bounds what is remembered of a lane: a few more than are ever asked for.
	mostTook = 32
	// mostRefused is how many mailboxes must be refused in a row, with no success in
	// between, for a route to be ill.
	mostRefused = 5
	// quiet is how long a route with refusals must have taken nothing to be ill.
	quiet = 5 * time.Minute
	// againEvery is how often at most a route is found to be well again.
	againEvery = time.Minute
)

// A trial is a delivery that was put back into the queue.
type trial struct {
	group string // whose round it belongs to; "" for that of a mailbox alone
	lane  string
	at    time.Time
	late  bool // nobody waits for its outcome any more
}

// group returns a group, which it makes if need be, with its first round at next.
func (a *Appeals) group(id string, t doppelboden.TenantID, h doppelboden.Hold, next time.Time) *group {
	g := a.groups[id]
	if g == nil {
		g = &group{id: id, tenant: t, hold: h, next: next, members: map[doppelboden.BoxID]int{}}
		a.groups[id] = g
	}
	return g
}

// box returns a box, which it makes if need be.
func (a *Appeals) box(id doppelboden.BoxID, t doppelboden.TenantID) *box {
	b := a.boxes[id]
	if b == nil {
		b = &box{id: id, tenant: t, groups: map[string]*group{}}
		a.boxes[id] = b
	}
	return b
}

// lane returns what is known of a lane.
func (a *Appeals) lane(name string) *lane {
	l := a.lanes[name]
	if l == nil {
		l = &lane{took: map[doppelboden.BoxID]time.Time{}, refused: map[doppelboden.BoxID]bool{}}
		a.lanes[name] = l
	}
	return l
}

// join notes that a box has mail in a group.
func (a *Appeals) join(g *group, b *box) {
	if b.groups[g.id] == g {
		return
	}
	b.groups[g.id] = g
	g.members[b.id] = 0
	g.order = append(g.order, b.id)
}

// leave notes that a box has nothing more in a group.
func (a *Appeals) leave(g *group, b *box) {
	delete(b.groups, g.id)
	delete(g.members, b.id)
	if i := slices.Index(g.order, b.id); i >= 0 {
		g.order = slices.Delete(g.order, i, i+1)
	}
	if len(g.members) == 0 && g.out == 0 {
		delete(a.groups, g.id)
	}
	if len(b.groups) == 0 {
		delete(a.boxes, b.id)
	}
}

// success notes that a mailbox took mail, and reports whether the route is well again: it
// took nothing for a while, and refused. Only a next server that took it is a witness to
// what it refuses others: what was put straight into a mailbox did not ask it.
func (l *lane) success(id doppelboden.BoxID, at, now time.Time, witness bool) (again bool) {
	ill := len(l.refused) >= mostRefused || len(l.refused) > 0 && at.Sub(l.last) >= quiet
	first := l.last.IsZero()
	if at.After(l.last) {
		l.last = at
	}
	clear(l.refused)
	l.begun = 0
	if witness {
		l.witness(id, at)
	}
	if !ill && !first || now.Sub(l.again) < againEvery {
		return false
	}
	l.again = now
	return true
}

// witness keeps that a mailbox took mail.
func (l *lane) witness(id doppelboden.BoxID, at time.Time) {
	if _, known := l.took[id]; !known && len(l.took) >= mostTook {
		oldest := id
		for other, t := range l.took {
			if was, ok := l.took[oldest]; !ok || t.Before(was) {
				oldest = other
			}
		}
		delete(l.took, oldest)
	}
	if at.After(l.took[id]) {
		l.took[id] = at
	}
}

// mayBegin reports whether one more group may be tried.
func (l *lane) mayBegin(now time.Time) bool {
	if now.Sub(l.minute) >= time.Minute || now.Before(l.minute) {
		l.begun, l.minute = 0, now
	}
	return l.begun < mostFirst
}

// refusal notes that a mailbox was refused.
func (l *lane) refusal(id doppelboden.BoxID) {
	if len(l.refused) < mostRefused {
		l.refused[id] = true
	}
}

// others returns how many mailboxes other than id took mail between two times.
func (l *lane) others(id doppelboden.BoxID, after, until time.Time) (n int) {
	for other, t := range l.took {
		if other != id && t.After(after) && !t.After(until) {
			n++
		}
	}
	return n
}

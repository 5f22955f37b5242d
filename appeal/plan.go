package appeal

import (
	"maps"
	"slices"
	"time"

	"doppelboden"
)

// A task is one order to the queue, about the mail of some boxes.
type task struct {
	group  string // in whose round; "" for a box alone
	boxes  []doppelboden.BoxID
	single bool // only the first delivery of each box
	look   bool // the last look at a box: is it still refused?
	back   bool // return what is held in the box
}

const (
	// mostTasks bounds what one look does, so that it never takes long.
	mostTasks = 200
	// mostFirst bounds how many groups of a lane have a first delivery tried within a
	// minute without one being taken: where every mail is refused with words of its own,
	// each is a group.
	mostFirst = 10
	// lookThrough is the time between two looks at all boxes.
	lookThrough = 5 * time.Second
)

// plan decides what is to be done now.
func (a *Appeals) plan(q Queue) []task {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opts.Clock()
	a.forgetTrials(now)
	if len(a.boxes) == 0 {
		return nil
	}
	out := map[string]int{}
	for _, t := range a.trials {
		if !t.late {
			out[t.lane]++
		}
	}
	var tasks []task
	if now.Sub(a.asked) >= lookThrough || now.Before(a.asked) {
		a.asked, a.news = now, false
		tasks = a.planLooks(q, now)
	}
	tasks = append(tasks, a.planWell(q, now, out)...)
	for _, id := range slices.Sorted(maps.Keys(a.groups)) {
		if len(tasks) >= mostTasks {
			a.wake()
			break
		}
		g := a.groups[id]
		lane := a.laneOf(g)
		if lane == "" || !q.Up(lane) || out[lane] >= a.opts.Pace.Most {
			continue
		}
		l := a.lane(lane)
		if g.wave == 0 && g.sent == 0 && !l.mayBegin(now) {
			continue
		}
		t, ok := a.planGroup(g, now)
		if !ok {
			continue
		}
		if t.single {
			l.begun++
		}
		tasks = append(tasks, t)
	}
	return tasks
}

// laneOf returns the lane by which a group's next mail goes.
func (a *Appeals) laneOf(g *group) string {
	if len(g.order) == 0 {
		return g.hold.Route
	}
	return a.opts.Lane(g.order[0])
}

// forgetTrials goes on without outcomes that do not come: their mail is queued like any
// other, and what becomes of it is told whenever that is.
func (a *Appeals) forgetTrials(now time.Time) {
	for ref, t := range a.trials {
		switch age := now.Sub(t.at); {
		case age >= a.opts.Pace.Fresh:
			delete(a.trials, ref)
		case age >= a.opts.Pace.Patience && !t.late:
			t.late = true
			if g := a.groups[t.group]; g != nil && !t.at.Before(g.asked) {
				g.out--
			}
		}
	}
}

// planGroup decides what is next in a group.
func (a *Appeals) planGroup(g *group, now time.Time) (task, bool) {
	switch {
	case g.out > 0 && (g.wave == 0 || g.out > g.sent/2):
		return task{}, false // let us see first
	case g.sent > 0 && g.took && g.wave == 0:
		g.failed, g.wave = 0, a.opts.Pace.Wave
	case g.sent > 0 && g.took:
		g.wave = min(2*g.wave, a.opts.Pace.MostWave)
	case g.sent > 0:
		a.endRound(g, now)
		return task{}, false
	case g.wave > 0: // nothing of the last wave was held any more
	case now.Before(g.next):
		return task{}, false
	default:
		g.round++
	}
	t := task{group: g.id, boxes: a.turn(g, max(1, g.wave)), single: g.wave == 0}
	g.sent, g.out, g.took = 0, 0, false
	if len(t.boxes) == 0 {
		a.endRound(g, now)
		return task{}, false
	}
	g.asked = now
	return t, true
}

// endRound lets a group wait for its next round. What is left of it was refused.
func (a *Appeals) endRound(g *group, now time.Time) {
	g.failed++
	g.next = now.Add(a.opts.Pace.after(g.failed))
	g.sent, g.out, g.wave, g.took = 0, 0, 0, false
	if len(g.members) == 0 {
		delete(a.groups, g.id)
	}
}

// turn takes the next boxes of a group that were not tried in this round.
func (a *Appeals) turn(g *group, most int) (boxes []doppelboden.BoxID) {
	for range len(g.order) {
		id := g.order[0]
		g.order = append(g.order[1:], id)
		if g.members[id] == g.round {
			continue
		}
		g.members[id] = g.round
		if boxes = append(boxes, id); len(boxes) == most {
			break
		}
	}
	return boxes
}

// planWell has the mail of boxes tried that work again.
func (a *Appeals) planWell(q Queue, now time.Time, out map[string]int) (tasks []task) {
	for id := range a.well {
		b := a.boxes[id]
		if b == nil {
			delete(a.well, id)
			continue
		}
		lane := a.opts.Lane(id)
		if now.Before(b.next) || lane == "" || !q.Up(lane) || out[lane] >= a.opts.Pace.Most {
			continue
		}
		delete(a.well, id)
		b.next = now.Add(a.opts.Pace.after(b.failed))
		if tasks = append(tasks, task{boxes: []doppelboden.BoxID{b.id}}); len(tasks) >= mostTasks {
			break
		}
	}
	return tasks
}

// planLooks looks for boxes whose mail may go back, and for those that go by another route
// now.
func (a *Appeals) planLooks(q Queue, now time.Time) (tasks []task) {
	for _, b := range a.boxes {
		if len(tasks) >= mostTasks {
			break
		}
		lane := a.opts.Lane(b.id)
		for _, g := range b.groups {
			if g.hold.Route != "" && lane != "" && g.hold.Route != lane {
				a.well[b.id] = true // nobody there has refused it yet; b.next bounds it
			}
		}
		switch {
		case b.recipient.IsNull() || lane == "" || !q.Up(lane) || now.Before(b.retry):
		case b.guilty:
			b.retry = now.Add(a.opts.Pace.First)
			tasks = append(tasks, task{boxes: []doppelboden.BoxID{b.id}, back: true})
		case !b.looking.IsZero() && now.Sub(b.looking) < a.opts.Pace.First:
		case a.nobodyThere(b, lane, b.refused, now):
			b.looking = now
			tasks = append(tasks, task{boxes: []doppelboden.BoxID{b.id}, single: true, look: true})
		}
	}
	return tasks
}

// nobodyThere reports whether everything but the groupware's own words says that a box is
// no more: between two times others on its route took mail, and a list was read that does
// not have it. Who took mail himself since then is there.
func (a *Appeals) nobodyThere(b *box, lane string, since, until time.Time) bool {
	if b.took.After(since) {
		return false
	}
	if fresh := until.Add(-a.opts.Pace.Fresh); since.Before(fresh) {
		since = fresh
	}
	if a.lane(lane).others(b.id, since, until) < a.opts.Pace.Others {
		return false
	}
	read, ok := a.opts.Unlisted(b.tenant, b.mailbox, b.recipient)
	return ok && read.After(since) && !read.After(until)
}

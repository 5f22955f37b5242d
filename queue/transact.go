package queue

import (
	"context"
	"strconv"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// transact hands over j and goes on with further jobs on the same connection until
// there is none.
func (l *lane) transact(ctx context.Context, j *job) {
	var a Agent // nil until a next server is to be asked
	for j != nil {
		if !l.admit(j) {
			j = l.pick(ctx)
			continue
		}
		began := l.q.opts.Clock()
		var outcomes []doppelboden.Outcome
		if j.run {
			outcomes = l.q.opts.Filer.File(l.hand, l.conf.Route.Name, j.items)
		} else {
			if a == nil {
				a = l.agent()
			}
			outcomes = a.Hand(l.hand, j.courierJob())
		}
		took := l.q.opts.Clock().Sub(began)
		l.metrics.handSecs.Observe(took.Seconds())
		l.judge(j, outcomes, took)
		l.report(j, outcomes)
		ended := j
		l.work.Go(func() { l.finish(ended, outcomes) })
		j = l.pick(ctx)
	}
	if a != nil {
		l.mu.Lock()
		l.agents = append(l.agents, idleAgent{agent: a, since: l.q.opts.Clock()})
		l.mu.Unlock()
	}
	if ctx.Err() != nil {
		l.closeIdle(time.Time{}) // run may have ended before us
		return
	}
	l.wake()
}

// judge learns from a transaction's outcomes how its side of the route is.
func (l *lane) judge(j *job, outcomes []doppelboden.Outcome, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended(j)
	s := l.sideFor(j)
	if n := tookOf(outcomes); n > 0 {
		l.flow.took(l.q.opts.Clock(), j, n, d)
	}
	var took, broke, later, dead bool
	alone := true // what is put off is put off for a recipient
	for _, o := range outcomes {
		l.metrics.outcomes[o.Verdict][o.Scope].Inc()
		switch {
		case o.Verdict == doppelboden.Took:
			took = true
		case o.Verdict == doppelboden.Refused:
			// It talks to us; a verdict about this mail says nothing about the route.
		case o.Scope == doppelboden.AboutRoute || o.InDoubt:
			broke, s.health.reply = true, replyLine(o)
			dead = dead || beforeMail(o.Phase)
		default:
			later, s.health.reply = true, replyLine(o)
			alone = alone && o.Scope == doppelboden.AboutRecipient
		}
	}
	switch {
	case took:
		l.up(s)
		s.throttle.well()
		s.health.took = l.q.opts.Clock()
	case broke:
		s.throttle.badly()
		s.health.bad++
		if dead || s.health.down || s.health.bad >= l.q.opts.Pace.Suspect {
			l.down(s)
		}
	case later:
		// Mailboxes that are put off while others are served must not slow these down.
		if !alone || l.q.opts.Clock().Sub(s.health.took) >= takesFor {
			s.throttle.badly()
		}
		s.health.bad = 0
	default:
		s.health.bad = 0
	}
}

// takesFor is how long after a mail was taken a server counts as one that takes mail.
const takesFor = 5 * time.Second

// beforeMail reports whether a phase comes before the first word about a mail.
func beforeMail(phase string) bool {
	return phase == "connect" || phase == "greeting" || phase == "helo" || phase == "starttls"
}

// up notes that a side takes mail.
func (l *lane) up(s *side) {
	s.health.bad, s.health.failures = 0, 0
	if !s.health.down {
		return
	}
	now := l.q.opts.Clock()
	l.q.opts.Log.Info("the route takes mail again", "lane", l.conf.Route.Name, "filing", s == &l.filing, "down_seconds", now.Sub(s.health.since).Seconds())
	s.health.down, s.health.since = false, now
	s.throttle.restart()
	l.tellUp()
}

// down notes that a side does not answer, and sets the time of the next probe.
func (l *lane) down(s *side) {
	now := l.q.opts.Clock()
	if !s.health.down {
		s.health.down, s.health.since = true, now
		l.q.opts.Log.Warn("the route does not answer", "lane", l.conf.Route.Name, "filing", s == &l.filing, "reply", s.health.reply)
		l.tellUp()
	}
	s.health.failures++
	p := l.q.opts.Pace
	s.health.probe = now.Add(backoff(p.RouteFirst, p.RouteMost, s.health.failures))
}

// finish writes what came of a job and lets its boxes go on.
func (l *lane) finish(j *job, outcomes []doppelboden.Outcome) {
	l.mu.Lock()
	settlements := make([]doppelboden.Settlement, 0, len(outcomes))
	for i, o := range outcomes {
		if s, ok := l.conclude(j, j.box(i), j.items[i], o); ok {
			settlements = append(settlements, s)
		}
	}
	l.mu.Unlock()
	settlements = l.successes(j, outcomes, settlements)
	if len(settlements) > 0 {
		var ok bool
		if settlements, ok = l.write(settlements); !ok {
			return // the node is ending; what is not written is tried again
		}
	}
	l.q.notifyGenerated(settlements)
	l.appealed(j, outcomes, settlements)
	l.letGo(j)
}

// letGo lets the boxes of a job go on, after what came of it is written.
func (l *lane) letGo(j *job) {
	l.mu.Lock()
	l.sideFor(j).settling--
	for _, b := range j.boxes {
		for _, ref := range b.flying {
			if b.overruled[ref] { // while it was being written
				delete(b.overruled, ref)
				delete(b.stepped, ref)
				l.forget(b, ref)
			}
		}
		b.place, b.flying = nowhere, b.flying[:0]
		l.arrange(b)
	}
	l.mu.Unlock()
	l.wake()
}

// conclude changes a box by one outcome and returns what is to be written.
func (l *lane) conclude(j *job, b *box, it store.Item, o doppelboden.Outcome) (doppelboden.Settlement, bool) {
	s := doppelboden.Settlement{
		Ref: refOf(it), Box: b.id, Reply: replyLine(o),
		By: "courier", Attempt: true, At: o.At,
	}
	overruled := b.overruled[s.Ref]
	delete(b.overruled, s.Ref)
	switch {
	case o.Verdict == doppelboden.Took:
		s.State = doppelboden.Delivered
		l.done(b, s.Ref)
		b.attempts, b.wait = 0, time.Time{}
		return s, true
	case overruled:
		l.done(b, s.Ref)
		return s, false
	case o.Verdict == doppelboden.Refused:
		// Promise 3: a 5xx of the city's own groupware is held first.
		s.State, s.Hold = doppelboden.Held, holdFor(l.conf.Route.Name, o)
		l.done(b, s.Ref)
		b.attempts, b.wait = 0, time.Time{}
		return s, true
	}
	return l.postpone(l.sideFor(j), b, it, s, o)
}

// mostStepped is how many mails of one mailbox are stepped over at a time: where more are
// refused, the mails are not what is wrong, and their order and our memory count more.
const mostStepped = 10

// postpone decides when a delivery that was put off is tried again.
func (l *lane) postpone(way *side, b *box, it store.Item, s doppelboden.Settlement, o doppelboden.Outcome) (doppelboden.Settlement, bool) {
	now, p := l.q.opts.Clock(), l.q.opts.Pace
	s.State = doppelboden.Queued
	if o.Scope == doppelboden.AboutRoute && beforeMail(o.Phase) {
		// The lane waits, not the mailbox. Only the first failure is written: probes
		// of a dead route must not fill the disk.
		return s, way.health.failures <= 1
	}
	b.attempts++
	b.wait = now.Add(backoff(p.BoxFirst, p.BoxMost, b.attempts))
	if o.Scope == doppelboden.AboutMessage && it.Delivery.Attempts+1 >= p.StepOver && len(b.stepped) < mostStepped {
		until := now.Add(backoff(p.BoxFirst, p.BoxMost, it.Delivery.Attempts+1))
		if b.stepped == nil {
			b.stepped = map[doppelboden.Ref]time.Time{}
		}
		b.stepped[s.Ref] = until
		l.forget(b, s.Ref)
		b.attempts, b.wait = 0, time.Time{}
		s.Next = until
		return s, true
	}
	b.failed(s.Ref)
	s.Next = b.wait
	return s, true
}

// done takes a delivery that needs no more attempts out of its box.
func (l *lane) done(b *box, ref doppelboden.Ref) {
	l.forget(b, ref)
	l.queued = max(0, l.queued-1)
	b.queued = max(0, b.queued-1)
}

// forget takes a delivery out of memory.
func (l *lane) forget(b *box, ref doppelboden.Ref) {
	if b.drop(ref) {
		l.buffered--
	}
}

// write settles, again and again until it is durable, and returns what it wrote, or false
// when the queue ends or was replaced before that. A box that leaves the lane waits for it.
func (l *lane) write(s []doppelboden.Settlement) (written []doppelboden.Settlement, ok bool) {
	return l.q.write(l.life, l.conf.Route.Name, s, func(one doppelboden.Settlement) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.boxes[one.Box].overruled[one.Ref]
	})
}

// replyLine is an outcome's reply as it is stored: phase, server, code and text.
func replyLine(o doppelboden.Outcome) string {
	line := o.Phase
	if o.Server != "" {
		line += " " + o.Server + ":"
	}
	if o.Reply.Code != 0 {
		line += " " + strconv.Itoa(o.Reply.Code)
	}
	return line + " " + o.Reply.Text
}

package queue

import (
	"context"
	"math/rand/v2"
	"time"

	"doppelboden"
)

// transact hands over j, and further mail for the same domain on the same connection.
func (o *outlet) transact(ctx context.Context, j *farJob, a Agent) {
	d, version := j.domain, j.version
	for done := 1; j != nil; done++ {
		if o.admit(ctx, j) {
			began := o.q.opts.Clock()
			outcomes := a.Hand(ctx, j.courierJob())
			o.metrics.handSecs.Observe(o.q.opts.Clock().Sub(began).Seconds())
			o.judge(j, outcomes)
			ended := j
			o.work.Go(func() { o.finish(ended, outcomes) })
		}
		j = o.pickSame(ctx, d, done, version)
	}
	key := d.id
	o.mu.Lock()
	if o.relayed() {
		key = 0
	}
	o.agents = append(o.agents, farAgent{agent: a, box: key, version: version, since: o.q.opts.Clock()})
	o.mu.Unlock()
	if ctx.Err() != nil {
		o.closeIdle(time.Time{}) // run may have ended before us
		return
	}
	o.wake()
}

// judge learns from a transaction's outcomes how the domain is, or the smart hosts.
func (o *outlet) judge(j *farJob, outcomes []doppelboden.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d, h := j.domain, o.healthOf(j.domain)
	o.landed(d)
	var took, broke, later, dead, spoke bool
	for _, out := range outcomes {
		o.metrics.outcomes[out.Verdict][out.Scope].Inc()
		spoke = spoke || out.Reply.Code != 0 || out.Verdict != doppelboden.Later
		switch {
		case out.Verdict == doppelboden.Took:
			took = true
		case out.Verdict == doppelboden.Refused:
			// About this mail, or about a domain that takes none.
		case out.Scope == doppelboden.AboutRoute || out.InDoubt:
			broke, h.reply = true, replyLine(out)
			dead = dead || beforeMail(out.Phase)
			if againstUs(out) && !(o.relayed() && beforeMail(out.Phase)) { // no domain was named yet
				o.block(d, h.reply)
			}
		default:
			later, h.reply = true, replyLine(out)
		}
	}
	o.answered(d, spoke)
	switch {
	case took:
		d.blocked, d.why = time.Time{}, ""
		o.up(h)
		d.throttle.well()
	case broke:
		d.throttle.badly()
		h.bad++
		if dead || h.down || h.bad >= o.q.opts.Pace.Suspect {
			o.down(h)
			if !o.relayed() {
				o.forget(d)
			}
		}
	case later:
		d.throttle.badly()
		h.bad = 0
	default:
		o.up(h) // it talks to us about mails
	}
}

// againstUs reports whether the other side refuses us for who we are, whatever the mail.
func againstUs(out doppelboden.Outcome) bool {
	return out.Verdict == doppelboden.Later && out.Scope == doppelboden.AboutRoute && out.Reply.Code/100 == 5
}

// block notes that a domain refuses us. Somebody must be told; see Status.
func (o *outlet) block(d *domain, why string) {
	if d.blocked.IsZero() {
		d.blocked = o.q.opts.Clock()
		o.q.opts.Log.Warn("a domain refuses mail from this server's address or domain", "lane", o.name, "domain", d.name, "reply", why)
	}
	d.why = why
}

// landed notes that a transaction of d is over and is now to be written.
func (o *outlet) landed(d *domain) {
	d.inFlight--
	o.inFlight--
	o.settling++
	o.metrics.inFlight.Set(float64(o.inFlight))
}

// mostSilent is how many domains one after the other may be silent before it must be our
// own line that is broken, or our DNS.
const mostSilent = 5

// away reports whether nobody at all answers.
func (o *outlet) away() bool { return len(o.silent) >= mostSilent && !o.relayed() }

// answered notes whether a domain answered. When the world is back after it was away, all
// domains are tried again within a minute: how long each was left alone until then says
// nothing about it.
func (o *outlet) answered(d *domain, spoke bool) {
	if !spoke {
		if len(o.silent) < mostSilent {
			o.silent[d.id] = true
		}
		return
	}
	away := o.away()
	clear(o.silent)
	if !away {
		return
	}
	now := o.q.opts.Clock()
	for _, d := range o.domains {
		if soon := now.Add(rand.N(time.Minute)); d.own.down && d.own.probe.After(soon) {
			d.own.probe = soon
			o.arrange(d)
		}
	}
}

// up notes that whoever h is about takes mail.
func (o *outlet) up(h *health) {
	h.bad, h.failures = 0, 0
	if !h.down {
		return
	}
	h.down, h.since = false, o.q.opts.Clock()
	if o.relayed() {
		o.metrics.up.Set(1)
		o.q.opts.Log.Info("the smart host takes mail again", "lane", o.name)
	}
}

// down notes that whoever h is about does not answer, and sets the time of the next probe.
func (o *outlet) down(h *health) {
	now, p := o.q.opts.Clock(), o.q.opts.Pace
	if !h.down {
		h.down, h.since = true, now
		if o.relayed() {
			o.metrics.up.Set(0)
			o.q.opts.Log.Warn("the smart host does not answer", "lane", o.name, "reply", h.reply)
		}
	}
	h.failures++
	switch {
	case o.relayed():
		h.probe = now.Add(backoff(p.RouteFirst, p.RouteMost, h.failures))
	case o.away():
		h.probe = now.Add(backoff(p.FarFirst, p.FarAway, h.failures))
	default:
		h.probe = now.Add(backoff(p.FarFirst, p.FarMost, h.failures))
	}
}

// admit asks the gate about a job, and turns it back when it may not go.
func (o *outlet) admit(ctx context.Context, j *farJob) bool {
	if o.q.opts.Gate == nil {
		return true
	}
	r := o.q.opts.Gate.Admit(ctx, j.items[0].Message)
	if r.Admit == nil {
		o.turnBack(j, r)
		return false
	}
	for i := range j.items {
		j.items[i].Message = r.Admit
	}
	return true
}

// turnBack ends a job that the gate did not let through: it is held, or due again at the
// time that the gate says, or earlier when Admitted is called.
func (o *outlet) turnBack(j *farJob, r Ruling) {
	d, now := j.domain, o.q.opts.Clock()
	o.mu.Lock()
	o.landed(d)
	var list []doppelboden.Settlement
	for _, it := range j.items {
		ref := refOf(it)
		if d.overruled[ref] {
			continue
		}
		s := doppelboden.Settlement{Ref: ref, Box: d.id, State: doppelboden.Queued, Next: r.Until, Reply: it.Delivery.Reply, By: "scanner", At: now}
		if r.Hold != "" {
			s.State, s.Next, s.Reply = doppelboden.Held, time.Time{}, r.Hold
			s.Hold = doppelboden.Hold{Reason: doppelboden.HeldMalware, Route: o.name}
		}
		list = append(list, s)
	}
	o.mu.Unlock()
	o.work.Go(func() { o.settle(j, list) })
}

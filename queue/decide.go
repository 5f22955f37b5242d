package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Verb is what a person may decide about deliveries.
type Verb string

const (
	// Retry makes the next attempt happen now; held deliveries are released.
	Retry Verb = "retry"
	// Hold takes queued deliveries out of their turn until somebody decides.
	Hold Verb = "hold"
	// Release puts held deliveries back into the queue, due at once.
	Release Verb = "release"
	// Discard ends deliveries for ever; it needs a reason.
	Discard Verb = "discard"
	// Bounce sends deliveries back to their senders; it needs a reason, which they read.
	Bounce Verb = "bounce"
)

// A Decision is what a person decides about deliveries.
type Decision struct {
	Verb   Verb
	Filter store.Filter    // which; the verb narrows the states
	Ref    doppelboden.Ref // when its Message is set: only this one
	By     string          // who decides
	Why    string          // one line; needed for Discard and Bounce

	Until time.Time             // only what has been as it is since then; zero: all
	Match func(store.Item) bool // only what it is true for; nil: all
	Told  func(changed int)     // is told after each commit how many were changed so far; may be nil
}

// Check returns why a decision makes no sense, with the code Invalid, or nil.
func (d Decision) Check() error {
	_, _, err := d.plan()
	return err
}

// decideBatch is how many deliveries one commit settles, so that a decision about
// 100,000 of them does not keep acceptance waiting.
const decideBatch = 500

// Decide carries out d and returns how many deliveries it changed. It may be repeated
// after an error: what was changed is not selected again. CodeOf(err) is Invalid for a
// decision that makes no sense, Policy when all went well but for deliveries that may not
// be returned and are held (KeptBack), else as Settle or Returner has it.
func (q *Queue) Decide(ctx context.Context, d Decision) (int, error) {
	f, to, err := d.plan()
	if err != nil {
		return 0, err
	}
	if d.Verb == Bounce && q.opts.Returner == nil {
		return 0, invalid("nobody here tells senders what became of their mail")
	}
	var kept KeptBack
	changed := 0
	for {
		f.Limit = decideBatch
		batch, items, last, err := q.choose(ctx, d, f, to)
		if err != nil {
			return changed, err
		}
		if last == 0 {
			return changed, errors.Join(q.recount(ctx), kept.err())
		}
		f.AfterSeq = last
		if len(batch) == 0 {
			continue
		}
		if d.Verb == Bounce {
			batch, err = q.returned(ctx, items, batch, func(store.Item) doppelboden.How { return doppelboden.Returned }, d.Why)
			if err != nil {
				return changed, err
			}
		}
		if err := q.carryOut(ctx, batch, to); err != nil {
			return changed, fmt.Errorf("write the decision: %w", err)
		}
		q.notifyGenerated(batch)
		changed += len(batch) - kept.note(batch, to)
		if d.Told != nil {
			d.Told(changed)
		}
	}
}

// carryOut writes a decision and makes the lanes follow it.
func (q *Queue) carryOut(ctx context.Context, batch []doppelboden.Settlement, to doppelboden.State) error {
	q.deciding.Lock()
	defer q.deciding.Unlock()
	q.overrule(batch, to)
	if err := q.opts.Store.Settle(ctx, q.opts.Lease, batch); err != nil {
		// It may be written or not; overrule has taken it out of memory.
		q.eachLane(batch, (*lane).look)
		q.eachOutlet(batch, func(o *outlet, s doppelboden.Settlement, domain string) { o.look(s.Box, domain, s.At) })
		return err
	}
	q.overrule(batch, to)
	q.apply(batch)
	return nil
}

// recount asks the store how much waits in each lane, after decisions that did not go
// through the lanes.
func (q *Queue) recount(ctx context.Context) error {
	waiting := map[doppelboden.BoxID]int64{}
	err := q.opts.Store.Boxes(ctx, func(b store.Box) error {
		waiting[b.Box] = b.Queued
		return nil
	})
	if err != nil {
		return fmt.Errorf("count what waits: %w", err)
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, l := range q.lanes {
		l.mu.Lock()
		l.queued = 0
		for id, b := range l.boxes {
			b.queued = waiting[id]
			l.queued += b.queued
		}
		l.mu.Unlock()
	}
	for _, o := range q.outlets {
		o.recount(waiting)
	}
	return nil
}

// plan returns which deliveries d is about and the state they go to.
func (d *Decision) plan() (store.Filter, doppelboden.State, error) {
	f := d.Filter
	if !d.Ref.Message.IsZero() {
		f.Message = d.Ref.Message
	}
	var to doppelboden.State
	var from []doppelboden.State
	switch d.Verb {
	case Retry:
		to, from = doppelboden.Queued, []doppelboden.State{doppelboden.Queued, doppelboden.Held}
	case Release:
		to, from = doppelboden.Queued, []doppelboden.State{doppelboden.Held}
	case Hold, Quarantine:
		to, from = doppelboden.Held, []doppelboden.State{doppelboden.Queued}
	case Discard:
		to, from = doppelboden.Discarded, []doppelboden.State{doppelboden.Queued, doppelboden.Held}
		if d.Why == "" {
			return f, to, invalid("discard needs a reason, because nothing brings the mail back")
		}
	case Bounce:
		to, from = doppelboden.Bounced, []doppelboden.State{doppelboden.Queued, doppelboden.Held}
		if d.Why == "" {
			return f, to, invalid("bounce needs a reason, which the sender reads")
		}
	default:
		return f, to, invalid("unknown decision " + string(d.Verb))
	}
	if d.By == "" {
		return f, to, invalid("a decision needs a name: who decides")
	}
	if len(f.States) == 0 {
		f.States = from
	}
	return f, to, nil
}

func invalid(text string) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: text}
}

// choose reads the next batch, with what it is about, and returns it with the last Seq
// that was looked at, or 0 when there is nothing more.
func (q *Queue) choose(ctx context.Context, d Decision, f store.Filter, to doppelboden.State) (batch []doppelboden.Settlement, items []store.Item, last int64, err error) {
	now := q.opts.Clock()
	reply := string(d.Verb)
	if d.Why != "" {
		reply += ": " + d.Why
	}
	err = q.opts.Store.Deliveries(ctx, f, func(it store.Item) error {
		last = it.Delivery.Seq
		ref := refOf(it)
		if !d.Ref.Message.IsZero() && d.Ref != ref || withheld(&d, it.Message.Scan) || !d.concerns(it) {
			return nil
		}
		if it.Delivery.Box == 0 && to == doppelboden.Queued {
			return nil // it is nobody's yet: somebody must say whose
		}
		batch = append(batch, doppelboden.Settlement{
			Ref: ref, Box: it.Delivery.Box, State: to, Reply: reply, By: d.By, At: now, Hold: q.heldBy(&d, to, it.Delivery.Box),
		})
		items = append(items, it)
		return nil
	})
	if err != nil {
		return nil, nil, 0, fmt.Errorf("read what the decision is about: %w", err)
	}
	return batch, items, last, nil
}

// concerns reports whether a decision is about a delivery that its filter selects.
func (d *Decision) concerns(it store.Item) bool {
	return (d.Until.IsZero() || !it.Delivery.Changed.After(d.Until)) && (d.Match == nil || d.Match(it))
}

// heldBy says why what a decision holds is held.
func (q *Queue) heldBy(d *Decision, to doppelboden.State, box doppelboden.BoxID) doppelboden.Hold {
	if to != doppelboden.Held {
		return doppelboden.Hold{}
	}
	h := doppelboden.Hold{Reason: doppelboden.HeldByPerson}
	if d.Verb == Quarantine {
		h.Reason = doppelboden.HeldMalware
	}
	h.Route, _, _ = q.opts.Router.Place(box)
	return h
}

// overrule takes deliveries that leave the queue out of memory, and has a failure of
// those in flight forgotten. It is called before the decision is written, so that none
// starts any more, and after it, because a load may have brought them in between.
func (q *Queue) overrule(batch []doppelboden.Settlement, to doppelboden.State) {
	if to == doppelboden.Queued {
		return
	}
	q.eachLane(batch, func(l *lane, s doppelboden.Settlement, _ int) { l.overrule(s) })
	q.eachOutlet(batch, func(o *outlet, s doppelboden.Settlement, _ string) { o.overrule(s) })
}

// apply makes the lanes look again at the mailboxes of a written decision.
func (q *Queue) apply(batch []doppelboden.Settlement) {
	q.note(batch)
	q.eachLane(batch, (*lane).decided)
	q.eachOutlet(batch, (*outlet).decided)
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, l := range q.lanes {
		l.wake()
	}
}

// note keeps the mailboxes of a decision for the lanes that are being built just now:
// they may have read what waits before it was written.
func (q *Queue) note(batch []doppelboden.Settlement) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range batch {
		if q.missed != nil && s.State == doppelboden.Queued {
			q.missed[s.Box] = &doppelboden.Message{ID: s.Ref.Message, Received: s.At}
		}
	}
}

func (q *Queue) eachLane(batch []doppelboden.Settlement, do func(l *lane, s doppelboden.Settlement, priority int)) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, s := range batch {
		name, priority, ok := q.opts.Router.Place(s.Box)
		l := q.lanes[name]
		if p := q.between[s.Box]; p != nil {
			l, ok = p.lane, true // it is still busy there, or nowhere
		}
		if ok && l != nil {
			do(l, s, priority)
		}
	}
}

// overrule forgets a delivery that leaves the queue. One that is in flight, or that a
// load may bring just now, is marked: its failure is not written any more.
func (l *lane) overrule(s doppelboden.Settlement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.boxes[s.Box]
	if b == nil {
		return
	}
	if b.loading || b.place == busy && slices.Contains(b.flying, s.Ref) {
		if b.overruled == nil {
			b.overruled = map[doppelboden.Ref]bool{}
		}
		b.overruled[s.Ref] = true
		return
	}
	l.lift(b)
	delete(b.stepped, s.Ref)
	l.forget(b, s.Ref)
	l.arrange(b)
}

// decided has the mailbox of a written decision looked at again, at once.
func (l *lane) decided(s doppelboden.Settlement, priority int) {
	if s.State != doppelboden.Queued {
		return
	}
	l.mu.Lock()
	l.health.probe, l.filing.health.probe = time.Time{}, time.Time{}
	if b := l.boxes[s.Box]; b != nil {
		l.lift(b)
		delete(b.stepped, s.Ref)
		b.wait = time.Time{}
	}
	l.mu.Unlock()
	l.look(s, priority)
}

// look has the store asked for what is queued for the mailbox of a decision.
func (l *lane) look(s doppelboden.Settlement, priority int) {
	l.mu.Lock()
	b := l.boxes[s.Box]
	if b == nil {
		b = &box{id: s.Box, since: s.At}
		l.boxes[s.Box] = b
	}
	l.lift(b)
	b.priority = priority
	b.reread()
	l.arrange(b)
	l.mu.Unlock()
	l.wake()
}

package queue

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Gate says whether a message may be handed over yet: one that no scanner has seen may
// not.
type Gate interface {
	// Admit decides about a message whose turn it is; Deliveries is not filled in. It may
	// take some seconds, during which it counts as a transaction of its lane. When ctx
	// ends, the message waits.
	Admit(ctx context.Context, m *doppelboden.Message) Ruling
}

// A Ruling is what a Gate decided.
type Ruling struct {
	Admit *doppelboden.Message // what to hand over, the same message or a newer state of it; nil: not now
	Hold  string               // not admitted: hold it for this reason; empty: it waits
	Until time.Time            // it waits: ask again not before, unless Admitted is called
	Alone bool                 // it waits: other mail of its box may go before it
}

// Quarantine is the verb of decisions that hold malware.
const Quarantine Verb = "quarantine"

// here is the verb of arrived.
const here Verb = "here"

// admit asks the gate about a job, and turns it back when it may not go.
func (l *lane) admit(j *job) bool {
	if l.q.opts.Gate == nil {
		return true
	}
	r := l.q.opts.Gate.Admit(l.hand, j.items[0].Message)
	if r.Admit == nil {
		j.items = j.items[:len(j.boxes)] // of a run, the first alone
		l.turnBack(j, r)
		return false
	}
	if j.run {
		j.items[0].Message = r.Admit
		l.admitRun(j)
		return true
	}
	for i := range j.items {
		j.items[i].Message = r.Admit
	}
	return true
}

// admitRun asks the gate about the mails of a run behind its first, and ends the run before
// one that may not go, or when asking has taken long.
func (l *lane) admitRun(j *job) {
	began := l.q.opts.Clock()
	for i := 1; i < len(j.items); i++ {
		var r Ruling
		if l.q.opts.Clock().Sub(began) < admitFor {
			r = l.q.opts.Gate.Admit(l.hand, j.items[i].Message)
		}
		if r.Admit == nil { // it is asked about again when it is the first
			j.items = j.items[:i]
			return
		}
		j.items[i].Message = r.Admit
	}
}

// admitFor is how long the gate is asked about a run: its first mails must not wait for
// the scanning of all of them.
const admitFor = 5 * time.Second

// turnBack ends a job that the gate did not let through. Nothing of it says anything
// about the route.
func (l *lane) turnBack(j *job, r Ruling) {
	var held []doppelboden.Settlement
	l.mu.Lock()
	l.ended(j)
	for i, b := range j.boxes {
		ref := refOf(j.items[i])
		if r.Hold == "" {
			l.putAside(b, ref, r)
			continue
		}
		if !b.overruled[ref] {
			held = append(held, doppelboden.Settlement{Ref: ref, Box: b.id, State: doppelboden.Held,
				Reply: r.Hold, By: "scanner", At: l.q.opts.Clock(),
				Hold: doppelboden.Hold{Reason: doppelboden.HeldMalware, Route: l.conf.Route.Name}})
		}
		delete(b.overruled, ref)
		l.done(b, ref)
	}
	l.mu.Unlock()
	l.work.Go(func() {
		if len(held) > 0 {
			if _, ok := l.write(held); !ok {
				return // the node is ending; the gate will say the same again
			}
		}
		l.letGo(j)
	})
}

// putAside has a box wait for the gate, or only the mail that is about. What the box has
// in memory is forgotten: it is read anew after the wait, as it is then.
func (l *lane) putAside(b *box, ref doppelboden.Ref, r Ruling) {
	if r.Alone && len(b.stepped) < mostStepped {
		if b.stepped == nil {
			b.stepped = map[doppelboden.Ref]time.Time{}
		}
		b.stepped[ref] = r.Until
		l.forget(b, ref)
		return
	}
	b.wait, b.gated = r.Until, true
	l.buffered -= len(b.items)
	b.items, b.more, b.after = nil, true, 0
}

// Admitted tells that the gate lets a message through from now on: its boxes are looked
// at again, at once. Only its Deliveries count.
func (q *Queue) Admitted(m *doppelboden.Message) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	var arrived []doppelboden.BoxID
	for _, d := range m.Deliveries {
		if d.State != doppelboden.Queued {
			continue
		}
		if o, domain := q.outletOf(d.Box); o != nil {
			o.admitted(doppelboden.Ref{Message: m.ID, N: d.N}, d.Box, domain)
			continue
		}
		name, priority, ok := q.opts.Router.Place(d.Box)
		if l := q.lanes[name]; ok && l != nil {
			l.admitted(doppelboden.Ref{Message: m.ID, N: d.N}, d.Box, priority)
		} else if !ok && q.opts.Router.Here(d.Box) {
			arrived = append(arrived, d.Box)
		}
	}
	if ctx := q.ctx; len(arrived) > 0 && ctx != nil && ctx.Err() == nil {
		q.moved.Go(func() { q.arrive(ctx, arrived) })
	}
}

// admitted ends the wait of a box for the gate.
func (l *lane) admitted(ref doppelboden.Ref, id doppelboden.BoxID, priority int) {
	l.mu.Lock()
	if b := l.boxes[id]; b != nil {
		l.lift(b)
		delete(b.stepped, ref)
		if b.gated {
			b.wait, b.gated = time.Time{}, false
		}
	}
	l.mu.Unlock()
	l.look(doppelboden.Settlement{Ref: ref, Box: id, At: l.q.opts.Clock()}, priority)
}

// Quarantine holds every queued delivery of a message, for what was found in it.
func (q *Queue) Quarantine(ctx context.Context, id doppelboden.ID, why string) error {
	_, err := q.Decide(ctx, Decision{Verb: Quarantine, Filter: store.Filter{Message: id}, By: "scanner", Why: why})
	return err
}

// withheld reports whether a decision leaves a delivery as it is: malware is put back
// into the queue only after it was passed, and what no scanner has seen does not arrive
// in mailboxes here.
func withheld(d *Decision, s doppelboden.ScanState) bool {
	switch d.Verb {
	case Retry, Release:
		return s == doppelboden.Malware
	case here:
		return s == doppelboden.Unscanned || s == doppelboden.Malware
	}
	return false
}

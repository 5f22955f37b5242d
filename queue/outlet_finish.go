package queue

import (
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// finish writes what came of a job and lets its domain go on.
func (o *outlet) finish(j *farJob, outcomes []doppelboden.Outcome) {
	o.mu.Lock()
	var list []doppelboden.Settlement
	var ends []doppelboden.Ending
	for i, out := range outcomes {
		it := j.items[i]
		if j.domain.overruled[refOf(it)] && out.Verdict != doppelboden.Took {
			continue
		}
		if s, how := o.conclude(j.domain, it, out); how == 0 {
			list = append(list, s)
		} else {
			ends = append(ends, doppelboden.Ending{Message: it.Message, Delivery: it.Delivery, How: how,
				Reply: out.Reply, Server: out.Server, Settlement: s})
		}
	}
	o.mu.Unlock()
	o.settle(j, append(list, o.returned(ends)...))
}

// conclude returns what is to be written about one outcome, and how the delivery ends if
// its sender may have to be told.
func (o *outlet) conclude(d *domain, it store.Item, out doppelboden.Outcome) (doppelboden.Settlement, doppelboden.How) {
	now, p := o.q.opts.Clock(), o.q.opts.Pace
	s := doppelboden.Settlement{Ref: refOf(it), Box: d.id, Reply: replyLine(out), By: "courier", Attempt: true, At: out.At}
	switch out.Verdict {
	case doppelboden.Took:
		s.State = doppelboden.Delivered
		if out.Unnotified && doppelboden.Notify(it.Delivery.Notify, doppelboden.OnSuccess) {
			return s, doppelboden.Relayed
		}
		return s, 0
	case doppelboden.Refused:
		s.State = doppelboden.Bounced
		return s, doppelboden.Rejected
	}
	end := it.Message.Received.Add(o.conf.Limit(it.Message.Class))
	if !now.Before(end) {
		return overaged(s), doppelboden.Overaged
	}
	s.State = doppelboden.Queued
	s.Next = now.Add(backoff(p.MailFirst, p.MailMost, it.Delivery.Attempts+1))
	if h := o.healthOf(d); h.down && out.Scope == doppelboden.AboutRoute && beforeMail(out.Phase) {
		s.Next = h.probe // nobody was asked about this mail
	}
	if s.Next.After(end) {
		s.Next = end // the last try
	}
	return s, 0
}

// overaged makes s the end of what was tried for too long.
func overaged(s doppelboden.Settlement) doppelboden.Settlement {
	// It may have been tried before, when the sender could not be told.
	s.State, s.Next, s.Reply = doppelboden.Bounced, time.Time{}, "expired: "+strings.TrimPrefix(s.Reply, "expired: ")
	return s
}

// laterReturned is when ends are tried again that could not be told to the sender.
const laterReturned = 5 * time.Minute

// returned completes the ends of deliveries of one message.
func (o *outlet) returned(ends []doppelboden.Ending) []doppelboden.Settlement {
	if len(ends) == 0 {
		return nil
	}
	now := o.q.opts.Clock()
	list := make([]doppelboden.Settlement, len(ends))
	if o.q.opts.Returner == nil {
		for i, e := range ends {
			list[i] = e.Settlement
			if e.Settlement.State == doppelboden.Bounced {
				list[i].State = doppelboden.Held // nobody is there who could tell the sender
				list[i].Hold = doppelboden.Hold{Reason: doppelboden.HeldUnreturned, Route: o.name}
			}
		}
		return list
	}
	list, err := o.q.opts.Returner.Return(o.life, ends)
	if err == nil {
		return list
	}
	o.q.opts.Log.Error("a sender cannot be told, trying again later", "lane", o.name, "message", ends[0].Message.ID, "err", err)
	list = make([]doppelboden.Settlement, len(ends))
	for i, e := range ends {
		list[i] = e.Settlement
		if list[i].State == doppelboden.Bounced {
			list[i].State, list[i].Next = doppelboden.Queued, now.Add(laterReturned)
		}
	}
	return list
}

// settle writes the settlements of a job and lets its domain go on.
func (o *outlet) settle(j *farJob, list []doppelboden.Settlement) {
	if len(list) > 0 && !o.write(list) {
		return // the node is ending; what is not written is tried again
	}
	o.mu.Lock()
	o.settling--
	for _, s := range list {
		if s.State != doppelboden.Queued {
			o.queued, j.domain.queued = max(0, o.queued-1), max(0, j.domain.queued-1)
		}
	}
	o.release(j.domain, j.items, list)
	o.mu.Unlock()
	o.wake()
}

// release lets deliveries go that were in flight and about which everything is written.
func (o *outlet) release(d *domain, items []store.Item, list []doppelboden.Settlement) {
	for _, it := range items {
		ref := refOf(it)
		delete(d.flying, ref)
		if d.overruled[ref] {
			delete(d.overruled, ref)
			d.expect(time.Time{}) // the person may have changed his mind meanwhile
		}
		d.left(ref)
	}
	for _, s := range list {
		if s.State == doppelboden.Queued {
			d.expect(s.Next)
		}
	}
	o.arrange(d)
}

// write settles what nobody has overruled, again and again until it is durable, and
// returns false when the queue ends before that. Notices that came into being with it are
// given to the queue.
func (o *outlet) write(list []doppelboden.Settlement) bool {
	written, ok := o.q.write(o.life, o.name, list, func(s doppelboden.Settlement) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		d := o.domains[s.Box]
		return d != nil && d.overruled[s.Ref]
	})
	o.q.notifyGenerated(written)
	return ok
}

package intake

import (
	"context"
	"slices"

	"doppelboden"
)

// A NextHop knows the next servers of routes with pass-through: whose answers the sender
// is given within its own transaction, as long as they answer.
type NextHop interface {
	// Open begins a transaction with the next server of a route; route is Target.Through.
	// It returns nil when the server is not well or mail for it waits already: then
	// custody is ours from the start. It waits for nothing.
	Open(ctx context.Context, route string, box doppelboden.BoxID, e *Envelope) Passage
}

// A Passage is one transaction with a next server. It is used by one goroutine.
type Passage interface {
	// Rcpt asks the next server about a recipient. A nil error says that it takes mail
	// for it. An error with a Passed reply is the server's answer. Any other error says
	// that it does not answer; the passage is of no more use then.
	Rcpt(ctx context.Context, d *doppelboden.Delivery) error
	// Hand hands m over for deliveries, which are those that Rcpt said yes to, and returns
	// one outcome for each. What was taken, or is in doubt, is tallied when it returns;
	// what was refused is not, for no message of ours comes into being then.
	Hand(ctx context.Context, m *doppelboden.Message, deliveries []doppelboden.Delivery) []doppelboden.Outcome
	// Close ends it. It may be called more than once.
	Close()
}

// A through is the pass-through of a transaction.
type through struct {
	began   bool   // there is a recipient; it decided route
	route   string // to which all recipients go; "" for one without pass-through
	passage Passage
	asked   []int // the deliveries that the next server takes mail for
	custody bool  // the next server does not answer: the mail is ours
}

// close ends the passage.
func (p *through) close() {
	if p.passage != nil {
		p.passage.Close()
		p.passage = nil
	}
}

// askNext asks the next server about a recipient, where the route wants that. All
// recipients of a mail that passes through go to one next server, for the sender gets
// one answer; others are to be sent on their own.
func (t *Transaction) askNext(ctx context.Context, r Recipient, found Found) error {
	p := &t.through
	route := throughOf(found)
	switch {
	case p.custody || t.in.opts.NextHop == nil || t.env.Own.isPerson() || route == found.Targets[0].Through && t.envelope.has(&found.Targets[0]):
		return nil
	case p.began && p.route != route:
		return &doppelboden.Error{Code: doppelboden.OtherTenant, Public: "mail for this recipient goes another way, please send to it in another transaction"}
	case p.route != route: // those before were refused
		p.close()
	}
	if p.route = route; route == "" {
		p.began = true
		return nil
	}
	d := delivery(r, found, &found.Targets[0], len(t.envelope.deliveries))
	if p.passage == nil {
		p.passage = t.in.opts.NextHop.Open(ctx, route, d.Box, &t.env)
	}
	if p.passage == nil {
		p.custody = true
		return nil
	}
	err := p.passage.Rcpt(ctx, &d)
	switch {
	case err == nil:
		p.began = true
		p.asked = append(p.asked, d.N)
	case doppelboden.PassedOf(err).Code != 0:
		return err
	default:
		p.custody = true
		p.close()
	}
	return nil
}

// throughOf returns the route whose next server is asked about a recipient, or "". The
// members of a list are our affair: who wrote to the list hears of the list alone.
func throughOf(found Found) string {
	first := &found.Targets[0]
	for i := range found.Targets[1:] {
		if found.Targets[i+1].Mailbox != first.Mailbox { // else it is a second way
			return ""
		}
	}
	if first.Hold != "" || !first.Recipient.IsNull() { // held, or the one member of a list
		return ""
	}
	return first.Through
}

// has reports whether a target has its delivery already.
func (l *addressees) has(to *Target) bool {
	if to.Mailbox == 0 {
		return false
	}
	return slices.ContainsFunc(l.deliveries, func(d doppelboden.Delivery) bool { return d.Box == to.boxOf() })
}

// handThrough hands a mail over within the sender's transaction. An error is the next
// server's answer: no message comes into being then. Otherwise the message is to be
// kept, with its deliveries as far as they have come.
//
// The mail goes first and is kept after it, so that a refused mail leaves nothing behind.
// Between the two a crash takes only what the next server has, and what the sender, who
// has no answer, sends again: in doubt twice (decision 0022).
func (t *Transaction) handThrough(ctx context.Context, m *doppelboden.Message) error {
	p := &t.through
	if p.passage == nil || m.Scan == doppelboden.Unscanned {
		return nil // what nobody may get yet is kept, and handed over later
	}
	list := make([]doppelboden.Delivery, len(p.asked))
	for i, n := range p.asked {
		if list[i] = m.Deliveries[n]; list[i].State != doppelboden.Queued {
			return nil
		}
	}
	var refusal error
	open := false // somebody took it, or nobody knows
	for i, o := range p.passage.Hand(ctx, m, list) {
		d := &m.Deliveries[p.asked[i]]
		d.Attempts, d.Reply, d.Changed = 1, o.Line(), o.At
		switch {
		case o.Verdict == doppelboden.Took:
			d.State, open = doppelboden.Delivered, true
			continue
		case o.InDoubt || o.Scope == doppelboden.AboutRoute || o.Reply.Code == 0:
			open = true // it does not answer: the mail waits for the queue
			continue
		case o.Verdict == doppelboden.Refused:
			d.State = doppelboden.Held // promise 3, when it was taken for others
		}
		if refusal == nil {
			refusal = doppelboden.RefusalOf(o.Reply)
		}
	}
	if open {
		return nil
	}
	return refusal
}

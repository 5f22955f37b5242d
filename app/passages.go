package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/courier"
	"doppelboden/intake"
)

// passRest is how long a next server that did not answer within a sender's transaction is
// not asked there again: each question would make a sender wait.
const passRest = 10 * time.Second

// passDeadlines are shorter than those of the queue: a sender waits meanwhile, five
// minutes for an answer to RCPT and ten after its final dot (RFC 5321, section 4.5.3.2),
// and what takes longer is ours.
var passDeadlines = courier.Deadlines{
	Connect: 5 * time.Second, Greeting: 15 * time.Second, Helo: 15 * time.Second, Mail: 30 * time.Second,
	Rcpt: 30 * time.Second, Data: 30 * time.Second, Block: time.Minute, Dot: 2 * time.Minute,
}

// passages are the transactions with next servers whose answers senders are given. They
// fulfil intake.NextHop.
type passages struct {
	n   *Node
	end context.Context // ends when the node stops
	cut context.CancelFunc

	mu   sync.Mutex
	open map[string]int       // passages by route
	rest map[string]time.Time // routes that are not asked, and until when
}

// startPassages makes the passages. They are cut off when the node stops; the mails are
// ours then.
func (n *Node) startPassages(ctx context.Context) {
	end, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.passages = &passages{n: n, end: end, cut: cancel, open: map[string]int{}, rest: map[string]time.Time{}}
}

// Open implements intake.NextHop.
func (p *passages) Open(_ context.Context, key string, box doppelboden.BoxID, e *intake.Envelope) intake.Passage {
	r, _, ok := p.n.house.Directory().RouteOfBox(box)
	if !ok || r.Key() != key || !p.n.house.queue.Well(box) || !p.take(r) {
		return nil
	}
	m := doppelboden.Message{Sender: e.Sender, Peer: e.Peer, Helo: e.Helo, SMTPUTF8: e.SMTPUTF8, EightBit: e.EightBit, Ret: e.Ret, EnvID: e.EnvID}
	o := p.n.agents
	o.Deadlines = passDeadlines
	return &passage{all: p, route: key, to: courier.NewPassage(o, p.n.house.route(r), m, e.Size)}
}

// take counts one more passage, unless the route is resting or has as many as it may.
func (p *passages) take(r *city.Route) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n.clock().Before(p.rest[r.Key()]) || p.open[r.Key()] >= r.Connections {
		return false
	}
	p.open[r.Key()]++
	return true
}

// tired notes that a next server does not answer.
func (p *passages) tired(route string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest[route] = p.n.clock().Add(passRest)
}

// within returns ctx as it ends with the node, too.
func (p *passages) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.end, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// A passage gives intake the words of a courier.
type passage struct {
	all   *passages
	route string
	to    *courier.Passage // nil after Close
}

// errSilent says that the next server does not answer.
var errSilent = errors.New("the next server does not answer")

// Rcpt implements intake.Passage.
func (p *passage) Rcpt(ctx context.Context, d *doppelboden.Delivery) error {
	ctx, cancel := p.all.within(ctx)
	defer cancel()
	o := p.to.Rcpt(ctx, *d)
	switch {
	case o.Verdict == doppelboden.Took:
		return nil
	case o.Scope == doppelboden.AboutRoute || o.Reply.Code == 0:
		p.all.tired(p.route)
		p.all.n.log.Info("the next server does not answer a sender; its mail is kept", "route", p.route, "reply", o.Line())
		return errSilent
	}
	return doppelboden.RefusalOf(o.Reply)
}

// Hand implements intake.Passage.
func (p *passage) Hand(ctx context.Context, m *doppelboden.Message, list []doppelboden.Delivery) []doppelboden.Outcome {
	ctx, cancel := p.all.within(ctx)
	defer cancel()
	outcomes := p.to.Hand(ctx, m, list)
	replies := p.all.n.replies
	for _, o := range outcomes {
		if o.Verdict == doppelboden.Took || o.InDoubt {
			replies.Passing([]doppelboden.Ref{o.Ref}, p.route, o.At)
			replies.Answer(o)
		}
		if o.Scope == doppelboden.AboutRoute || o.InDoubt {
			p.all.tired(p.route)
		}
	}
	return outcomes
}

// Close implements intake.Passage.
func (p *passage) Close() {
	if p.to == nil {
		return
	}
	p.to.Close()
	p.to = nil
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.all.open[p.route]--
}

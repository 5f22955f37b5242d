package harvest

import (
	"context"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
)

// A pass is one round over the mailboxes of a route, by one reader or several.
type pass struct {
	g     *reading
	boxes []doppelboden.Mailbox // those that come first at first

	mu      sync.Mutex
	next    int       // place of the mailbox that is looked at next
	ended   bool      // the round does not go on
	until   time.Time // so long the route is left alone: several mailboxes in a row could not be read
	tally   roundTally
	filling int           // mailboxes whose first reading is not over
	work    time.Duration // of all looks, with the rests after them
}

// readers returns how many mailboxes are read at once: one, unless mailboxes have to be
// filled, or a round by one would take so long that mailboxes were not fresh.
func (g *reading) readers(boxes int) int {
	most := max(1, min(g.r.opts.Routes()[g.key].AtOnce, boxes))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.status.Round.IsZero() || g.status.Filling > 0 || boxes > g.status.Mailboxes {
		return most
	}
	return min(most, 1+int(g.work/(Fresh/2)))
}

// run has readers look at all mailboxes, and reports whether they came to the end.
func (p *pass) run(ctx context.Context, readers int) bool {
	var all sync.WaitGroup
	for range readers {
		all.Go(func() { p.read(ctx) })
	}
	all.Wait()
	return !p.ended
}

// read looks at one mailbox after the other.
func (p *pass) read(ctx context.Context) {
	for {
		p.g.urgent(ctx)
		if !p.rested(ctx) {
			p.end()
			return
		}
		route := p.g.r.opts.Routes()[p.g.key]
		if p.g.hold(route) != "" {
			p.end()
			return
		}
		box, ok := p.take()
		if !ok {
			return
		}
		if key, _, ok := p.g.r.opts.Place(box.ID); !ok || key != p.g.key {
			continue // it was moved to another route since the round began
		}
		began := time.Now()
		seen, err := p.g.look(ctx, route, box)
		p.looked(seen, time.Since(began))
		if err != nil && !p.endure(ctx, err) {
			p.end()
			return
		}
	}
}

// take returns the mailbox that is looked at next; false: there is none.
func (p *pass) take() (doppelboden.Mailbox, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.next == len(p.boxes) {
		return doppelboden.Mailbox{}, false
	}
	p.next++
	return p.boxes[p.next-1], true
}

// looked adds up what was seen.
func (p *pass) looked(seen boxTally, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.add(seen)
	if seen.filling {
		p.filling++
	}
	p.work += took
	p.g.mu.Lock()
	p.g.status.Done++
	p.g.mu.Unlock()
}

// end has all readers stop when they are done with their mailbox.
func (p *pass) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// rested waits for as long as the route is left alone, and reports whether ctx goes on.
func (p *pass) rested(ctx context.Context) bool {
	p.mu.Lock()
	wait := p.until.Sub(p.g.r.opts.Clock())
	p.mu.Unlock()
	if wait > 0 {
		clock.Sleep(ctx, p.g.r.opts.Timer, wait)
	}
	return ctx.Err() == nil
}

// endure has the route left alone when it was one error too many, and reports whether the
// round goes on.
func (p *pass) endure(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	code := doppelboden.CodeOf(err)
	final := code == doppelboden.Policy || code == doppelboden.Fenced
	if !p.g.tired(err, final) {
		return true
	}
	p.mu.Lock()
	p.until = p.g.r.opts.Clock().Add(p.g.r.opts.Pace.Trouble)
	p.ended = p.ended || final
	p.mu.Unlock()
	return p.rested(ctx) && !final
}

// tired counts an error, and reports whether it is the groupware that cannot be read, and no
// longer one of its mailboxes.
func (g *reading) tired(err error, final bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failing++; g.failing < mostFailing && !final {
		return false
	}
	g.failing = 0
	g.status.Trouble = harmless(err.Error())
	return true
}

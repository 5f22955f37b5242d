package event

import (
	"context"
	"sync"
	"time"

	"doppelboden"
)

// probe asks routes that gave no answer for a while, each in a goroutine of its own.
func (t *Tracker) probe(ctx context.Context, beside *sync.WaitGroup) {
	t.mu.Lock()
	now := t.opts.Clock()
	var due []*lane
	for _, l := range t.machine.lanes {
		if !l.asking && t.machine.view.used[l.key] && !t.machine.view.dir.Stopped(l.tenant) && l.due(&t.opts.Pace, now) {
			l.asking, l.probed = true, now
			due = append(due, l)
		}
	}
	t.mu.Unlock()
	for _, l := range due {
		beside.Go(func() { t.ask(ctx, l, now) })
	}
}

// due reports whether a route is to be asked now, or half a tick from now: what was heard
// a few milliseconds after a tick must not wait for one more.
func (l *lane) due(p *Pace, now time.Time) bool {
	now = now.Add(tickEvery / 2)
	// A second failure soon after the first is what tells an outage from a hiccup; from
	// then on there is no hurry.
	if l.fails == 1 {
		return now.Sub(l.heard) >= p.Again && now.Sub(l.probed) >= p.Again
	}
	return now.Sub(l.heard) >= p.Probe && now.Sub(l.probed) >= p.Probe || l.fails > 1 && now.Sub(l.since) < p.Dead && now.Sub(l.heard) >= p.Again
}

// ask asks one route.
func (t *Tracker) ask(ctx context.Context, l *lane, began time.Time) {
	o, ok := t.opts.Probe(ctx, l.key)
	t.mu.Lock()
	l.asking = false
	t.mu.Unlock()
	if !ok || ctx.Err() != nil {
		return
	}
	ob := observation{lane: l.key, tenant: l.tenant, sort: answered, server: o.Server, at: o.At, began: began}
	if o.Verdict != doppelboden.Took {
		ob.sort, ob.reply = silent, gist(&o)
	}
	t.pend.Lock()
	t.pending = append(t.pending, ob)
	t.pend.Unlock()
}

package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/queue"
	"doppelboden/store"
)

// A Preview says what a decision about a group would do. Nothing was changed.
type Preview struct {
	// Confirm is how many deliveries are in the group now. The decision about them must
	// repeat it, within an hour; what joins the group meanwhile is left out.
	Confirm   int       `json:"confirm"`
	Mailboxes int       `json:"mailboxes"`
	Senders   int       `json:"senders"` // different reverse-paths, at most maxSenders
	Oldest    time.Time `json:"oldest"`  // when the oldest was received
	Newest    time.Time `json:"newest"`
	Tenant    string    `json:"tenant"`
	Route     string    `json:"route"`
	Words     string    `json:"words"` // hostile
	// Of bounce: how many senders' mails would go back with a notice, would go nowhere
	// because they have no sender, and would stay held because nobody may be told.
	Told    int `json:"told,omitempty"`
	Lost    int `json:"no_sender,omitempty"`
	Unknown int `json:"stay_held,omitempty"`
	Malware int `json:"malware,omitempty"` // in quarantine, which stay as they are with release and retry
	Unasked int `json:"want_no_notice,omitempty"`

	Examples []Waiting `json:"examples"` // the oldest few
}

const (
	// shownExamples is how many members of a group a preview shows.
	shownExamples = 5
	// previewLasts is how long a preview may be confirmed: what somebody saw yesterday is
	// no reason for today.
	previewLasts = time.Hour
	// maxPreviews bounds how many are remembered.
	maxPreviews = 100
	// maxSenders bounds how many different senders are counted.
	maxSenders = 100_000
)

// A previewKey names a preview: who saw what would happen to which group, or which part of
// it. What somebody saw of a part is no reason for the whole.
type previewKey struct {
	choice Choice
	by     string
	verb   queue.Verb
}

// A seen is what somebody saw in a preview.
type seen struct {
	at time.Time
	n  int
}

// previews are those that may be confirmed.
type previews struct {
	mu  sync.Mutex
	all map[previewKey]seen
}

// note remembers a preview.
func (p *previews) note(k previewKey, s seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, other := range p.all {
		if s.at.Sub(other.at) > previewLasts || len(p.all) >= maxPreviews {
			delete(p.all, old)
		}
	}
	if p.all == nil {
		p.all = map[previewKey]seen{}
	}
	p.all[k] = s
}

// take returns what was seen, if the number is the one that was told.
func (p *previews) take(k previewKey, n int, now time.Time) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.all[k]
	if !ok || n == 0 || s.n != n || now.Sub(s.at) > previewLasts {
		return time.Time{}, false
	}
	delete(p.all, k)
	return s.at, true
}

// decideGroup carries out a decision about a group, or says what it would do.
func (d *Desk) decideGroup(ctx context.Context, c *call, asked *Decision, want chosen) (any, error) {
	now := d.opts.Clock()
	k := previewKey{asked.Choice, c.by, asked.Verb}
	one := queue.Decision{Verb: asked.Verb, Filter: want.filter, By: c.by, Why: asked.Why}
	if err := one.Check(); err != nil {
		return nil, err
	}
	at, ok := d.previews.take(k, asked.Yes, now)
	if !ok || asked.Preview {
		p, err := d.preview(ctx, asked, want, now)
		if err != nil {
			return nil, err
		}
		d.previews.note(k, seen{now, p.Confirm})
		return Decided{By: c.by, Preview: p}, nil
	}
	dir := d.opts.House.Directory()
	one.Until = at
	one.Match = func(it store.Item) bool { return want.has(dir, it.Delivery) }
	one.Told = func(n int) { c.progress(Progress{Step: "deliveries", Done: int64(n)}) }
	done := Decided{By: c.by, Of: asked.Yes}
	n, err := d.opts.Queue.Decide(ctx, one)
	done.Changed = n
	var kept *queue.KeptBack
	if errors.As(err, &kept) {
		done.keep(kept)
	} else if err != nil {
		return nil, fmt.Errorf("after %d deliveries: %w", n, err)
	}
	d.opts.Log.InfoContext(ctx, "a person decided about a group", "verb", asked.Verb, "group", asked.Choice.Group, "by", c.by, "why", asked.Why, "deliveries", n)
	return done, nil
}

// preview says what a decision about a group would do.
func (d *Desk) preview(ctx context.Context, asked *Decision, want chosen, now time.Time) (*Preview, error) {
	dir := d.opts.House.Directory()
	p := &Preview{Examples: []Waiting{}}
	boxes, senders := map[doppelboden.BoxID]bool{}, map[doppelboden.Address]bool{}
	var examples []doppelboden.Delivery
	err := d.opts.Store.Deliveries(ctx, want.filter, func(it store.Item) error {
		if !want.has(dir, it.Delivery) || it.Delivery.Changed.After(now) {
			return nil
		}
		if p.Confirm++; p.Confirm == 1 {
			p.Tenant, p.Route = dir.TenantName(it.Delivery.Tenant), routeOf(dir, it.Delivery)
			p.Words, p.Oldest = doppelboden.Gist(it.Delivery.Reply, it.Delivery.Recipient), it.Message.Received
		}
		p.Newest = it.Message.Received
		boxes[it.Delivery.Box] = true
		if len(senders) < maxSenders {
			senders[it.Message.Sender] = true
		}
		if p.Confirm <= shownExamples {
			p.Examples, examples = append(p.Examples, waiting(dir, it)), append(examples, it.Delivery)
		}
		p.fate(asked.Verb, it)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the group: %w", err)
	}
	if p.Confirm == 0 {
		return nil, notFound("nothing waits in this group")
	}
	p.Mailboxes, p.Senders = len(boxes), len(senders)
	return p, d.addWhy(ctx, p.Examples, examples)
}

// fate counts what would become of one delivery.
func (p *Preview) fate(verb queue.Verb, it store.Item) {
	m := it.Message
	if m.Scan == doppelboden.Malware && (verb == queue.Release || verb == queue.Retry) {
		p.Malware++
	}
	if verb != queue.Bounce {
		return
	}
	switch {
	case m.Scan == doppelboden.Malware:
		p.Unknown++
	case m.Sender.IsNull():
		p.Lost++
	case !doppelboden.Notify(it.Delivery.Notify, doppelboden.OnFailure):
		p.Unasked++
	case !m.Confirmed:
		p.Unknown++
	default:
		p.Told++
	}
}

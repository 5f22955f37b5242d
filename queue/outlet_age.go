package queue

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// ageEvery is the time between two looks for mail that is too old. What is tried ends with
// its last try; this is for what waits behind a domain that does not answer.
const ageEvery = 5 * time.Minute

// age has what waits for domains that do not answer looked at from time to time, and
// returns when to look again; zero while nothing waits.
func (o *outlet) age(ctx context.Context) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.q.opts.Clock()
	if o.conf.AtOnce > 0 && !o.aging && !now.Before(o.aged.Add(ageEvery)) {
		o.aged = now
		var old []*domain
		least := o.leastLimit()
		for _, d := range o.domains {
			if o.healthOf(d).down && !now.Before(d.since.Add(least)) {
				old = append(old, d)
			}
		}
		if len(old) > 0 {
			o.aging = true
			o.work.Go(func() { o.ageAll(ctx, old) })
		}
	}
	if len(o.domains) == 0 || o.conf.AtOnce == 0 || o.aging {
		return time.Time{} // somebody wakes us when that changes
	}
	return o.aged.Add(ageEvery)
}

// leastLimit returns how long mail is tried at least.
func (o *outlet) leastLimit() time.Duration {
	return min(o.conf.Limit(""), o.conf.Limit(doppelboden.ClassNotice))
}

func (o *outlet) ageAll(ctx context.Context, old []*domain) {
	for _, d := range old {
		o.ageDomain(ctx, d)
	}
	o.mu.Lock()
	o.aging = false
	o.mu.Unlock()
	o.wake()
}

// ageDomain ends what is too old for a domain that does not answer.
func (o *outlet) ageDomain(ctx context.Context, d *domain) {
	o.mu.Lock()
	if o.domains[d.id] != d || d.loading || !o.healthOf(d).down {
		o.mu.Unlock()
		return
	}
	d.aging = true
	o.arrange(d)
	o.mu.Unlock()

	since, whole := o.q.opts.Clock(), true
	for after := int64(0); ; {
		items, err := o.q.opts.Store.Heads(ctx, []doppelboden.BoxID{d.id}, []int64{after}, decideBatch)
		if err != nil {
			whole = false
			break
		}
		oldest, young := o.expire(d, items)
		if !oldest.IsZero() && oldest.Before(since) {
			since = oldest
		}
		if young || len(items) < decideBatch {
			break
		}
		after = items[len(items)-1].Delivery.Seq
	}

	o.mu.Lock()
	if d.aging = false; whole {
		d.since = since
	}
	o.arrange(d)
	o.mu.Unlock()
}

// expire ends those of items that are too old and not in flight. It returns when the
// oldest of the others was received, and whether what follows is too young anyway.
func (o *outlet) expire(d *domain, items []store.Item) (oldest time.Time, young bool) {
	now := o.q.opts.Clock()
	var j *farJob
	flush := func() {
		if j != nil {
			o.settle(j, o.returned(o.overagedEnds(j)))
		}
		j = nil
	}
	defer flush()
	for _, it := range items {
		o.mu.Lock()
		ref, received := refOf(it), it.Message.Received
		old := !now.Before(received.Add(o.conf.Limit(it.Message.Class)))
		young = now.Before(received.Add(o.leastLimit()))
		claimed := old && !d.flying[ref]
		if claimed {
			o.drop(d, ref)
			d.flying[ref] = true
		} else if oldest.IsZero() {
			oldest = received
		}
		o.mu.Unlock()
		if young {
			return oldest, true
		}
		if !claimed {
			continue
		}
		if j != nil && j.items[0].Delivery.Message != it.Delivery.Message {
			flush()
		}
		if j == nil {
			j = &farJob{domain: d}
			o.mu.Lock()
			o.settling++
			o.mu.Unlock()
		}
		j.items = append(j.items, it)
	}
	return oldest, false
}

// overagedEnds returns the ends of a job of mail that is too old.
func (o *outlet) overagedEnds(j *farJob) []doppelboden.Ending {
	ends := make([]doppelboden.Ending, len(j.items))
	for i, it := range j.items {
		ends[i] = doppelboden.Ending{Message: it.Message, Delivery: it.Delivery, How: doppelboden.Overaged,
			Reply: doppelboden.Reply{Text: it.Delivery.Reply},
			Settlement: overaged(doppelboden.Settlement{Ref: refOf(it), Box: j.domain.id, Reply: it.Delivery.Reply,
				By: "courier", At: o.q.opts.Clock()})}
	}
	return ends
}

package queue

import (
	"context"
	"slices"
	"time"

	"doppelboden"
)

// write settles, again and again until it is durable, and returns what it wrote: all but
// failures of deliveries that a person has decided about meanwhile (overruled). ok is
// false when the queue ends before that.
func (q *Queue) write(life context.Context, lane string, list []doppelboden.Settlement,
	overruled func(doppelboden.Settlement) bool) (written []doppelboden.Settlement, ok bool) {
	list = slices.Clone(list)
	// What the next server took should be written also while the node is stopping.
	settle, cancel := context.WithCancel(context.WithoutCancel(life))
	defer cancel()
	stop := context.AfterFunc(life, func() { time.AfterFunc(10*time.Second, cancel) })
	defer stop()
	for attempt := 1; ; attempt++ {
		var err error
		if list, err = q.writeOnce(settle, list, overruled); err == nil {
			return list, true
		}
		q.metrics.settleErr.Inc()
		if doppelboden.CodeOf(err) == doppelboden.Fenced {
			q.lostLease()
			return nil, false
		}
		q.opts.Log.Error("an outcome cannot be written", "lane", lane, "deliveries", len(list), "err", err)
		select {
		case <-settle.Done():
			return nil, false
		case <-time.After(backoff(100*time.Millisecond, 5*time.Second, attempt)):
		}
	}
}

// writeOnce settles what nobody has overruled since the last try, and returns that.
func (q *Queue) writeOnce(ctx context.Context, list []doppelboden.Settlement, overruled func(doppelboden.Settlement) bool) ([]doppelboden.Settlement, error) {
	q.deciding.RLock()
	defer q.deciding.RUnlock()
	list = slices.DeleteFunc(list, func(s doppelboden.Settlement) bool { return s.State != doppelboden.Delivered && overruled(s) })
	if len(list) == 0 {
		return nil, nil
	}
	return list, q.opts.Store.Settle(ctx, q.opts.Lease, list)
}

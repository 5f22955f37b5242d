package resolver

import (
	"container/list"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A cache keeps results until their time is over, or until there is no room: then those
// go first that nobody has asked for the longest time.
type cache struct {
	most  int // bytes
	gauge prometheus.Gauge

	mu    sync.Mutex
	used  int // bytes, as size estimates them
	found map[question]*list.Element
	order *list.List // of *kept, the last asked for in front
}

// kept is one entry.
type kept struct {
	q     question
	r     *result
	until time.Time
	size  int
}

func newCache(most int, gauge prometheus.Gauge) *cache {
	return &cache{most: most, gauge: gauge, found: map[question]*list.Element{}, order: list.New()}
}

// get returns the result of a question, or nil.
func (c *cache) get(q question, now time.Time) *result {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.found[q]
	if e == nil {
		return nil
	}
	k := e.Value.(*kept)
	if !now.Before(k.until) {
		c.remove(e)
		return nil
	}
	c.order.MoveToFront(e)
	return k.r
}

// put keeps a result for its ttl.
func (c *cache) put(q question, r *result, now time.Time) {
	k := &kept{q: q, r: r, until: now.Add(r.ttl), size: r.size() + 2*len(q.name) + 160}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.found[q]; e != nil {
		c.remove(e)
	}
	c.found[q] = c.order.PushFront(k)
	c.used += k.size
	for c.used > c.most {
		c.remove(c.order.Back())
	}
	c.gauge.Set(float64(c.used))
}

// remove takes an entry out. The caller holds mu.
func (c *cache) remove(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	delete(c.found, k.q)
	c.used -= k.size
}

package queue

import (
	"container/heap"
	"time"
)

// A boxHeap is a heap of boxes (container/heap) in the order of less.
type boxHeap struct {
	boxes []*box
	less  func(a, b *box) bool
}

func (h *boxHeap) Len() int           { return len(h.boxes) }
func (h *boxHeap) Less(i, j int) bool { return h.less(h.boxes[i], h.boxes[j]) }
func (h *boxHeap) Swap(i, j int) {
	h.boxes[i], h.boxes[j] = h.boxes[j], h.boxes[i]
	h.boxes[i].index, h.boxes[j].index = i, j
}

// Push is for container/heap alone.
func (h *boxHeap) Push(x any) {
	b := x.(*box)
	b.index = len(h.boxes)
	h.boxes = append(h.boxes, b)
}

// Pop is for container/heap alone.
func (h *boxHeap) Pop() any {
	last := len(h.boxes) - 1
	b := h.boxes[last]
	h.boxes[last] = nil
	h.boxes = h.boxes[:last]
	return b
}

// freshFor is how old the first mail of a box may be to count as new mail: citizens
// who write now should not wait behind a backlog of days.
const freshFor = 5 * time.Minute

// A rank holds the boxes of one priority: those with new mail and those with backlog,
// which take turns.
type rank struct {
	fresh, backlog boxHeap
	turn           bool // whether backlog is next
}

// A readyList holds the boxes whose turn can come, by priority.
type readyList struct {
	ranks [10]rank
	n     int
}

func newReadyList() *readyList {
	byAge := func(a, b *box) bool { return a.oldest < b.oldest }
	r := &readyList{}
	for i := range r.ranks {
		r.ranks[i].fresh.less = byAge
		r.ranks[i].backlog.less = byAge
	}
	return r
}

// rankOf returns the rank of a box; a priority out of range counts as the nearest.
func (r *readyList) rankOf(b *box) *rank { return &r.ranks[min(max(b.priority, 0), 9)] }

// push adds a box; fresh says that it counts as new mail.
func (r *readyList) push(b *box, fresh bool) {
	b.fresh = fresh
	h := &r.rankOf(b).backlog
	if b.fresh {
		h = &r.rankOf(b).fresh
	}
	heap.Push(h, b)
	r.n++
}

// remove takes a box out, wherever it stands.
func (r *readyList) remove(b *box) {
	h := &r.rankOf(b).backlog
	if b.fresh {
		h = &r.rankOf(b).fresh
	}
	heap.Remove(h, b.index)
	r.n--
}

// top returns the priority of the box whose turn it is; -1 when there is none.
func (r *readyList) top() int {
	for p := len(r.ranks) - 1; p >= 0; p-- {
		if r.ranks[p].fresh.Len()+r.ranks[p].backlog.Len() > 0 {
			return p
		}
	}
	return -1
}

// pop takes out the box whose turn it is, or returns nil.
func (r *readyList) pop() *box {
	for p := len(r.ranks) - 1; p >= 0; p-- {
		k := &r.ranks[p]
		first, second := &k.fresh, &k.backlog
		if k.turn {
			first, second = second, first
		}
		k.turn = !k.turn
		for _, h := range []*boxHeap{first, second} {
			if h.Len() > 0 {
				r.n--
				return heap.Pop(h).(*box)
			}
		}
	}
	return nil
}

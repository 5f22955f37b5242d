package queue

import (
	"sync"

	"doppelboden"
)

// A homelessSet holds the boxes that have mail waiting and no lane: their route is gone, or
// their tenant's hand-over is stopped. The zero value is empty.
type homelessSet struct {
	mu    sync.Mutex
	boxes map[doppelboden.BoxID]bool
}

func (h *homelessSet) put(b doppelboden.BoxID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.boxes == nil {
		h.boxes = map[doppelboden.BoxID]bool{}
	}
	h.boxes[b] = true
}

// take returns all of them and forgets them.
func (h *homelessSet) take() []doppelboden.BoxID {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]doppelboden.BoxID, 0, len(h.boxes))
	for b := range h.boxes {
		all = append(all, b)
	}
	h.boxes = nil
	return all
}

package disk

import "sync"

// A Group lets callers who ask for the same work at the same time share one run of it.
type Group struct {
	run  func() error
	turn sync.Mutex // held while run runs

	mu   sync.Mutex
	next *round // the round that has not begun; who comes now belongs to it
}

// A round is one run and those who wait for it.
type round struct {
	done chan struct{} // closed when err is set
	err  error
}

// NewGroup returns a Group that runs run, never twice at the same time.
func NewGroup(run func() error) *Group { return &Group{run: run} }

// Do returns the result of a run that began after Do was called. A run that is under
// way does not count: it may have looked away before the caller's bytes came.
func (g *Group) Do() error {
	g.mu.Lock()
	r, lead := g.next, false
	if r == nil {
		r, lead = &round{done: make(chan struct{})}, true
		g.next = r
	}
	g.mu.Unlock()
	if !lead {
		<-r.done
		return r.err
	}
	g.turn.Lock()
	g.mu.Lock()
	g.next = nil // who comes from here on needs a round of its own
	g.mu.Unlock()
	r.err = g.run()
	g.turn.Unlock()
	close(r.done)
	return r.err
}

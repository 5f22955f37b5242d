package imapd

import (
	"context"
	"sync"
)

// turns let log-ins of one name from one address come one after the other. Programs open
// five connections at once: account would take that for guessing, and when the first one's
// password was right, it knows the others at once.
type turns struct {
	mu   sync.Mutex
	busy map[string]*turn
}

// A turn is one name at one address.
type turn struct {
	taken chan struct{} // holds one token while somebody has the turn
	users int
}

// take waits for the turn of a key. done ends it.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	if t.busy == nil {
		t.busy = map[string]*turn{}
	}
	one := t.busy[key]
	if one == nil {
		one = &turn{taken: make(chan struct{}, 1)}
		t.busy[key] = one
	}
	one.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.busy, key)
		}
	}
	select {
	case one.taken <- struct{}{}:
		return func() { <-one.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

package harvest

import (
	"context"
	"sync"
)

// A lock is a mutex for which one can wait for a while only.
type lock struct {
	once sync.Once
	held chan struct{}
}

func (l *lock) init() { l.once.Do(func() { l.held = make(chan struct{}, 1) }) }

// Lock waits for the lock.
func (l *lock) Lock() {
	l.init()
	l.held <- struct{}{}
}

// LockFor waits for the lock until ctx ends, and reports whether it has it.
func (l *lock) LockFor(ctx context.Context) bool {
	l.init()
	select {
	case l.held <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Unlock gives the lock back.
func (l *lock) Unlock() { <-l.held }

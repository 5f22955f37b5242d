package imapd

import (
	"context"
	"sync"
)

// A budget bounds what mails in work take in memory. Who asks for more than there is waits
// for a turn; the first one gets everything, whatever it asks for.
type budget struct {
	mu    sync.Mutex
	most  int64
	used  int64
	freed chan struct{} // closed and made anew when something is given back
}

func newBudget(most int64) *budget {
	return &budget{most: most, freed: make(chan struct{})}
}

// take waits for n bytes.
func (b *budget) take(ctx context.Context, n int64) error {
	for {
		b.mu.Lock()
		if b.used == 0 || b.used+n <= b.most {
			b.used += n
			b.mu.Unlock()
			return nil
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give gives n bytes back.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	close(b.freed)
	b.freed = make(chan struct{})
}

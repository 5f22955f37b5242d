package imapd

import (
	"context"
	"sync"

	"doppelboden/account"
)

const (
	// shares is how many people have room at the same moment: one of them, or who has her
	// password and reads nothing of what he asks for, must leave room for the others.
	shares = 5
	// smallMail is what a mail may have, in bytes, without waiting for others of the same
	// person: nearly all have less, and her telephone that fetches a film over a poor line
	// must not stop her other programs. Each of her sessions has one at most.
	smallMail = 1 << 20
)

// A budget bounds what mails in work take in memory, of all people and of each. Who asks for
// more than there is waits for a turn; the first one gets everything, whatever it asks for,
// and the first of a person more than her share, where there is room for it.
type budget struct {
	most, each int64

	mu    sync.Mutex
	used  int64
	of    map[account.PersonID]int64
	freed chan struct{} // closed and made anew when something is given back
}

func newBudget(most int64) *budget {
	return &budget{most: most, each: most / shares, of: map[account.PersonID]int64{}, freed: make(chan struct{})}
}

// take waits for n bytes for a person.
func (b *budget) take(ctx context.Context, p account.PersonID, n int64) error {
	for {
		b.mu.Lock()
		if (b.used == 0 || b.used+n <= b.most) && (n <= smallMail || b.of[p] == 0 || b.of[p]+n <= b.each) {
			b.used += n
			b.of[p] += n
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

// give gives n bytes of a person back.
func (b *budget) give(p account.PersonID, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.of[p] -= n; b.of[p] <= 0 {
		delete(b.of, p)
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

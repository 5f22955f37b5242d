package landing

import (
	"context"
	"time"
)

const (
	// crowd is from how many senders at once a round waits for those who are about to come.
	crowd = 4
	// gatherWait is how long it does so at most. Twenty senders are back within a millisecond;
	// when one of them is not, nobody notices the rest.
	gatherWait = 2 * time.Millisecond
)

// company lets the next round gather until as many messages are in it as senders were about
// when the last one ended. Those whom it answered are about to come again, and what costs is
// the round, not the mail: without this half of them miss each one (decision 0046).
func (l *Landing) company(ctx context.Context, senders int) {
	full := l.await(senders)
	if full == nil {
		return
	}
	t := time.NewTimer(gatherWait)
	defer t.Stop()
	select {
	case <-full:
	case <-t.C: // who does not come any more is not counted the next time
	case <-ctx.Done():
	}
}

// await returns what is closed when so many messages have gathered; nil when there is
// nobody to wait for.
func (l *Landing) await(senders int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if senders < crowd || l.gathered() >= senders {
		return nil
	}
	l.awaited, l.full = senders, make(chan struct{})
	return l.full
}

// joined tells who waits for a round that enough has gathered. The caller holds mu.
func (l *Landing) joined() {
	if l.full != nil && l.gathered() >= l.awaited {
		close(l.full)
		l.full = nil
	}
}

// gathered returns how many messages the next round has. The caller holds mu.
func (l *Landing) gathered() int {
	if l.next == nil {
		return 0
	}
	return len(l.next.messages)
}

package webmail

import (
	"context"
	"sync"
	"time"

	"doppelboden"
)

const (
	// freeSize is what a mail may have without being counted: nearly all have less.
	freeSize = 1 << 20
	// memoryForMails bounds what counted mails take at the same moment, in bytes. A mail
	// lies in memory while it is shown, and once more while one of its files is written:
	// without a bound a hundred windows with one large mail would end the node, and with
	// it the doors for mail.
	memoryForMails = 1 << 30
	// memoryOfOne bounds those of one person: she, or who has her password, must leave room
	// for the others.
	memoryOfOne = memoryForMails / 5
	// memoryTime is how long somebody waits for her turn.
	memoryTime = 20 * time.Second
)

// errManyLarge is what somebody hears who has waited for too long.
var errManyLarge = &doppelboden.Error{Code: doppelboden.Busy, Public: "many large mails are open at this moment"}

// A ration is what large mails may take, of all people and of each. Whoever comes first gets
// what she needs, even if it is more than there is.
type ration struct {
	most, each int64
	patience   time.Duration

	mu    sync.Mutex
	used  int64
	of    map[int64]int64 // by person
	freed chan struct{}   // closed and made anew when something is given back
}

func newRation(most, each int64, patience time.Duration) *ration {
	return &ration{most: most, each: each, patience: patience, of: map[int64]int64{}, freed: make(chan struct{})}
}

// take waits until there is room for a mail of so many bytes that a person opens. What it
// takes is given back when ctx ends, with the request.
func (m *ration) take(ctx context.Context, person, size int64) error {
	if size <= freeSize {
		return nil
	}
	size *= 2
	waiting, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()
	for {
		m.mu.Lock()
		if (m.used == 0 || m.used+size <= m.most) && (m.of[person] == 0 || m.of[person]+size <= m.each) {
			m.used += size
			m.of[person] += size
			m.mu.Unlock()
			context.AfterFunc(ctx, func() { m.give(person, size) })
			return nil
		}
		freed := m.freed
		m.mu.Unlock()
		select {
		case <-freed:
		case <-waiting.Done():
			return errManyLarge
		}
	}
}

// give gives back what was taken.
func (m *ration) give(person, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= size
	if m.of[person] -= size; m.of[person] == 0 {
		delete(m.of, person)
	}
	close(m.freed)
	m.freed = make(chan struct{})
}

package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"doppelboden/store"
)

const (
	// seenFor is how long a password that was right is not hashed again: programs that
	// read mail log in every few minutes, with the same one.
	seenFor = 15 * time.Minute
	// mostSeen bounds what is remembered: 4 MB.
	mostSeen = 50_000
)

// seen remembers passwords that were right, as keyed sums. A sum is over the stored
// credential too, so that a change of any kind makes it worthless at once.
type seen struct {
	clock func() time.Time
	key   [32]byte

	mu    sync.Mutex
	until map[[32]byte]time.Time
}

func newSeen(clock func() time.Time) *seen {
	s := &seen{clock: clock, until: map[[32]byte]time.Time{}}
	rand.Read(s.key[:]) // never fails: crypto/rand ends the program instead
	return s
}

func (s *seen) sum(c *store.Credential, password string) (out [32]byte) {
	m := hmac.New(sha256.New, s.key[:])
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(c.ID))
	m.Write(number[:])
	binary.BigEndian.PutUint64(number[:], uint64(len(c.Data)))
	m.Write(number[:])
	m.Write(c.Data)
	m.Write([]byte(password))
	copy(out[:], m.Sum(nil))
	return out
}

// has reports whether a password was right for a credential a moment ago.
func (s *seen) has(c *store.Credential, password string) bool {
	key, now := s.sum(c, password), s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.until[key])
}

// put remembers a password that was right.
func (s *seen) put(c *store.Credential, password string) {
	key, now := s.sum(c, password), s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.until) >= mostSeen {
		for k, until := range s.until {
			if !now.Before(until) {
				delete(s.until, k)
			}
		}
		for k := range s.until {
			if len(s.until) < mostSeen {
				break
			}
			delete(s.until, k)
		}
	}
	s.until[key] = now.Add(seenFor)
}

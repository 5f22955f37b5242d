package landing

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// syncTakes is how long a sync takes in these tests.
const syncTakes = 300 * time.Microsecond

// sending has senders offer mails one after the other, each a bit slower than the one before.
// It returns how many rounds that took, and how long.
func sending(t *testing.T, q *quay, senders, mails int) (rounds int, took time.Duration) {
	var mu sync.Mutex
	q.sync = func() error {
		mu.Lock()
		rounds++
		mu.Unlock()
		time.Sleep(syncTakes)
		return nil
	}
	begun := time.Now()
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for range mails {
				time.Sleep(time.Duration(i) * 20 * time.Microsecond)
				mu.Lock()
				m := q.message()
				mu.Unlock()
				if _, err := q.Accept(t.Context(), m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	return rounds, time.Since(begun)
}

// Without company the quickest sender is in one round and all others are in the next.
func TestSendersWhoComeAgainTogetherShareRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mails = 20
		if rounds, _ := sending(t, newQuay(t), 12, mails); rounds > mails+2 {
			t.Errorf("12 senders of %d mails needed %d rounds, want one for each mail and two at most to find together", mails, rounds)
		}
	})
}

func TestALoneSenderWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuay(t)
		sending(t, q, 12, 5)
		// The first round still waits for those who have gone.
		if _, took := sending(t, q, 1, 10); took > 10*syncTakes+gatherWait {
			t.Errorf("10 mails after a crowd took %v, want %v and the wait for a crowd once", took, 10*syncTakes)
		}
		if _, took := sending(t, q, 1, 10); took != 10*syncTakes {
			t.Errorf("10 mails took %v, want %v", took, 10*syncTakes)
		}
	})
}

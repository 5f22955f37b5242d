package landing

import (
	"errors"
	"testing"

	"doppelboden"
)

func TestMessagesOfOneCommitComeTogetherOrNotAtAll(t *testing.T) {
	for _, whole := range []bool{true, false} {
		q := newQuay(t)
		before := q.accept(t)
		pair := []*doppelboden.Message{q.message(), q.message()}
		if copies, err := q.AcceptAll(t.Context(), pair); err != nil || copies != 1 {
			t.Fatalf("AcceptAll: %d copies, %v; want 1", copies, err)
		}
		q.stop() // the process ends without a word
		q.work.Wait()
		q.disk.Crash(func(int) int { return 0 })
		q.whole = func(m *doppelboden.Message) bool { return whole || m.ID != pair[1].ID }
		q.open(t)
		q.run()
		q.caughtUp(t)
		if !q.base.has(before.ID) || q.base.has(pair[0].ID) != whole || q.base.has(pair[1].ID) != whole {
			t.Errorf("when the body of one is there, %v: the first is in the store, %v, and the second, %v; want both or none",
				whole, q.base.has(pair[0].ID), q.base.has(pair[1].ID))
		}
	}
}

func TestMessagesThatWereNotSureAreNotWrittenTwiceTogether(t *testing.T) {
	q := newQuay(t)
	fails := true
	q.sync = func() error {
		if fails {
			return errors.New("the bodies' disk breaks")
		}
		return nil
	}
	pair := []*doppelboden.Message{q.message(), q.message()}
	if _, err := q.AcceptAll(t.Context(), pair); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Fatalf("on a broken disk: %v, want temporary", err)
	}
	fails = false
	if _, err := q.AcceptAll(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	q.run()
	q.caughtUp(t)
	for i, m := range pair {
		if n := q.base.messages[m.ID]; n != 1 {
			t.Errorf("message %d is in the store %d times, want once", i, n)
		}
	}
}

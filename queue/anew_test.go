package queue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// asked is a store in which something happens between an answer of Heads and its arrival.
type asked struct {
	*fakeStore
	during func() // called once
}

func (a *asked) Heads(ctx context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]store.Item, error) {
	got, err := a.fakeStore.Heads(ctx, boxes, after, limit)
	if f := a.during; f != nil {
		a.during = nil
		f()
	}
	return got, err
}

// TestMailThatIsHeldAndReleasedWhileItIsLoadedIsNotForgotten: the answer fills the limit
// and nothing of it counts, so the next load would begin behind it.
func TestMailThatIsHeldAndReleasedWhileItIsLoadedIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newQueue(t, 1)
		for range 5 {
			s.accept(time.Now(), 1)
		}
		a := &asked{fakeStore: s, during: func() {
			for _, verb := range []Verb{Hold, Release} {
				if n, err := q.Decide(t.Context(), Decision{Verb: verb, By: "anna"}); n != 5 || err != nil {
					t.Errorf("%s: %d, %v", verb, n, err)
				}
			}
		}}
		q.opts.Store, q.opts.Window = a, 10
		start(t, q)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 5 {
			t.Errorf("an hour after the release: %v, want 5 delivered", got)
		}
		g.check(t)
	})
}

package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"
)

// hooked is a store whose calls can be bent.
type hooked struct {
	*fakeStore
	boxesErr  atomic.Int32 // so many calls of Boxes fail
	afterBox  func()       // called once when Boxes has answered
	beforeSet func(all []doppelboden.Settlement) error
}

func (h *hooked) Boxes(ctx context.Context, yield func(store.Box) error) error {
	if h.boxesErr.Load() > 0 {
		h.boxesErr.Add(-1)
		return errors.New("the disk cannot be read")
	}
	err := h.fakeStore.Boxes(ctx, yield)
	if f := h.afterBox; f != nil {
		h.afterBox = nil
		f()
	}
	return err
}

func (h *hooked) Settle(ctx context.Context, l store.Lease, all []doppelboden.Settlement) error {
	if f := h.beforeSet; f != nil {
		if err := f(all); err != nil {
			return err
		}
	}
	return h.fakeStore.Settle(ctx, l, all)
}

func newHooked(t *testing.T, connections int) (*Queue, *hooked, *groupware) {
	t.Helper()
	q, s, g := newQueue(t, connections)
	h := &hooked{fakeStore: s}
	q.opts.Store = h
	return q, h, g
}

func TestADecisionThatCannotBeWrittenForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newHooked(t, 1)
		dead := true
		g.say = func(doppelboden.Delivery) doppelboden.Outcome {
			if dead {
				return later(doppelboden.AboutRoute, "connect")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}
		start(t, q)
		q.Notify(s.accept(time.Now(), 1))
		q.Notify(s.accept(time.Now(), 2))
		time.Sleep(time.Minute)
		s.mu.Lock()
		s.failures = 1
		s.mu.Unlock()
		if _, err := q.Decide(t.Context(), Decision{Verb: Hold, By: "anna"}); err == nil {
			t.Fatal("the decision should have failed")
		}
		g.mu.Lock()
		dead = false
		g.mu.Unlock()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 2 {
			t.Errorf("a day after a hold that failed: %v, want 2 delivered", got)
		}
	})
}

func TestADecisionThatCannotBeWrittenForgetsNothingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newHooked(t, 1)
		g.takes = time.Second
		n := 0
		g.say = func(doppelboden.Delivery) doppelboden.Outcome {
			if n++; n == 1 {
				return later(doppelboden.AboutRecipient, "rcpt")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}
		start(t, q)
		q.Notify(s.accept(time.Now(), 1))
		time.Sleep(time.Second / 2)
		s.mu.Lock()
		s.failures = 1
		s.mu.Unlock()
		if _, err := q.Decide(t.Context(), Decision{Verb: Discard, By: "anna", Why: "x"}); err == nil {
			t.Fatal("the decision should have failed")
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 1 {
			t.Errorf("a day after a discard that failed: %v, want 1 delivered", got)
		}
	})
}

func TestMailForAMailboxThatMovedHereWhileItArrivedHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, _ := newHooked(t, 1)
		q.opts.Router = hereNow{oneLane{1}}
		start(t, q)
		// Its RCPT was answered while mailbox 1 had a route, so it is queued.
		q.Notify(s.accept(time.Now(), 1))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 1 {
			t.Errorf("a day later: %v, want 1 delivered", got)
		}
	})
}

func TestAHoldIsNotUndoneByAFailureThatIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newHooked(t, 1)
		g.say = func(doppelboden.Delivery) doppelboden.Outcome { return later(doppelboden.AboutRecipient, "rcpt") }
		s.failures = 1 // the courier's first settlement
		start(t, q)
		q.Notify(s.accept(time.Now(), 1))
		time.Sleep(20 * time.Millisecond) // it waits to be written again
		if n, err := q.Decide(t.Context(), Decision{Verb: Hold, By: "anna"}); n != 1 || err != nil {
			t.Fatalf("hold: %d, %v", n, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Held] != 1 || g.tried != 1 {
			t.Errorf("an hour after the hold: %v after %d tries, want 1 held after 1", got, g.tried)
		}
	})
}

func TestReleasedMailKeepsThePriorityOfItsMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newHooked(t, 1)
		now := time.Now()
		s.accept(now, 6) // priority 6
		s.accept(now, 9) // the crisis team
		s.items[0].Delivery.State, s.items[1].Delivery.State = doppelboden.Held, doppelboden.Held
		g.takes = time.Second
		start(t, q)
		q.Notify(s.accept(now, 16))
		q.Notify(s.accept(now, 26))
		q.Notify(s.accept(now, 36))
		time.Sleep(100 * time.Millisecond)
		if _, err := q.Decide(t.Context(), Decision{Verb: Release, By: "anna", Filter: store.Filter{Box: 9}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		var got []doppelboden.BoxID
		for _, d := range g.taken {
			got = append(got, d.Box)
		}
		if len(got) != 4 || got[len(got)-1] == 9 {
			t.Errorf("order of mailboxes %v, want 9 before those of priority 6 that still waited", got)
		}
	})
}

func TestMailWhoseBodyMovedWhileItWaitedIsHandedOverFromItsNewPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newHooked(t, 1)
		dead := true
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if dead {
				return later(doppelboden.AboutRoute, "connect")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}
		var places []string
		q.opts.NewAgent = func(courier.Route) Agent { return placeAgent{agent{g}, &places} }
		for range 3 {
			m := s.accept(time.Now(), 1)
			m.Body.Segment = "20260101/0001.seg"
		}
		start(t, q)
		time.Sleep(2 * time.Hour)
		// Retention: Move and Rewrap, and then Drop.
		s.mu.Lock()
		for i := range s.items {
			m := *s.items[i].Message
			m.Body.Segment = "20260131/0001.seg"
			s.items[i].Message = &m
		}
		s.mu.Unlock()
		q.Refresh()
		g.mu.Lock()
		dead, places = false, nil
		g.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, p := range places {
			if p != "20260131/0001.seg" {
				t.Errorf("a body was looked for in %s, from where it has moved", p)
			}
		}
		if len(g.taken) != 3 {
			t.Errorf("%d of 3 delivered", len(g.taken))
		}
		g.check(t)
	})
}

// placeAgent notes where bodies are looked for.
type placeAgent struct {
	agent
	places *[]string
}

func (a placeAgent) Hand(ctx context.Context, j courier.Job) []doppelboden.Outcome {
	a.g.mu.Lock()
	*a.places = append(*a.places, j.Message.Body.Segment)
	a.g.mu.Unlock()
	return a.agent.Hand(ctx, j)
}

func TestMailThatIsSteppedOverDoesNotGrowWithTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newHooked(t, 1)
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			return later(doppelboden.AboutMessage, "dot") // "452 disk full" after every dot
		}
		for range 200 {
			s.accept(time.Now(), 1)
		}
		start(t, q)
		most := 0
		for range 6 {
			time.Sleep(time.Hour)
			synctest.Wait()
			for _, l := range q.lanes {
				l.mu.Lock()
				for _, b := range l.boxes {
					most = max(most, len(b.stepped))
				}
				l.mu.Unlock()
			}
		}
		if most > 20 || g.tried > 6*12*20 {
			t.Errorf("after six hours of 452 after the dot one mailbox steps over %d mails, and they are tried %d times", most, g.tried)
		}
	})
}

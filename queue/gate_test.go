package queue

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A turnstile is a gate that rules as it is told; a message it knows nothing of goes.
type turnstile struct {
	mu    sync.Mutex
	rules map[doppelboden.ID]Ruling // Until is from now on, as since the zero time
	asked int
}

func (g *turnstile) Admit(_ context.Context, m *doppelboden.Message) Ruling {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	r, ok := g.rules[m.ID]
	if !ok {
		return Ruling{Admit: m}
	}
	r.Until = time.Now().Add(time.Hour)
	return r
}

// set changes what is ruled about a message; nil: it may go.
func (g *turnstile) set(m *doppelboden.Message, r *Ruling) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.rules, m.ID); r != nil {
		g.rules[m.ID] = *r
	}
}

// gated returns a queue with a turnstile.
func gated(t *testing.T) (*Queue, *fakeStore, *groupware, *turnstile) {
	t.Helper()
	q, s, g := newQueue(t, 4)
	gate := &turnstile{rules: map[doppelboden.ID]Ruling{}}
	q.opts.Gate = gate
	return q, s, g, gate
}

func TestAMailThatMayNotGoYetWaitsAndStopsOnlyItsOwnMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, gate := gated(t)
		waits := s.accept(time.Now(), 1, 2)
		gate.set(waits, &Ruling{})
		for range 20 {
			s.accept(time.Now(), 1)
			s.accept(time.Now(), 3)
		}
		start(t, q)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 20 || got[doppelboden.Queued] != 22 {
			t.Errorf("while one mail waits: %v, want the 20 of another mailbox delivered", got)
		}
		if gate.asked > 30 {
			t.Errorf("the gate was asked %d times in a minute for 22 deliveries, want about once each", gate.asked)
		}
		gate.set(waits, nil)
		q.Admitted(waits)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 42 {
			t.Errorf("after it was admitted: %d of 42 delivered", got)
		}
		g.check(t)
		if st := q.Status()[0]; !st.Up || st.InFlight != 0 || st.Waiting != 0 {
			t.Errorf("the lane afterwards: %+v, want it up and empty", st)
		}
	})
}

func TestAMailThatAloneMayNotGoIsSteppedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, _, gate := gated(t)
		alone := s.accept(time.Now(), 1)
		gate.set(alone, &Ruling{Alone: true})
		for range 5 {
			s.accept(time.Now(), 1)
		}
		start(t, q)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 5 || got[doppelboden.Queued] != 1 {
			t.Errorf("%v, want the five behind it delivered", got)
		}
		gate.set(alone, nil)
		q.Admitted(alone)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 6 {
			t.Errorf("after it was admitted: %d of 6 delivered", got)
		}
	})
}

func TestAMailThatNobodyIsToldOfIsAskedAboutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, _, gate := gated(t)
		m := s.accept(time.Now(), 1)
		gate.set(m, &Ruling{})
		start(t, q)
		time.Sleep(time.Minute)
		gate.set(m, nil) // and nobody calls Admitted
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 1 {
			t.Errorf("after the time that the gate named: %v", s.states())
		}
	})
}

func TestWhatTheGateHoldsIsHeldAndTheNextMailGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, _, gate := gated(t)
		bad := s.accept(time.Now(), 1, 2)
		gate.set(bad, &Ruling{Hold: "quarantine: Eicar (ClamAV)"})
		s.accept(time.Now(), 1)
		start(t, q)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Held] != 2 || got[doppelboden.Delivered] != 1 {
			t.Errorf("%v, want two held and one delivered", got)
		}
		if got := s.items[0].Delivery.Reply; got != "quarantine: Eicar (ClamAV)" {
			t.Errorf("reason %q", got)
		}
	})
}

func TestMalwareIsNotReleasedBeforeItWasWaived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, _, _ := gated(t)
		bad, good := s.accept(time.Now(), 1), s.accept(time.Now(), 2)
		for _, m := range []*doppelboden.Message{bad, good} {
			if err := s.Settle(t.Context(), store.Lease{}, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: doppelboden.Held}}); err != nil {
				t.Fatal(err)
			}
		}
		bad.Scan = doppelboden.Malware
		start(t, q)
		for _, verb := range []Verb{Retry, Release} {
			if _, err := q.Decide(t.Context(), Decision{Verb: verb, By: "anna"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Held] != 1 || got[doppelboden.Delivered] != 1 {
			t.Errorf("after a release of all: %v, want the malware still held", got)
		}
		bad.Scan = doppelboden.Waived
		if n, err := q.Decide(t.Context(), Decision{Verb: Release, By: "anna"}); n != 1 || err != nil {
			t.Errorf("release after it was waived: %d, %v", n, err)
		}
	})
}

func TestAQuarantineTakesTheMailOutOfItsMailboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, _, gate := gated(t)
		s.accept(time.Now(), 3) // its id is zero here, which would name every message
		bad := s.accept(time.Now(), 1, 2)
		gate.set(bad, &Ruling{})
		s.accept(time.Now(), 1)
		start(t, q)
		time.Sleep(time.Second)
		if err := q.Quarantine(t.Context(), bad.ID, "Eicar (ClamAV)"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Held] != 2 || got[doppelboden.Delivered] != 2 {
			t.Errorf("%v, want two held and the mails beside them delivered", got)
		}
		if got := s.items[1].Delivery.Reply; got != "quarantine: Eicar (ClamAV)" {
			t.Errorf("reason %q", got)
		}
	})
}

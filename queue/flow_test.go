package queue

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
)

// TestTheEstimateOfWhenAllIsDoneIsRight fills a rebuilt groupware, where a run costs for
// the log-in and for each mail, and compares what is said on the way with what comes true:
// of all mail, and of that of the crisis team alone.
func TestTheEstimateOfWhenAllIsDoneIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, f := newFiling(t, 4)
		random := rand.New(rand.NewPCG(1, 2))
		f.costs = func(mails int) time.Duration {
			return time.Duration(300+60*mails)*time.Millisecond + time.Duration(random.IntN(200))*time.Millisecond
		}
		old := time.Now().Add(-30 * 24 * time.Hour)
		mails, most := 0, map[doppelboden.BoxID]int{}
		for box := range doppelboden.BoxID(400) { // some get much mail, most get little
			most[box*10+9-box%2*4] = int(2 + 60*math.Pow(random.Float64(), 4))
		}
		for day := range 60 {
			for box, n := range most {
				if day < n {
					s.accept(old.Add(time.Duration(mails)*time.Second), box)
					mails++
				}
			}
		}
		began := time.Now()
		start(t, q)
		type guess struct {
			after      time.Duration
			first, all time.Time // of priority 9, and of everything
		}
		var guesses []guess
		var firstDone, allDone time.Time
		for allDone.IsZero() {
			time.Sleep(time.Second)
			synctest.Wait()
			st := q.Status()[0]
			left := map[int]int64{}
			if st.Flow != nil {
				for _, c := range st.Flow.Done {
					left[c.Priority] = c.Waiting
				}
				if len(st.Flow.Done) == 2 && int(time.Since(began).Seconds())%10 == 0 {
					guesses = append(guesses, guess{after: time.Since(began), first: st.Flow.Done[0].At, all: st.Flow.Done[1].At})
				}
			}
			if st.Flow != nil && left[9] == 0 && firstDone.IsZero() {
				firstDone = time.Now()
			}
			if st.Waiting == 0 {
				allDone = time.Now()
			}
		}
		g.check(t)
		if len(guesses) < 5 {
			t.Fatalf("%d mails took %v, with %d guesses on the way: too few to judge", mails, allDone.Sub(began), len(guesses))
		}
		worst := 0.0
		for _, x := range guesses {
			for _, c := range []struct{ said, came time.Time }{{x.first, firstDone}, {x.all, allDone}} {
				off := math.Abs(c.said.Sub(c.came).Seconds()) / c.came.Sub(began).Seconds()
				if worst = max(worst, off); off > 0.15 {
					t.Errorf("after %v the end was said to be at %v and came at %v: %.0f %% of the whole time off, want at most 15", x.after,
						c.said.Sub(began), c.came.Sub(began), 100*off)
				}
			}
		}
		t.Logf("%d mails in %v; of %d estimates the worst was off by %.1f %% of the whole time", mails, allDone.Sub(began), len(guesses), 100*worst)
	})
}

func TestMailThatComesFasterThanItFlowsHasNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newQueue(t, 1)
		g.takes = time.Second
		for i := range 500 {
			s.accept(time.Now(), doppelboden.BoxID(i*10+5))
		}
		start(t, q)
		for i := range 60 {
			for range 3 {
				q.Notify(s.accept(time.Now(), doppelboden.BoxID(i*10+5)))
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		f := q.Status()[0].Flow
		if f == nil || f.PerSecond < 0.8 || f.PerSecond > 1.2 || f.Arriving < 2.5 || f.Arriving > 3.5 {
			t.Fatalf("flow %+v, want one mail a second out and three in", f)
		}
		if len(f.Done) != 1 || !f.Done[0].At.IsZero() {
			t.Errorf("an end is told although more comes than goes: %+v", f.Done)
		}
	})
}

func TestALaneThatRestsTellsNoSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newQueue(t, 2)
		for range 250 {
			s.accept(time.Now(), 5)
		}
		g.takes = 200 * time.Millisecond
		start(t, q)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if f := q.Status()[0].Flow; f == nil || len(f.Done) != 1 || f.Done[0].At.Sub(time.Now()) > 15*time.Second {
			t.Errorf("after 40 of 50 seconds: %+v, want an end within 15 seconds", f)
		}
		g.mu.Lock()
		g.say = func(doppelboden.Delivery) doppelboden.Outcome { return later(doppelboden.AboutRoute, "connect") }
		g.mu.Unlock()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		st := q.Status()[0]
		if st.Up || st.Oldest.IsZero() {
			t.Errorf("a lane whose server died: %+v", st)
		}
		if st.Flow != nil {
			t.Errorf("it tells a flow: %+v", st.Flow)
		}
	})
}

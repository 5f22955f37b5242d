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

// putOff is what a groupware says about one recipient.
var putOff = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRecipient, Phase: "dot", Reply: doppelboden.Reply{Code: 451}}

func TestMailboxesThatArePutOffDoNotSlowDownTheOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		say  func(d doppelboden.Delivery) doppelboden.Outcome
		want func(atOnce int) bool
	}{
		"half of them are put off": {func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box%20 < 10 {
				return putOff
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}, func(n int) bool { return n == 8 }},
		"all are, as by a server that has enough to do": {func(doppelboden.Delivery) doppelboden.Outcome { return putOff },
			func(n int) bool { return n == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s, g := newQueue(t, 8)
				g.say, g.takes = tc.say, 100*time.Millisecond
				start(t, q)
				for i := range 2000 {
					q.Notify(s.accept(time.Now(), doppelboden.BoxID(1+i%400)))
					time.Sleep(20 * time.Millisecond)
				}
				if got := q.Status()[0].AtOnce; !tc.want(got) {
					t.Errorf("after 40 s there may be %d transactions at once", got)
				}
			})
		})
	}
}

func TestEachTransactionIsReportedWithItsItemsButNotWhatTheEndBrokeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newQueue(t, 2)
		var mu sync.Mutex
		told := map[doppelboden.Ref]doppelboden.Verdict{}
		q.opts.Report = func(lane string, outcomes []doppelboden.Outcome, items []store.Item) {
			mu.Lock()
			defer mu.Unlock()
			for i, o := range outcomes {
				if lane != "groupware" || refOf(items[i]) != o.Ref {
					t.Errorf("outcome %+v of lane %s came with item %+v", o, lane, items[i].Delivery)
				}
				told[o.Ref] = o.Verdict
			}
		}
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 11 {
				return putOff
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := q.Start(ctx); err != nil {
			t.Fatal(err)
		}
		m := s.accept(time.Now(), 11, 12, 13)
		q.Notify(m)
		time.Sleep(time.Second)
		if got := q.InFlight()["groupware"]; got != 0 {
			t.Errorf("%d transactions in flight after all have ended", got)
		}
		waiting := map[doppelboden.BoxID]int64{}
		q.Waiting(func(b doppelboden.BoxID, n int64) { waiting[b] = n })
		if len(waiting) != 1 || waiting[11] != 1 {
			t.Errorf("what waits: %v, want one mail for 11", waiting)
		}
		g.mu.Lock()
		g.takes = time.Hour
		g.mu.Unlock()
		last := s.accept(time.Now(), 14)
		q.Notify(last)
		time.Sleep(time.Second)
		if got := q.InFlight()["groupware"]; got != 1 {
			t.Errorf("%d transactions in flight, want one", got)
		}
		cancel()
		q.Wait()
		mu.Lock()
		defer mu.Unlock()
		if _, ok := told[doppelboden.Ref{Message: last.ID}]; ok {
			t.Error("a transaction that the end of the queue broke off was told as if the server had")
		}
		if len(told) != 3 || told[doppelboden.Ref{Message: m.ID}] != doppelboden.Later || told[doppelboden.Ref{Message: m.ID, N: 2}] != doppelboden.Took {
			t.Errorf("told: %v", told)
		}
	})
}

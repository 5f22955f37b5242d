package queue

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"
)

// mailboxes is a Filer into the same groupware as the agents'. It takes runs until say
// does not take a mail.
type mailboxes struct {
	g    *groupware
	runs [][]int64 // the Seqs that were offered, run by run
	took int       // of them

	costs func(mails int) time.Duration // how long a run takes; nil: as long as a transaction
}

func (f *mailboxes) File(ctx context.Context, _ string, items []store.Item) []doppelboden.Outcome {
	g := f.g
	var seqs []int64
	for _, it := range items {
		seqs = append(seqs, it.Delivery.Seq)
		if it.Delivery.Box != items[0].Delivery.Box {
			g.broken = append(g.broken, "a run for two mailboxes")
		}
	}
	g.mu.Lock()
	f.runs = append(f.runs, seqs)
	g.at++
	g.most = max(g.most, g.at)
	if g.now[items[0].Delivery.Box]++; g.now[items[0].Delivery.Box] > 1 {
		g.broken = append(g.broken, "two transactions at once for one mailbox")
	}
	takes := g.takes
	if f.costs != nil {
		takes = f.costs(len(items))
	}
	g.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at--
	g.now[items[0].Delivery.Box]--
	var outcomes []doppelboden.Outcome
	for _, it := range items {
		o := doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "append"}
		if g.say != nil {
			o = g.say(it.Delivery)
		}
		o.Ref = refOf(it)
		outcomes = append(outcomes, o)
		if o.Verdict != doppelboden.Took {
			break
		}
		f.took++
		g.taken = append(g.taken, it.Delivery)
	}
	return outcomes
}

// oldLane is oneLane whose mail is filed from six hours on.
type oldLane struct{ oneLane }

func (r oldLane) Lanes() []LaneConfig {
	return []LaneConfig{{Route: courier.Route{Name: "groupware"}, Connections: r.connections,
		FileAfter: 6 * time.Hour, FileAtOnce: r.connections}}
}

// newFiling returns a queue whose old mail goes straight into mailboxes.
func newFiling(t *testing.T, connections int) (*Queue, *fakeStore, *groupware, *mailboxes) {
	t.Helper()
	q, s, g := newQueue(t, connections)
	f := &mailboxes{g: g}
	q.opts.Router, q.opts.Filer = oldLane{oneLane{connections}}, f
	return q, s, g, f
}

func TestOldMailGoesIntoItsMailboxInRunsAndYoungMailToTheNextServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, f := newFiling(t, 4)
		now := time.Now()
		for i := range 500 { // 450 old, 50 young, of five mailboxes
			age := time.Duration(450-i)*time.Minute + 6*time.Hour - time.Second
			s.accept(now.Add(-age), doppelboden.BoxID(i%5+1))
		}
		start(t, q)
		for i := range 20 {
			q.Notify(s.accept(now, doppelboden.BoxID(i%7+1)))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 520 {
			t.Errorf("%d of 520 delivered", got)
		}
		g.check(t)
		if f.took != 450 || g.tried != 70 {
			t.Errorf("%d mails were filed and %d handed over, want 450 that are six hours old and 70 that are not", f.took, g.tried)
		}
		if len(f.runs) > 25 {
			t.Errorf("450 mails of five mailboxes in %d runs, want long ones", len(f.runs))
		}
	})
}

func TestARunStopsAtTheFirstMailThatFailsAndGoesOnThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, f := newFiling(t, 4)
		for range 10 {
			s.accept(time.Now().Add(-24*time.Hour), 1)
		}
		no := 0
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Seq == 4 && no < 1 {
				no++
				return later(doppelboden.AboutRecipient, "append")
			}
			if d.Seq == 7 {
				return doppelboden.Outcome{Verdict: doppelboden.Refused, Scope: doppelboden.AboutMessage, Phase: "append"}
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "append"}
		}
		start(t, q)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 9 || got[doppelboden.Held] != 1 {
			t.Errorf("%v, want 9 delivered and the one that was refused held", got)
		}
		g.check(t)
		want := [][]int64{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {4, 5, 6, 7, 8, 9, 10}, {8, 9, 10}}
		if fmt.Sprint(f.runs) != fmt.Sprint(want) {
			t.Errorf("runs %v, want %v", f.runs, want)
		}
	})
}

func TestMailboxesThatCannotBeFiledIntoDoNotStopNewMailNorTheOtherWayRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, f := newFiling(t, 4)
		deadIMAP, deadLMTP := true, false
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			old := d.Seq <= 100
			if old && deadIMAP || !old && deadLMTP {
				return later(doppelboden.AboutRoute, "connect")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "x"}
		}
		for i := range 100 {
			s.accept(time.Now().Add(-24*time.Hour), doppelboden.BoxID(i%20+1))
		}
		start(t, q)
		for i := range 50 {
			q.Notify(s.accept(time.Now(), doppelboden.BoxID(i%20+101)))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 50 {
			t.Errorf("while nothing can be filed %d are delivered, want the 50 new mails", got)
		}
		if probes := len(f.runs); probes > 15 {
			t.Errorf("a server that does not answer was asked %d times in a minute", probes)
		}
		g.mu.Lock()
		deadIMAP, deadLMTP = false, true
		g.mu.Unlock()
		q.Notify(s.accept(time.Now(), 201))
		time.Sleep(11 * time.Second) // the longest time between two probes
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 150 {
			t.Errorf("%d delivered with the other side dead, want all 150 but the newest", got)
		}
		g.check(t)
	})
}

func TestTheMailboxThatNewMailWaitsForIsFilledBeforeOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, _ := newFiling(t, 1)
		g.takes = 10 * time.Second
		old := time.Now().Add(-24 * time.Hour)
		for box := range doppelboden.BoxID(40) {
			for range 3 {
				s.accept(old, box*10+5) // all of one priority
			}
		}
		start(t, q)
		q.Notify(s.accept(time.Now(), 395)) // the last of all
		time.Sleep(80 * time.Second)
		synctest.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		if !slices.ContainsFunc(g.taken, func(d doppelboden.Delivery) bool { return d.Seq == 121 }) {
			t.Errorf("after 8 of 40 runs the new mail has not come; there was %v", len(g.taken))
		}
		g.check(t)
	})
}

func TestPriorityDecidesBetweenMailboxesThatAreFiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, _ := newFiling(t, 1)
		for i := range doppelboden.BoxID(30) {
			s.accept(time.Now().Add(-24*time.Hour), i*10+i%3*4+1) // priorities 1, 5 and 9
		}
		start(t, q)
		time.Sleep(time.Minute)
		synctest.Wait()
		var got []int
		for _, d := range g.taken {
			got = append(got, int(d.Box%10))
		}
		// While what waits is read from the store, a connection that is free takes what is there.
		if n := rises(got); len(got) != 30 || n > 10 {
			t.Errorf("the priorities of what was filed: %v, want 30 falling ones, but for a box or two (%d pairs rise)", got, n)
		}
	})
}

// rises counts the pairs of which the later one is greater; of 30 in no order some 100 are.
func rises(list []int) (n int) {
	for i, a := range list {
		for _, b := range list[i+1:] {
			if b > a {
				n++
			}
		}
	}
	return n
}

func TestWhatAPersonDecidesDuringARunHoldsForEachOfItsMails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, _ := newFiling(t, 1)
		g.takes = 10 * time.Second
		var refs []doppelboden.Ref
		for range 6 {
			refs = append(refs, doppelboden.Ref{Message: s.accept(time.Now().Add(-24*time.Hour), 1).ID})
		}
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Seq == 3 { // it and those behind it are put off
				return later(doppelboden.AboutRecipient, "append")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "append"}
		}
		start(t, q)
		time.Sleep(time.Second)
		for _, i := range []int{2, 4} { // Seq 3, which fails, and Seq 5, which is not tried
			if _, err := q.Decide(t.Context(), Decision{Verb: Hold, Ref: refs[i], Filter: store.Filter{Message: refs[i].Message}, By: "anna"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := s.states(); got[doppelboden.Delivered] != 4 || got[doppelboden.Held] != 2 {
			t.Errorf("%v, want 4 delivered and the two that were held", got)
		}
		g.check(t)
	})
}

func TestAMailInARunThatMayNotGoYetEndsTheRunBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, f := newFiling(t, 1)
		gate := &turnstile{rules: map[doppelboden.ID]Ruling{}}
		q.opts.Gate = gate
		var third *doppelboden.Message
		for i := range 5 {
			if m := s.accept(time.Now().Add(-24*time.Hour), 1); i == 2 {
				third = m
				gate.set(m, &Ruling{})
			}
		}
		start(t, q)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 2 || f.took != 2 {
			t.Errorf("before the mail that may not go %d delivered and %d filed, want 2", got, f.took)
		}
		gate.set(third, nil)
		q.Admitted(third)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered]; got != 5 {
			t.Errorf("after it may go %d delivered, want 5", got)
		}
		g.check(t)
	})
}

func TestASenderWhoAskedForItIsToldThatAFiledMailHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, _ := newFiling(t, 1)
		r := &scribe{}
		q.opts.Returner = r
		g.say = func(doppelboden.Delivery) doppelboden.Outcome {
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "append", Unnotified: true}
		}
		s.accept(time.Now().Add(-24*time.Hour), 1)
		s.wants("SUCCESS")
		start(t, q)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(r.asked) != 1 || r.asked[0][0].How != doppelboden.Arrived {
			t.Errorf("asked about %+v, want one mail that has arrived in its mailbox", r.asked)
		}
	})
}

// TestMailboxesThatAnswerSlowlyLeaveNewMailAConnection: a run may last for long, and filing
// may have as many connections as the route.
func TestMailboxesThatAnswerSlowlyLeaveNewMailAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g, f := newFiling(t, 4)
		slow := false
		f.costs = func(int) time.Duration {
			if slow {
				return time.Hour
			}
			return time.Millisecond
		}
		for i := range 400 {
			s.accept(time.Now().Add(-24*time.Hour), doppelboden.BoxID(i+1))
		}
		start(t, q)
		time.Sleep(time.Minute) // the throttle is open
		g.mu.Lock()
		slow = true
		g.mu.Unlock()
		for i := range 8 {
			q.Notify(s.accept(time.Now().Add(-24*time.Hour), doppelboden.BoxID(i+501)))
		}
		time.Sleep(time.Second)
		before := s.states()[doppelboden.Delivered]
		for i := range 50 {
			q.Notify(s.accept(time.Now(), doppelboden.BoxID(i+601)))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.states()[doppelboden.Delivered] - before; got < 50 {
			t.Errorf("%d of 50 new mails delivered while mailboxes answer slowly", got)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		g.check(t)
	})
}

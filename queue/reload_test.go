package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"

	"pgregory.net/rapid"
)

// A switchboard sends each box down the lane that it was plugged into, at first "a". It
// is changed only within a Reload.
type switchboard struct {
	lanes  []LaneConfig
	plugs  map[doppelboden.BoxID]string
	here   map[doppelboden.BoxID]bool
	twins  map[doppelboden.BoxID][]doppelboden.BoxID // of a mailbox
	wanted map[doppelboden.BoxID]bool
}

func newSwitchboard(lanes ...string) *switchboard {
	r := &switchboard{plugs: map[doppelboden.BoxID]string{}, here: map[doppelboden.BoxID]bool{},
		twins: map[doppelboden.BoxID][]doppelboden.BoxID{}, wanted: map[doppelboden.BoxID]bool{}}
	for _, name := range lanes {
		r.lanes = append(r.lanes, LaneConfig{Route: courier.Route{Name: name}, Connections: 4})
	}
	return r
}

func (r *switchboard) Place(b doppelboden.BoxID) (string, int, bool) {
	name, ok := r.plugs[b]
	if !ok {
		name = "a"
	}
	return name, 5, name != "" && !r.here[b]
}

func (r *switchboard) Here(b doppelboden.BoxID) bool { return r.here[b] }
func (r *switchboard) Lanes() []LaneConfig           { return slices.Clone(r.lanes) }

func (r *switchboard) Twins(b doppelboden.BoxID) []Twin {
	var all []Twin
	for _, t := range r.twins[b] {
		lane, _, _ := r.Place(t)
		all = append(all, Twin{Box: t, Lane: lane, Wanted: r.wanted[t]})
	}
	return all
}

func (r *switchboard) Crossed() (crossed []doppelboden.BoxID) {
	for b := range r.twins {
		lane, _, ok := r.Place(b)
		if ok && slices.ContainsFunc(r.Twins(b), func(t Twin) bool { return t.Lane == lane }) {
			crossed = append(crossed, b)
		}
	}
	return crossed
}

// A town is a queue with a groupware behind each lane, which all write down what they took
// in one book.
type town struct {
	*hooked
	q     *Queue
	r     *switchboard
	g     *groupware
	mu    sync.Mutex
	taken map[string][]int64 // Seqs by lane, in the order of the answers
}

// A laneAgent notes which lane took a mail.
type laneAgent struct {
	Agent
	name string
	w    *town
}

func (a laneAgent) Hand(ctx context.Context, j courier.Job) []doppelboden.Outcome {
	outcomes := a.Agent.Hand(ctx, j)
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	for i, o := range outcomes {
		if o.Verdict == doppelboden.Took {
			a.w.taken[a.name] = append(a.w.taken[a.name], j.Deliveries[i].Seq)
		}
	}
	return outcomes
}

func newTown(t *testing.T, r *switchboard) *town {
	q, s, g := newHooked(t, 4)
	w := &town{hooked: s, q: q, r: r, g: g, taken: map[string][]int64{}}
	q.opts.Router = r
	q.opts.NewAgent = func(c courier.Route) Agent { return laneAgent{agent{g}, c.Name, w} }
	return w
}

// plug moves boxes to a lane.
func (w *town) plug(lane string, boxes ...doppelboden.BoxID) {
	w.q.Reload(func() []doppelboden.BoxID {
		for _, b := range boxes {
			w.r.plugs[b] = lane
		}
		return nil
	})
}

// sorted returns what a lane took, by Seq.
func (w *town) sorted(lane string) []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.taken[lane]))
}

func TestBoxesThatMoveToAndFroUnderLoadLoseAndDoubleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a", "b"))
		w.g.takes = 10 * time.Millisecond
		start(t, w.q)
		go func() {
			for i := range 2000 {
				w.q.Notify(w.accept(time.Now(), doppelboden.BoxID(i%7+1), doppelboden.BoxID(i%3+1)))
				time.Sleep(time.Millisecond)
			}
		}()
		for i := range 40 {
			time.Sleep(50 * time.Millisecond)
			w.plug([]string{"b", "a"}[i%2], doppelboden.BoxID(i%7+1), doppelboden.BoxID(i%5+1))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := w.states()[doppelboden.Delivered]; got != 4000 || len(w.g.taken) != 4000 {
			t.Errorf("%d of 4000 delivered, %d taken, want each once", got, len(w.g.taken))
		}
		if len(w.taken["a"]) < 100 || len(w.taken["b"]) < 100 {
			t.Errorf("%d by lane a and %d by b, want many by both", len(w.taken["a"]), len(w.taken["b"]))
		}
		w.g.check(t)
		for _, s := range w.q.Status() {
			if s.Waiting != 0 || s.InFlight != 0 {
				t.Errorf("at the end lane %s says that %d wait and %d are in flight", s.Name, s.Waiting, s.InFlight)
			}
		}
	})
}

// TestLanesComeAndGoAndNothingIsForgotten plays random histories of moves, lanes that
// change and stores that fail, and then lets everything be well: all mail arrives, once,
// in order. It was shown to find its faults: without "between" in Queue.add a mail goes
// out of order, and with a box that does not wait for what it has in flight two
// transactions run at once.
func TestLanesComeAndGoAndNothingIsForgotten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 60).Draw(rt, "history")
		window := rapid.IntRange(1, 50).Draw(rt, "window")
		synctest.Test(t, func(t *testing.T) { playMoves(t, history, window) })
	})
}

func playMoves(t *testing.T, history []int, window int) {
	w := newTown(t, newSwitchboard("a", "b"))
	w.q.opts.Window = window
	mood := 0
	w.g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
		switch {
		case mood == 1:
			return later(doppelboden.AboutRoute, "connect")
		case mood == 2 && d.Seq%3 == 0:
			return later(doppelboden.AboutRecipient, "rcpt")
		}
		return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
	}
	setMood := func(m int) {
		w.g.mu.Lock()
		defer w.g.mu.Unlock()
		mood = m
	}
	w.accept(time.Now(), 1, 2, 3)
	start(t, w.q)
	for i, step := range history {
		box := doppelboden.BoxID(i%4 + 1)
		switch step {
		case 0, 1, 2:
			setMood(step)
		case 3, 4:
			for range 10 {
				w.q.Notify(w.accept(time.Now(), box, box%4+1))
			}
		case 5:
			w.plug("b", box, box%4+1)
		case 6:
			w.plug([]string{"a", ""}[i%2], box)
		case 7:
			w.q.Reload(func() []doppelboden.BoxID { // the lane is reached otherwise, or gone
				w.r.lanes = w.r.lanes[:1+i%2]
				w.r.lanes[0].Route.HeloName = fmt.Sprint(i)
				return nil
			})
		case 8:
			time.Sleep(time.Duration(i) * time.Millisecond)
		case 9:
			w.hooked.mu.Lock()
			w.failures = i % 3
			w.hooked.mu.Unlock()
		}
	}
	setMood(0)
	w.q.Reload(func() []doppelboden.BoxID {
		w.r.lanes = newSwitchboard("a", "b").lanes
		for b, lane := range w.r.plugs {
			if lane == "" {
				w.r.plugs[b] = "b"
			}
		}
		return nil
	})
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	if got := w.states(); got[doppelboden.Delivered] != len(w.items) {
		t.Errorf("a day later: %v, want %d delivered", got, len(w.items))
	}
	if len(w.g.taken) != len(w.items) {
		t.Errorf("%d mails were taken, want each of %d once", len(w.g.taken), len(w.items))
	}
	w.g.check(t)
}

func TestAMoveDoesNotStopTheHandOverOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a", "b"))
		w.g.takes = 20 * time.Second // a groupware that hangs
		start(t, w.q)
		w.q.Notify(w.accept(time.Now(), 1))
		time.Sleep(time.Second)
		w.g.mu.Lock()
		w.g.takes = time.Millisecond
		w.g.mu.Unlock()
		w.plug("b", 1)
		w.q.Notify(w.accept(time.Now(), 2))
		w.q.Notify(w.accept(time.Now(), 1)) // must wait for what is in flight
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.sorted("a"); !slices.Equal(got, []int64{2}) || len(w.sorted("b")) > 0 {
			t.Errorf("while mail of box 1 is in flight: a took %v and b %v, want 2 by a", got, w.sorted("b"))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if a, b := w.sorted("a"), w.sorted("b"); !slices.Equal(a, []int64{1, 2}) || !slices.Equal(b, []int64{3}) {
			t.Errorf("a took %v and b %v, want 1 and 2, and 3", a, b)
		}
		w.g.check(t)
	})
}

func TestABoxThatMayStayAfterAllFindsWhatCameWhileItWasAboutToGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a", "b"))
		w.g.takes = 10 * time.Second
		start(t, w.q)
		w.q.Notify(w.accept(time.Now(), 1))
		time.Sleep(time.Second)
		w.plug("b", 1)
		w.q.Notify(w.accept(time.Now(), 1))
		w.plug("a", 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.sorted("a"); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("an hour later lane a took %v, want both mails", got)
		}
	})
}

func TestWhatIsTakenButNotYetWrittenIsNotHandedOverAgainAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a", "b"))
		start(t, w.q)
		broken := time.Now().Add(30 * time.Second)
		w.beforeSet = func([]doppelboden.Settlement) error {
			if time.Now().Before(broken) {
				return errors.New("the disk is full")
			}
			return nil
		}
		w.q.Notify(w.accept(time.Now(), 1))
		time.Sleep(time.Second)
		w.plug("b", 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.g.taken) != 1 || w.states()[doppelboden.Delivered] != 1 {
			t.Errorf("taken %d times, %v; want once", len(w.g.taken), w.states())
		}
	})
}

func TestALaneThatIsReachedOtherwiseLetsItsTransactionsEndAndCutsOffWhatHangs(t *testing.T) {
	for _, takes := range []time.Duration{8 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t, newSwitchboard("a"))
			w.g.takes = takes
			start(t, w.q)
			w.q.Notify(w.accept(time.Now(), 1))
			time.Sleep(time.Second)
			w.g.mu.Lock()
			w.g.takes = time.Millisecond
			w.g.mu.Unlock()
			w.q.Reload(func() []doppelboden.BoxID {
				w.r.lanes[0].Route.HeloName = "new"
				return nil
			})
			time.Sleep(time.Minute)
			synctest.Wait()
			want := 1
			if takes > reloadPatience {
				want = 2 // it was cut off, and the new lane did it
			}
			if w.g.tried != want || len(w.g.taken) != 1 {
				t.Errorf("a transaction of %v: %d tries, taken %d times; want %d and once", takes, w.g.tried, len(w.g.taken), want)
			}
		})
	}
}

func TestWhatHasNoLaneWaitsUntilThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a", "b"))
		w.r.plugs[1], w.r.plugs[2] = "", ""
		w.accept(time.Now(), 1)
		start(t, w.q)
		w.q.Notify(w.accept(time.Now(), 2))
		time.Sleep(time.Hour)
		if got := w.states()[doppelboden.Queued]; got != 2 {
			t.Errorf("%d queued, want 2 that have no lane", got)
		}
		w.plug("b", 1, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.sorted("b"); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("b took %v, want 1 and 2", got)
		}
	})
}

func TestADecisionReachesABoxThatIsLeavingItsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a", "b"))
		w.g.takes = 10 * time.Second
		w.g.say = func(doppelboden.Delivery) doppelboden.Outcome { return later(doppelboden.AboutRecipient, "rcpt") }
		start(t, w.q)
		w.q.Notify(w.accept(time.Now(), 1))
		time.Sleep(time.Second)
		w.plug("b", 1)
		if n, err := w.q.Decide(t.Context(), Decision{Verb: Hold, By: "anna"}); n != 1 || err != nil {
			t.Fatalf("hold: %d, %v", n, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.states(); got[doppelboden.Held] != 1 || w.g.tried != 1 {
			t.Errorf("after a hold while it was in flight and about to move: %v after %d tries, want 1 held after 1", got, w.g.tried)
		}
	})
}

func TestMailOfAMailboxThatMovesHereHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, newSwitchboard("a"))
		w.g.say = func(doppelboden.Delivery) doppelboden.Outcome { return later(doppelboden.AboutRoute, "connect") }
		start(t, w.q)
		w.q.Notify(w.accept(time.Now(), 1, 2))
		time.Sleep(time.Minute)
		w.q.Reload(func() []doppelboden.BoxID {
			w.r.here[1] = true
			return nil
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.states(); got[doppelboden.Delivered] != 1 || got[doppelboden.Queued] != 1 {
			t.Errorf("%v, want the mail of mailbox 1 delivered and that of 2 queued", got)
		}
	})
}

// pilot returns a town in which mailbox 1 goes by lane old and also, as box -1, by new;
// as box -2 it once went by old as a second way.
func pilot(t *testing.T) *town {
	w := newTown(t, newSwitchboard("old", "new"))
	w.r.plugs = map[doppelboden.BoxID]string{1: "old", -1: "new", -2: "old"}
	w.r.twins[1] = []doppelboden.BoxID{-1, -2}
	w.r.wanted[-1] = true
	return w
}

// both accepts a mail for mailbox 1 and its second route.
func (w *town) both() *doppelboden.Message {
	m := w.accept(time.Now(), 1, -1)
	for i := range m.Deliveries {
		m.Deliveries[i].Mailbox = 1
	}
	return m
}

// swap lets the mailbox go by new, and also by old.
func (w *town) swap() {
	w.q.Reload(func() []doppelboden.BoxID {
		w.r.plugs[1] = "new"
		w.r.wanted[-1], w.r.wanted[-2] = false, true
		return []doppelboden.BoxID{1}
	})
}

func TestAMailForBothRoutesArrivesOnceByEachWhenTheyChangePlaces(t *testing.T) {
	for name, restart := range map[string]bool{"at once": false, "after a crash in between": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := pilot(t)
				down := true
				w.g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
					if down && d.Box == 1 {
						return later(doppelboden.AboutRoute, "connect")
					}
					return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
				}
				w.both()
				if !restart {
					start(t, w.q)
				}
				for range 700 { // more than one batch
					m := w.both()
					if !restart {
						w.q.Notify(m)
					}
				}
				if restart {
					w.r.plugs[1] = "new"
					w.r.wanted[-1], w.r.wanted[-2] = false, true
					start(t, w.q)
				} else {
					time.Sleep(time.Minute) // old is down
					w.swap()
					w.q.Notify(w.both()) // its RCPT came before
				}
				time.Sleep(time.Minute)
				w.g.mu.Lock()
				down = false
				w.g.mu.Unlock()
				time.Sleep(time.Hour)
				synctest.Wait()
				n := len(w.items) / 2
				if a, b := w.sorted("old"), w.sorted("new"); len(a) != n || len(b) != n || w.states()[doppelboden.Delivered] != 2*n {
					t.Errorf("of %d mails old took %d and new %d, %v; want each of them all", n, len(a), len(b), w.states())
				}
				w.g.check(t)
			})
		})
	}
}

func TestAMailThatGoesByTheNewRouteAnywayIsNotHandedOverTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pilot(t)
		w.g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 1 && d.Seq == 1 {
				return later(doppelboden.AboutRecipient, "rcpt")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}
		start(t, w.q)
		w.q.Notify(w.both())                // 1 and 2; 1 is put off
		w.q.Notify(w.accept(time.Now(), 1)) // 3, from before it went to both
		held := w.both()                    // 4 and 5; 4 is held
		w.hooked.mu.Lock()
		w.items[3].Delivery.State = doppelboden.Held
		w.hooked.mu.Unlock()
		held.Deliveries[0].State = doppelboden.Held
		w.q.Notify(held)
		time.Sleep(time.Second)
		w.q.Reload(func() []doppelboden.BoxID {
			w.r.plugs[1], w.r.wanted[-1] = "new", false
			return []doppelboden.BoxID{1}
		})
		time.Sleep(time.Hour)
		if _, err := w.q.Decide(t.Context(), Decision{Verb: Release, By: "anna"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.sorted("new"); !slices.Equal(got, []int64{2, 3, 5}) || len(w.sorted("old")) > 0 {
			t.Errorf("new took %v and old %v, want 2, 3 and 5 by new alone", got, w.sorted("old"))
		}
		if got := w.states(); got[doppelboden.Discarded] != 2 || got[doppelboden.Delivered] != 3 {
			t.Errorf("states %v, want 2 discarded as not needed and 3 delivered", got)
		}
	})
}

func TestASecondDeliveryThatWasEndedDoesNotEndTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pilot(t)
		w.g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 1 && w.r.plugs[1] == "old" || d.Box == -1 {
				return later(doppelboden.AboutRecipient, "rcpt")
			}
			return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		}
		start(t, w.q)
		w.q.Notify(w.both())
		time.Sleep(time.Second)
		if n, err := w.q.Decide(t.Context(), Decision{Verb: Discard, By: "anna", Why: "test", Filter: store.Filter{Box: -1}}); n != 1 || err != nil {
			t.Fatalf("discard: %d, %v", n, err)
		}
		w.q.Reload(func() []doppelboden.BoxID {
			w.r.plugs[1], w.r.wanted[-1] = "new", false
			return []doppelboden.BoxID{1}
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.sorted("new"); !slices.Equal(got, []int64{1}) {
			t.Errorf("new took %v, want the first delivery, because nothing else goes there", got)
		}
	})
}

package mailbox

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// reads runs a reader of a town until the test ends.
func (w *town) reads() *Reader {
	w.t.Helper()
	r, err := NewReader(w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); r.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		<-over
	})
	return r
}

// until moves the clock on until something is so, and returns how long that took by it. The
// clock moves only while the reader and what reads each route wait for it: on a busy machine
// work takes no longer by it than on an idle one.
func (w *town) until(what string, is func() bool) time.Duration {
	w.t.Helper()
	began := w.clock.Now()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) { // the reader has no event for "looked"
		if time.Now().After(deadline) {
			w.t.Fatalf("still not: %s", what)
		}
		if w.clock.Waiting() > len(w.options().Routes()) {
			w.clock.Forward(time.Second)
		}
	}
	return w.clock.Now().Sub(began)
}

// status is the only route's.
func (w *town) status(r *Reader) RouteStatus {
	if all := r.Status(); len(all) == 1 {
		return all[0]
	}
	return RouteStatus{}
}

func TestWhatLiesInTheMailboxIsConfirmedAndWhatDoesNotIsAnAlarm(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	for b := range doppelboden.BoxID(5) {
		w.take(b+1, "INBOX", 0)
		w.take(b+1, "Ablage", 0)
	}
	w.until("all is confirmed", func() bool { return count(w.states(), doppelboden.Confirmed) == 10 })
	if s := w.status(r); s.Alarm || s.Missing != 0 || s.Moved != 5 || len(r.Alarms()) > 0 {
		t.Errorf("all is there, and the status is %+v with the alarms %v", s, r.Alarms())
	}
	for b := range doppelboden.BoxID(5) {
		w.take(b+1, "", 0)
	}
	took := w.until("the alarm", func() bool { return len(r.Alarms()) == 1 })
	if took > 2*time.Minute {
		t.Errorf("it was noticed after %v", took)
	}
	if text := r.Alarms()["stadt/groupware"].String(); !has(text, "route stadt/groupware", "replay --from 2026-03-02T", "--tenant stadt --route groupware") {
		t.Errorf("the alarm says %q", text)
	}
	r.Forgive("stadt/groupware")
	if len(r.Alarms()) > 0 || count(w.states(), doppelboden.Confirmed) != 10 {
		t.Errorf("after a replay the alarms are %v, the states %v", r.Alarms(), w.states())
	}
}

func TestASlowGroupwareIsNoAlarmThatStays(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	var mails []store.Handed
	for b := range doppelboden.BoxID(6) {
		mails = append(mails, w.take(b+1, "", 0))
	}
	w.until("they are missing", func() bool { return w.status(r).Missing == 6 })
	w.mu.Lock()
	for _, h := range mails {
		w.put(h.Box, "INBOX", h.Ref.Message)
	}
	w.mu.Unlock()
	w.until("they are there", func() bool { return count(w.states(), doppelboden.Confirmed) == 6 })
	w.until("the alarm is over", func() bool { return len(r.Alarms()) == 0 })
	if s := w.status(r); s.Missing != 0 || s.Looked != 6 {
		t.Errorf("status %+v, want 6 looked for and none missing", s)
	}
}

func TestAShareOfTheMailboxesIsLookedIntoButAfterAnOutageEverything(t *testing.T) {
	w := newTown(t)
	w.full = false
	r := w.reads()
	w.until("it reads", func() bool { return len(r.Status()) == 1 })
	for b := range doppelboden.BoxID(20) {
		w.take(b+1, "INBOX", time.Second)
	}
	w.until("all was passed", func() bool { return w.status(r).Until.After(w.handed[19].At) })
	if n := count(w.states(), doppelboden.Confirmed); n > 8 {
		t.Errorf("%d of 20 mails were looked for, want about one", n)
	}
	w.take(1, "INBOX", time.Hour) // it waited for an hour
	for b := range doppelboden.BoxID(20) {
		w.take(b+1, "INBOX", time.Second)
	}
	w.until("all is confirmed", func() bool { return count(w.states()[20:], doppelboden.Confirmed) == 21 })
}

// What a replay opens again lies in no mailbox until it is handed over once more. The reader has
// listed it before, and looks for it while the replay runs and afterwards.
func TestWhatAReplayOpensWhileItIsLookedForDoesNotCountAsMissing(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	const boxes = 5
	var once sync.Once
	w.looking = func() { // the first mailbox is being looked into, the others are next
		once.Do(func() {
			var batch []doppelboden.Settlement
			for b := range boxes {
				batch = append(batch, doppelboden.Settlement{Ref: w.handed[b].Ref, State: doppelboden.Queued})
			}
			if err := w.reopen(t.Context(), batch); err != nil {
				t.Error(err)
			}
			r.Forgive("stadt/groupware")
		})
	}
	for b := range doppelboden.BoxID(boxes) {
		w.take(b+1, "", 0)
	}
	last := w.handed[boxes-1].At
	w.until("all was passed", func() bool { return w.status(r).Until.After(last) })
	if s := w.status(r); s.Missing != 0 || s.Alarm || len(r.Alarms()) > 0 {
		t.Errorf("after the replay the status is %+v with the alarms %v, want nothing missing", s, r.Alarms())
	}
}

func TestWhatIsStillMissingAfterAReplayCountsOnce(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	for b := range doppelboden.BoxID(4) {
		w.take(b+1, "", 0)
	}
	w.until("the alarm", func() bool { return w.status(r).Missing == 4 })
	r.Forgive("stadt/groupware") // a replay of another time has left them alone
	w.until("they are missed again", func() bool { return w.status(r).Missing != 0 })
	for range 3 {
		before := w.clock.Now()
		w.until("they were looked for once more", func() bool { return w.clock.Now().Sub(before) > 2*DefaultPace().Again })
		if s := w.status(r); s.Missing != 4 {
			t.Errorf("%d are missing, want 4", s.Missing)
		}
	}
}

func TestAMailboxThatWentBackIsNoticedByItsUIDs(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	for range 10 {
		w.take(1, "INBOX", 0)
	}
	w.until("all is confirmed", func() bool { return count(w.states(), doppelboden.Confirmed) == 10 })
	w.restore(1, 4)
	w.take(1, "INBOX", 0)
	w.until("what is gone is missing", func() bool { return w.status(r).Missing == 6 })
	s := w.status(r)
	if s.Back == 0 || !s.Alarm || !s.First.Equal(w.handed[4].At) || !s.Last.Equal(w.handed[9].At) {
		t.Errorf("status %+v, want a mailbox that went back, with what was handed over from %v to %v", s, w.handed[4].At, w.handed[9].At)
	}
	if text := r.Alarms()["stadt/groupware"].String(); !has(text, "a backup was restored") {
		t.Errorf("the alarm says %q", text)
	}
}

func TestMailboxesThatAreGoneAreMissing(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	for range 3 {
		w.take(1, "INBOX", 0)
	}
	w.gone[w.owner(1).String()] = true
	w.until("the alarm", func() bool { return len(r.Alarms()) == 1 })
	if s := w.status(r); s.Missing != 3 || s.Back != 1 {
		t.Errorf("status %+v, want 3 missing in a mailbox that went back", s)
	}
}

func TestABusyGroupwareIsNearlyLeftAlone(t *testing.T) {
	w := newTown(t)
	w.busy = true
	r := w.reads()
	for b := range doppelboden.BoxID(10) {
		w.take(b+1, "INBOX", 0)
	}
	took := w.until("all is confirmed", func() bool { return count(w.states(), doppelboden.Confirmed) == 10 })
	if least := 9 * DefaultPace().Trickle; took < least || !w.status(r).Busy {
		t.Errorf("ten mailboxes were looked into within %v, want at least %v, and the status to say why", took, least)
	}
}

func TestALoginThatIsRefusedIsAnAlarmAfterAWhileAndNothingCountsAsMissing(t *testing.T) {
	w := newTown(t)
	w.refuse = &doppelboden.Error{Code: doppelboden.Policy, Public: "refused", Cause: errors.New("bad\x1b[31m words")}
	r := w.reads()
	w.take(1, "INBOX", 0)
	w.until("the alarm", func() bool { return len(r.Alarms()) == 1 })
	s := w.status(r)
	if text := r.Alarms()["stadt/groupware"].String(); s.Missing != 0 || !has(text, "cannot be looked into", "bad?[31m words") {
		t.Errorf("status %+v, alarm %q", s, text)
	}
	if w.opens > 60 {
		t.Errorf("it tried to log in %d times within %v", w.opens, blindFor)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	w.until("it reads again", func() bool { return count(w.states(), doppelboden.Confirmed) == 1 })
	if len(r.Alarms()) != 0 {
		t.Errorf("alarms %v", r.Alarms())
	}
}

func TestAMailboxThatCannotBeLookedIntoHoldsUpNoOther(t *testing.T) {
	w := newTown(t)
	w.shut, w.odd = map[string]bool{w.owner(1).String(): true}, map[string]bool{w.owner(2).String(): true}
	r := w.reads()
	w.take(1, "INBOX", 0)
	w.take(2, "INBOX", 0)
	w.take(2, "Ablage", 0)
	for range 4 {
		w.take(3, "INBOX", 0)
	}
	w.until("the others are confirmed", func() bool { return count(w.states(), doppelboden.Confirmed) == 5 })
	if s := w.status(r); s.Missing != 0 || s.Looked != 5 || s.Trouble != "" {
		t.Errorf("status %+v, want 5 looked for, none missing and no trouble with the route", s)
	}
	w.mu.Lock()
	w.shut = nil
	w.mu.Unlock()
	w.until("it is looked into later", func() bool { return count(w.states(), doppelboden.Confirmed) == 6 })
	p := w.replayer()
	if got := w.replay(p, Replay{}); got.There != 6 || got.Replayed != 0 || got.Failed != 1 || len(got.FailedMailboxes) != 1 || got.Done() {
		t.Errorf("the replay: %+v, want 6 there, and one that nobody can tell", got)
	}
}

func TestARouteThatIsNoLongerReadBackIsForgotten(t *testing.T) {
	w := newTown(t)
	o := w.options()
	routes := o.Routes()
	o.Routes = func() map[string]Route { w.mu.Lock(); defer w.mu.Unlock(); return routes }
	r, err := NewReader(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); r.Run(ctx) }()
	defer func() { cancel(); <-over }()
	w.until("it reads", func() bool { return len(r.Status()) == 1 })
	w.mu.Lock()
	routes = nil
	w.mu.Unlock()
	w.until("it is forgotten", func() bool { return len(r.Status()) == 0 })
}

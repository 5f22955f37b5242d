package mailbox

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// replayer returns one for a town.
func (w *town) replayer() *Replayer {
	w.t.Helper()
	p, err := NewReplayer(w.options(), func(_ context.Context, routes []string) { w.done = append(w.done, routes...) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Stop)
	return p
}

// replay replays, and waits for the end.
func (w *town) replay(p *Replayer, r Replay) Report {
	w.t.Helper()
	w.clock.Forward(time.Second)
	if r.By == "" {
		r.By = "anna"
	}
	if r.From.IsZero() {
		r.From = w.handed[0].At
	}
	if r.To.IsZero() {
		r.To = w.clock.Now()
	}
	if err := p.Start(context.Background(), r); err != nil {
		w.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { p.Wait(context.Background()); close(over) }()
	for {
		select {
		case <-over:
			all := p.Reports()
			return all[len(all)-1]
		case <-time.After(time.Millisecond):
			w.clock.Forward(time.Second)
		}
	}
}

func TestAReplayHandsOverWhatIsMissingInItsOrderAndNothingElse(t *testing.T) {
	w := newTown(t)
	for i := range 30 {
		b := doppelboden.BoxID(1 + i%3)
		w.take(b, map[bool]string{true: "INBOX", false: ""}[i < 12 || i%4 == 0], 0)
	}
	w.take(-1, "", 0) // the box of nobody's mailbox
	p := w.replayer()
	preview := w.replay(p, Replay{Preview: true})
	if count(w.states(), doppelboden.Queued) != 0 || count(w.states(), doppelboden.Confirmed) != 0 || len(w.done) != 0 {
		t.Errorf("a preview has changed something: %v", w.states())
	}
	got := w.replay(p, Replay{})
	for _, r := range []Report{preview, got} {
		if r.Deliveries != 30 || r.Mailboxes != 3 || r.Looked != 3 || r.There != 17 || r.Replayed != 13 || !r.Done() {
			t.Errorf("report %+v, want 30 in 3 mailboxes, 17 there and 13 replayed", r)
		}
	}
	for i, s := range w.states()[:30] {
		want := doppelboden.Queued
		if i < 12 || i%4 == 0 {
			want = doppelboden.Confirmed
		}
		if s != want {
			t.Errorf("mail %d is %v, want %v", i, s, want)
		}
	}
	for _, batch := range w.batches {
		if !slices.IsSortedFunc(batch, func(a, b doppelboden.Settlement) int { return slices.Compare(a.Ref.Message[:], b.Ref.Message[:]) }) {
			t.Error("a mailbox gets its mails in another order")
		}
		for _, s := range batch {
			if s.By != store.ReplayBy+"anna" || s.State != doppelboden.Queued || s.Box != batch[0].Box || !s.At.Equal(got.Started) {
				t.Errorf("settlement %+v", s)
			}
		}
	}
	if !slices.Equal(w.done, []string{"stadt/groupware"}) {
		t.Errorf("told of %v", w.done)
	}
	if again := w.replay(p, Replay{}); again.Replayed != 0 || again.There != 17 {
		t.Errorf("the same again: %+v", again)
	}
	if len(p.Reports()) != 3 {
		t.Errorf("%d reports, want 3", len(p.Reports()))
	}
}

func TestAReplayIsForItsPeriodMailboxAndRoute(t *testing.T) {
	w := newTown(t)
	for i := range 12 {
		w.take(doppelboden.BoxID(1+i%2), "", 0)
	}
	p := w.replayer()
	for name, c := range map[string]struct {
		want     Replay
		replayed int64
	}{
		"a period":        {Replay{From: w.handed[3].At, To: w.handed[7].At}, 4},
		"a mailbox":       {Replay{Mailbox: 1}, 6},
		"another route":   {Replay{Route: "stadt/other"}, 0},
		"this route":      {Replay{Route: "stadt/groupware"}, 12},
		"a tenant":        {Replay{Tenant: 1}, 12},
		"another tenant":  {Replay{Tenant: 2}, 0},
		"what came later": {Replay{From: w.clock.Now(), To: w.clock.Now().Add(time.Millisecond)}, 0},
	} {
		c.want.Preview = true
		if r := w.replay(p, c.want); r.Replayed != c.replayed || r.Deliveries != c.replayed || !r.Done() {
			t.Errorf("%s: %+v, want %d", name, r, c.replayed)
		}
	}
}

func TestWhatItsOwnerHasDeletedIsNotBroughtBackWhereThereIsAWitness(t *testing.T) {
	w := newTown(t)
	r := w.reads()
	for range 8 {
		w.take(1, "INBOX", 0)
	}
	w.until("all is confirmed", func() bool { return count(w.states(), doppelboden.Confirmed) == 8 })
	_ = r
	w.mu.Lock()
	inbox := w.lies[w.owner(1).String()]["INBOX"]
	w.lies[w.owner(1).String()]["INBOX"] = []Seen{inbox[0], inbox[2], inbox[5]} // deleted: 1, 3, 4; lost or deleted: 6, 7
	w.mu.Unlock()
	p := w.replayer()
	if got := w.replay(p, Replay{Preview: true}); got.There != 3 || got.Removed != 3 || got.Replayed != 2 || got.Unknown != 2 {
		t.Errorf("report %+v, want 3 there, 3 deleted, 2 replayed of which nobody can tell", got)
	}
	if got := w.replay(p, Replay{Preview: true, Removed: true}); got.Removed != 0 || got.Replayed != 5 {
		t.Errorf("report %+v, want 5 replayed", got)
	}
	// With other UIDs nothing witnesses anything.
	w.mu.Lock()
	w.valid = 8
	w.mu.Unlock()
	if got := w.replay(p, Replay{Preview: true}); got.There != 3 || got.Removed != 0 || got.Replayed != 5 {
		t.Errorf("report %+v, want 3 there and 5 replayed", got)
	}
}

func TestWhereNobodyCanLookAReplayNeedsAWordAndTheNumber(t *testing.T) {
	w := newTown(t)
	w.blind = true
	for range 7 {
		w.take(1, "INBOX", 0)
	}
	p := w.replayer()
	for name, c := range map[string]struct {
		want Replay
		did  int64
		no   int64
		ok   bool
	}{
		"without the word": {Replay{}, 0, 7, true},
		"preview":          {Replay{Preview: true, Blind: true}, 7, 0, true},
		"without a number": {Replay{Blind: true}, 0, 0, false},
		"the wrong number": {Replay{Blind: true, Yes: 6}, 0, 0, false},
	} {
		r := w.replay(p, c.want)
		if r.Replayed != c.did || r.NoAccess != c.no || r.Done() != c.ok || r.Disagreed == c.ok || len(w.batches) > 0 {
			t.Errorf("%s: %+v, want %d replayed, %d left alone, done %v", name, r, c.did, c.no, c.ok)
		}
	}
	if r := w.replay(p, Replay{Blind: true, Yes: 7}); r.Replayed != 7 || !r.Done() || len(w.batches) != 1 {
		t.Errorf("with word and number: %+v", r)
	}
}

func TestAMailboxThatCannotBeOpenedIsNamedAndTheOthersAreReplayed(t *testing.T) {
	w := newTown(t)
	w.take(1, "", 0)
	w.take(2, "", 0)
	w.refuse = &doppelboden.Error{Public: "busy", Cause: errors.New("later")}
	p := w.replayer()
	r := w.replay(p, Replay{})
	if r.Failed != 2 || len(r.FailedMailboxes) != 2 || r.Done() || r.Replayed != 0 || !has(r.FailedMailboxes[0], "@stadt.example: busy") {
		t.Errorf("report %+v, want two mailboxes that failed", r)
	}
	w.refuse = nil
	w.gone[w.owner(1).String()] = true // the queue finds out what comes of that
	if r := w.replay(p, Replay{}); r.Replayed != 2 || !r.Done() {
		t.Errorf("report %+v, want both replayed", r)
	}
}

func TestAReplayThatCannotWriteBreaksOffAndSaysSo(t *testing.T) {
	w := newTown(t)
	w.take(1, "", 0)
	w.failing = errors.New("no\x07 disk")
	p := w.replayer()
	if r := w.replay(p, Replay{}); r.Problem != "no? disk" || r.Done() || r.Replayed != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestAReplayThatMakesNoSenseIsRefused(t *testing.T) {
	w := newTown(t)
	p := w.replayer()
	now := w.clock.Now()
	for name, r := range map[string]Replay{
		"no name":       {From: now.Add(-time.Hour), To: now},
		"no period":     {By: "anna"},
		"no end":        {By: "anna", From: now.Add(-time.Hour)},
		"the wrong way": {By: "anna", From: now.Add(-time.Hour), To: now.Add(-2 * time.Hour)},
		"not over yet":  {By: "anna", From: now.Add(-time.Hour), To: now.Add(time.Hour)},
	} {
		if err := p.Start(context.Background(), r); err == nil || doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(p.Reports()) != 0 {
		t.Errorf("reports %v", p.Reports())
	}
	p.Stop() // nothing runs
	p.Wait(context.Background())
}

func TestOneReplayRunsAtATimeAndCanBeStopped(t *testing.T) {
	w := newTown(t)
	w.take(1, "", 0)
	w.refuse = &doppelboden.Error{Public: "busy"} // it tries again by the clock, which stands
	p := w.replayer()
	r := Replay{By: "anna", From: w.handed[0].At, To: w.clock.Now()}
	if err := p.Start(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), r); doppelboden.CodeOf(err) != doppelboden.Busy || err == nil {
		t.Errorf("a second replay: %v", err)
	}
	p.Stop()
	if r := p.Reports()[0]; r.Ended.IsZero() || r.Problem == "" {
		t.Errorf("after Stop: %+v", r)
	}
}

package event

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// plan announces a maintenance of stadt.
func (w *world) plan(scope store.EventScope, starts, ends time.Time) Summary {
	w.t.Helper()
	s, err := w.track.Plan(context.Background(), Plan{Tenant: 1, Scope: scope, Starts: starts, Ends: ends, Why: "update", By: "anna"})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestWhatFailsDuringAMaintenanceIsPartOfItAndNoAlarmBeforeItsEnd(t *testing.T) {
	w := newWorld(t, 50)
	w.plan(store.EventScope{Routes: []string{"alt"}}, noon.Add(time.Minute), noon.Add(20*time.Minute))
	if e := w.only(); e.State != Planned || len(w.in(span(1, 50)...)) != 0 {
		t.Fatalf("before its time: %+v", e)
	}
	w.wait(2 * time.Minute)
	if e := w.only(); e.State != Running {
		t.Fatalf("in its time: %+v", e)
	}
	w.each("stadt/alt", tookIt, span(1, 50)...)
	for range 15 * 60 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	if e := w.only(); e.Number != 1 || e.Concerned != 50 || len(w.track.Alarms()) != 0 || len(w.in(1)) != 1 {
		t.Fatalf("the groupware is down as planned: %+v, alarms %v, want it to be part of the maintenance and no alarm", e, w.track.Alarms())
	}
	// It does not come back in time.
	for w.now.Before(noon.Add(24 * time.Minute)) {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	if all := w.track.Alarms(); len(all) != 0 {
		t.Errorf("four minutes after its end: %v, want no alarm yet", all)
	}
	for w.now.Before(noon.Add(26 * time.Minute)) {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	if e := w.only(); e.State != Overrun || !strings.Contains(w.track.Alarms()["stadt/1"].String(), "was to end") {
		t.Errorf("six minutes after its end: %+v, alarms %v", e, w.track.Alarms())
	}
	w.start()
	w.tick()
	if e := w.only(); e.State != Overrun || e.Concerned != 50 {
		t.Errorf("after a restart: %+v", e)
	}
	w.each("stadt/alt", tookIt, span(1, 50)...)
	w.wait(2 * time.Minute)
	w.none("after it took mail again")
	if got := w.story(1); got != "planned began silent overrun turned closed" {
		t.Errorf("story: %s", got)
	}
}

func TestAMaintenanceOfADepartmentSaysNothingOfOthersAndEndsWhenNothingFails(t *testing.T) {
	w := newWorld(t, 50)
	w.plan(store.EventScope{Departments: []string{"bauamt"}, Mailboxes: []doppelboden.MailboxID{50}}, time.Time{}, noon.Add(10*time.Minute))
	for range 3 {
		w.each("stadt/alt", notNow, 1, 2, 3, 50)
		w.each("stadt/alt", notNow, span(30, 40)...)
		w.each("stadt/alt", tookIt, span(4, 25)...)
		w.wait(6 * time.Second)
	}
	all := w.open()
	if len(all) != 2 || all[0].Concerned != 4 || all[0].State != Running || all[1].Concerned != 11 || all[1].Kind != store.Outage {
		t.Fatalf("four in the maintenance and 11 others are refused: %+v", all)
	}
	w.each("stadt/alt", tookIt, span(1, 50)...)
	w.wait(5 * time.Minute)
	if e := w.only(); e.Number != 1 || e.Concerned != 0 {
		t.Errorf("all are served again: %+v, want the maintenance to last without anybody concerned", e)
	}
	w.wait(6 * time.Minute)
	w.none("after its planned end")
}

func TestAPersonClosesAnEventAndWhatStillFailsIsAnOutageAgain(t *testing.T) {
	w := newWorld(t, 50)
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	if err := w.track.Note(context.Background(), 1, 1, "anna", "called them"); err != nil {
		t.Fatal(err)
	}
	s, err := w.track.Close(context.Background(), 1, 1, "anna", "they say it works")
	if err != nil || s.State != Closed || s.ClosedBy != "anna" {
		t.Fatalf("%+v, %v", s, err)
	}
	w.tick()
	w.none("closed by hand")
	if _, err := w.track.Close(context.Background(), 1, 1, "anna", ""); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("closed twice: %v, want invalid", err)
	}
	if _, err := w.track.Close(context.Background(), 1, 9, "anna", ""); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("an event that does not exist is closed: %v", err)
	}
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	if e := w.only(); e.Number != 1 {
		t.Errorf("it still fails: %+v, want event 1 to go on", e)
	}
	if got := w.story(1); got != "opened noted closed reopened" {
		t.Errorf("story: %s", got)
	}
	if !slices.Equal(w.store.notes, []string{"event 1 is closed by anna"}) {
		t.Errorf("the ledger got %q", w.store.notes)
	}
	// A note is also taken of what ended long ago.
	w.each("stadt/alt", tookIt, span(1, 50)...)
	w.wait(2 * time.Minute)
	w.now = w.now.Add(time.Hour)
	w.tick()
	if err := w.track.Note(context.Background(), 1, 1, "anna", "it was the switch"); err != nil {
		t.Fatal(err)
	}
	if got := w.story(1); !strings.HasSuffix(got, "closed noted") {
		t.Errorf("story: %s", got)
	}
}

func TestAMaintenanceThatMakesNoSenseIsRefused(t *testing.T) {
	w := newWorld(t, 50)
	for what, p := range map[string]Plan{
		"ends before it begins": {Tenant: 1, Scope: store.EventScope{Routes: []string{"alt"}}, Starts: noon.Add(time.Hour), Ends: noon.Add(time.Minute)},
		"is over already":       {Tenant: 1, Scope: store.EventScope{Routes: []string{"alt"}}, Ends: noon.Add(-time.Minute)},
		"is for nobody":         {Tenant: 1, Ends: noon.Add(time.Hour)},
	} {
		if _, err := w.track.Plan(context.Background(), p); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("a maintenance that %s: %v, want invalid", what, err)
		}
	}
	w.none("nothing was planned")
}

func TestTheStoryOfAnEventSaysWhoWaitsForWhat(t *testing.T) {
	w := newWorld(t, 50)
	for range 3 {
		w.each("stadt/alt", noUser, 1, 2, 3, 4)
		w.each("stadt/alt", tookIt, 30, 31)
		w.wait(6 * time.Second)
	}
	w.queued[2] = 7
	held := store.Item{Delivery: doppelboden.Delivery{Tenant: 1, Mailbox: 3, State: doppelboden.Held}}
	w.store.held = []store.Item{held, held}
	w.wait(6 * time.Second)
	s, err := w.track.Story(context.Background(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Mailboxes) != 4 || s.Mailboxes[0].Address != "m2@stadt.example" || s.Mailboxes[0].Waiting != 7 || s.Mailboxes[1].Held != 2 ||
		s.Mailboxes[0].State != "refused" || s.Waiting != 7 || s.Held != 2 {
		t.Errorf("story %+v", s)
	}
	if len(s.Replies) != 1 || s.Replies[0].Text != "550 5.1.1 … User doesn't exist" || s.Replies[0].Count < 8 {
		t.Errorf("replies %+v", s.Replies)
	}
	if _, err := w.track.Story(context.Background(), 1, 2); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("an event that does not exist: %v", err)
	}
	var listed []Summary
	if err := w.track.List(context.Background(), 0, func(s Summary) error { listed = append(listed, s); return nil }); err != nil || len(listed) != 1 || listed[0].Waiting != 7 {
		t.Errorf("list: %+v, %v", listed, err)
	}
}

package event

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

func TestWhenHalfOfTheMailboxesAreRefusedOnlyTheseAreInAnOutageAndWhatTheyShareIsNamed(t *testing.T) {
	w := newWorld(t, 200)
	w.each("stadt/alt", tookIt, span(1, 200)...)
	w.wait(2 * time.Minute)
	fell := w.now
	for len(w.open()) == 0 {
		if w.now.Sub(fell) > 30*time.Second {
			t.Fatal("after 30 s nothing was noticed")
		}
		n := doppelboden.MailboxID(w.now.Sub(fell) / time.Second)
		w.each("stadt/alt", notNow, 1+2*n, 2+2*n) // two mails a second to the first half
		w.each("stadt/alt", tookIt, 101+2*n, 102+2*n)
		w.tick()
	}
	t.Logf("noticed after %v", w.now.Sub(fell))
	w.each("stadt/alt", notNow, span(1, 100)...)
	w.tick()
	e := w.only()
	if got := w.in(span(1, 200)...); !slices.Equal(got, span(1, 100)) {
		t.Errorf("in an outage are %v, want 1 to 100", got)
	}
	if e.Minor || e.Whole || e.Shared == nil || e.Shared.By != ByDepartment || !slices.Equal(e.Shared.Names, []string{"Bauamt"}) || e.Shared.Concerned != 100 || e.Shared.Of != 100 {
		t.Errorf("event %+v shares %+v, want all 100 of the department Bauamt", e, e.Shared)
	}
	if e.Since.Before(fell) || e.Since.After(fell.Add(2*time.Second)) {
		t.Errorf("it is told to have begun at %v, want %v", e.Since, fell)
	}
	for subject, text := range w.track.Alarms() {
		for _, want := range []string{"all 100 mailboxes of the department Bauamt", "451 4.3.0 Temporary internal failure", "Nothing is lost"} {
			if subject != "stadt/1" || !strings.Contains(text.String(), want) {
				t.Errorf("alarm %s does not say %q: %s", subject, want, text)
			}
		}
	}
	if len(w.track.Alarms()) != 1 || w.alarms != 1 {
		t.Errorf("%d alarms, told %d times, want one", len(w.track.Alarms()), w.alarms)
	}

	// It is mended: mail is taken again by all.
	if w.track.TakesAgain(1) {
		t.Error("mail for somebody is taken again before it is")
	}
	w.each("stadt/alt", tookIt, 1)
	w.tick()
	if !w.track.TakesAgain(1) || w.track.TakesAgain(2) || w.track.TakesAgain(101) {
		t.Errorf("mail is taken again for one of those concerned: told %v; for another who is refused: told %v; for one who was never concerned: told %v, want the first alone",
			w.track.TakesAgain(1), w.track.TakesAgain(2), w.track.TakesAgain(101))
	}
	w.each("stadt/alt", tookIt, span(1, 100)...)
	w.wait(30 * time.Second)
	w.only()
	w.wait(40 * time.Second)
	w.none("a minute after everybody's mail was taken again")
	if got := w.story(1); !strings.HasPrefix(got, "opened") || !strings.HasSuffix(got, "turned closed") {
		t.Errorf("story: %s", got)
	}
	if len(w.in(span(1, 200)...)) != 0 || len(w.track.Alarms()) != 0 {
		t.Error("the event has ended, but somebody is still in an outage, or an alarm is open")
	}
}

func TestWhoGotNoMailIsUnknownAndPerhapsConcerned(t *testing.T) {
	w := newWorld(t, 200)
	for range 3 {
		w.each("stadt/alt", noUser, span(1, 40)...)
		w.each("stadt/alt", tookIt, span(101, 200)...)
		w.wait(6 * time.Second)
	}
	e := w.only()
	if e.Concerned != 40 || e.Shared.By != ByDepartment || e.Shared.Concerned != 40 || e.Shared.Unknown != 60 || e.Shared.Well != 0 {
		t.Errorf("40 of the 100 of Bauamt are refused, of 60 nothing is known: %+v, %+v", e, e.Shared)
	}
	if len(w.in(span(41, 200)...)) != 0 {
		t.Errorf("mailboxes for which nothing was refused are in an outage: %v", w.in(span(41, 200)...))
	}
	if text := w.track.Alarms()["stadt/1"]; !strings.Contains(text.String(), "perhaps more: of 60 nothing is known") {
		t.Errorf("the alarm does not say that more may be concerned: %s", text)
	}
}

func TestABuildingOfThirtyAmongManyIsFound(t *testing.T) {
	w := newWorld(t, 1000)
	var altbau, others []doppelboden.MailboxID
	for _, id := range span(1, 1000) {
		if id%10 == 0 {
			altbau = append(altbau, id)
		} else {
			others = append(others, id)
		}
	}
	for range 3 {
		w.each("stadt/alt", notNow, altbau[:12]...)
		w.each("stadt/alt", tookIt, others...)
		w.wait(6 * time.Second)
	}
	if e := w.only(); e.Concerned != 12 || e.Shared.By != ByBuilding || !slices.Equal(e.Shared.Names, []string{"Altbau"}) || e.Shared.Unknown != 88 {
		t.Errorf("event %+v, shared %+v, want 12 in the building Altbau", e, e.Shared)
	}
}

func TestOneHostOfTwoThatRefusesIsNamed(t *testing.T) {
	w := newWorld(t, 1000)
	var one, other []doppelboden.MailboxID // by chance, through all departments and buildings
	for _, id := range span(1, 1000) {
		if id%7 == 0 {
			one = append(one, id)
		} else {
			other = append(other, id)
		}
	}
	refused := notNow
	refused.Server = "b:24"
	for range 3 {
		w.each("stadt/alt", refused, one...)
		w.each("stadt/alt", tookIt, other...)
		w.wait(6 * time.Second)
	}
	if e := w.only(); e.Concerned != int64(len(one)) || e.Shared.By != ByHost || !slices.Equal(e.Shared.Names, []string{"b:24"}) {
		t.Errorf("event %+v, shared %+v, want %d that the host b:24 serves", e, e.Shared, len(one))
	}
	if text := w.track.Alarms()["stadt/1"]; !strings.Contains(text.String(), "the host b:24") {
		t.Errorf("the alarm does not name the host: %s", text)
	}
}

func TestARouteThatAnswers4xxToEverybodyIsTheRoutesOutage(t *testing.T) {
	w := newWorld(t, 60)
	for range 8 {
		w.each("stadt/alt", notNow, span(1, 30)...)
		w.wait(15 * time.Second)
	}
	e := w.only()
	if !e.Whole || e.Concerned != 60 || e.Shared.By != ByRoute || e.Shared.Concerned != 60 {
		t.Errorf("all 30 mailboxes that got mail were refused, and nobody was taken: %+v, %+v, want an outage of all 60 of the route", e, e.Shared)
	}
}

func TestADeadRouteIsNoticedWithin30SecondsWithoutAnyMail(t *testing.T) {
	w := newWorld(t, 50)
	w.asked("stadt/alt", tookIt)
	w.tick()
	l := w.track.machine.lanes["stadt/alt"]
	fell := w.now
	for len(w.open()) == 0 && w.now.Sub(fell) < time.Minute {
		if l.due(&w.track.opts.Pace, w.now) {
			l.probed = w.now
			began := w.now
			w.wait(8 * time.Second) // the longest that a probe takes
			o := nobody
			ob := observation{lane: "stadt/alt", sort: silent, at: w.now, began: began, reply: gist(&o)}
			w.track.pending = append(w.track.pending, ob)
		}
		w.tick()
	}
	if took := w.now.Sub(fell); took > 30*time.Second {
		t.Errorf("noticed after %v, want 30 s at most", took)
	} else {
		t.Logf("noticed after %v, with probes that take 8 s", took)
	}
	if e := w.only(); !e.Whole || e.Concerned != 50 || e.Reply != "connect: connection refused" {
		t.Errorf("event %+v", e)
	}
}

func TestAShortBreakIsNoOutage(t *testing.T) {
	w := newWorld(t, 50)
	w.each("stadt/alt", notNow, span(1, 50)...) // everybody, within a second
	w.mail("stadt/alt", nobody, 1)
	w.wait(3 * time.Second)
	w.mail("stadt/alt", nobody, 1)
	w.tick()
	w.each("stadt/alt", tookIt, span(1, 50)...)
	w.wait(time.Hour)
	if len(w.store.events) != 0 {
		t.Errorf("after four seconds of trouble: %+v, want no event", w.store.events)
	}
}

func TestOneFullMailboxOneBadMailAndGreylistsAreNoOutage(t *testing.T) {
	w := newWorld(t, 50)
	w.mails++
	poison := doppelboden.ID{0: 1}
	for i := range 60 {
		w.mail("stadt/alt", full, 1)
		w.report("stadt/alt", badMail, poison, span(2, 40)...) // one mail to many that is put off again and again
		w.report("stadt/alt", brokeOff, doppelboden.ID{0: 2}, 41)
		w.mail("stadt/alt", tookIt, doppelboden.MailboxID(42+i%9))
		w.wait(5 * time.Second)
	}
	w.none("within five minutes of a full mailbox, a bad mail and a poisonous one")
	for range 60 {
		w.mail("stadt/alt", full, 1)
		w.wait(10 * time.Second)
	}
	e := w.only()
	if !e.Minor || e.Concerned != 1 || len(w.in(1)) != 1 {
		t.Errorf("after ten minutes the full mailbox is no event of lesser weight: %+v", e)
	}
	if all := w.track.Alarms(); len(all) != 0 {
		t.Errorf("one full mailbox raises an alarm: %v", all)
	}
	w.mail("stadt/alt", tookIt, 1)
	w.wait(70 * time.Second)
	w.none("a minute after the mailbox took mail again")
}

// Two of a village are no crisis, for which retention would rest, however long they refuse
// mail; all of a route are.
func TestSingleMailboxesAreNoOutageOfManyAndARouteIs(t *testing.T) {
	w := newWorld(t, 20)
	for range 60 {
		w.mail("stadt/alt", full, 1)
		w.mail("stadt/alt", noUser, 2)
		w.mail("stadt/alt", tookIt, 3)
		w.wait(12 * time.Second)
	}
	if e := w.only(); !e.Minor || len(w.track.Concerned()) != 2 || len(w.track.Outages()) != 0 || !w.track.OfSingle(1, 1) {
		t.Fatalf("event %+v of %v is an outage of %v; want one of single mailboxes for two, which is none", e, w.track.Concerned(), w.track.Outages())
	}
	for range 20 {
		w.each("stadt/alt", nobody, span(1, 20)...)
		w.wait(3 * time.Second)
	}
	if got := len(w.track.Outages()); got != 20 || w.track.OfSingle(1, 2) {
		t.Errorf("with the whole route dark the outage is of %d, and of single mailboxes %v; want all 20", got, w.track.OfSingle(1, 2))
	}
	w.start() // it is known after a restart as well
	if !w.track.OfSingle(1, 1) || w.track.OfSingle(1, 2) || len(w.track.Outages()) != 20 {
		t.Errorf("after a restart of single mailboxes is the first event %v, the second %v; in an outage are %d, want true, false and 20",
			w.track.OfSingle(1, 1), w.track.OfSingle(1, 2), len(w.track.Outages()))
	}
}

func TestTheCrisisTeamAloneIsAnAlarm(t *testing.T) {
	w := newWorld(t, 50)
	mayor, _ := w.dir.Mailbox(7)
	mayor.Priority = 9
	w.dir = w.dir.With([]doppelboden.Mailbox{mayor})
	for range 50 {
		w.mail("stadt/alt", notNow, 7)
		w.wait(15 * time.Second)
	}
	if e := w.only(); !e.Minor || len(w.track.Alarms()) != 1 {
		t.Errorf("the mayor's mailbox is refused for ten minutes: %+v, alarms %v", e, w.track.Alarms())
	}
}

func TestAGroupwareThatFallsAgainInTheMiddleOfTheBacklogGoesOnWithTheSameEvent(t *testing.T) {
	w := newWorld(t, 100)
	die := func() {
		for range 12 {
			w.mail("stadt/alt", nobody, 1)
			w.tick()
		}
	}
	die()
	for _, id := range span(1, 100) {
		w.queued[doppelboden.BoxID(id)] = 5
	}
	w.asked("stadt/alt", tookIt)
	w.wait(3 * time.Minute)
	if e := w.only(); !e.Answering || e.Concerned != 100 {
		t.Fatalf("it answers, but takes no mail: %+v, want the event to last", e)
	}
	// It takes mail for ten of them, and falls again.
	w.each("stadt/alt", tookIt, span(1, 10)...)
	for _, id := range span(1, 10) {
		delete(w.queued, doppelboden.BoxID(id))
	}
	w.wait(20 * time.Second)
	die()
	w.wait(3 * time.Minute)
	if e := w.only(); e.Number != 1 || e.Concerned != 100 || !e.Turned.IsZero() {
		t.Fatalf("it fell again: %+v, want the same event for all", e)
	}
	// It returns, and the backlog flows by and by. The event does not end with the first.
	for id := doppelboden.MailboxID(1); id <= 100; id++ {
		w.mail("stadt/alt", tookIt, id)
		delete(w.queued, doppelboden.BoxID(id))
		w.wait(3 * time.Second)
		if ended := len(w.open()) == 0; ended && id < 40 {
			t.Fatalf("the event has ended although mail waits for %d of 100", 100-id)
		}
	}
	w.wait(2 * time.Minute)
	w.none("with the backlog handed over")
	// Ten minutes later it falls once more: that is the same event, opened again.
	w.wait(10 * time.Minute)
	die()
	if e := w.only(); e.Number != 1 {
		t.Errorf("ten minutes after its end it fell again: %+v, want event 1 to go on", e)
	}
	if got := w.story(1); strings.Count(got, "reopened") != 1 || strings.Count(got, "closed") != 1 || strings.Count(got, "silent") != 1 {
		t.Errorf("story: %s", got)
	}
	// Much later it is a new one.
	w.each("stadt/alt", tookIt, span(1, 60)...)
	w.wait(90 * time.Second)
	w.none("after its second return")
	w.wait(time.Hour)
	die()
	if e := w.only(); e.Number != 2 {
		t.Errorf("an hour later it fell: %+v, want event 2", e)
	}
}

func TestAfterTheReturnThoseWhoAreStillRefusedStay(t *testing.T) {
	w := newWorld(t, 100)
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	for range 20 {
		w.each("stadt/alt", tookIt, span(1, 70)...)
		w.each("stadt/alt", noUser, span(71, 90)...)
		w.wait(10 * time.Second)
	}
	if got := w.in(span(1, 100)...); !slices.Equal(got, span(71, 90)) {
		t.Errorf("70 mailboxes are served again, 20 are refused, of ten nothing is known: in an outage are %v, want 71 to 90", got)
	}
	if e := w.only(); e.Whole || e.Number != 1 {
		t.Errorf("event %+v", e)
	}
}

func TestTheTransactionsOfARouteThatGreetsAndNeverEndsThemAreNoticed(t *testing.T) {
	w := newWorld(t, 20)
	w.mail("stadt/alt", tookIt, 1)
	w.tick()
	w.flying["stadt/alt"] = 2
	for range 11 {
		w.wait(10 * time.Second)
		w.asked("stadt/alt", tookIt)
	}
	w.none("before two minutes")
	w.wait(15 * time.Second)
	if e := w.only(); !e.Whole || e.Concerned != 20 {
		t.Errorf("event %+v", e)
	}
	w.wait(5 * time.Minute)
	if got := w.story(1); got != "opened" {
		t.Errorf("story %q, want that it opened and nothing else", got)
	}
}

func TestEventsGoOnAfterARestart(t *testing.T) {
	w := newWorld(t, 100)
	for range 3 {
		w.each("stadt/alt", notNow, span(1, 30)...)
		w.each("stadt/alt", tookIt, span(51, 100)...)
		w.wait(6 * time.Second)
	}
	before := w.only()
	w.start()
	w.tick()
	after := w.only()
	if after.Number != before.Number || after.Concerned != before.Concerned || !after.Since.Equal(before.Since) || !slices.Equal(w.in(span(1, 100)...), span(1, 30)) {
		t.Errorf("after a restart %+v, before %+v", after, before)
	}
	w.mail("stadt/alt", tookIt, 1)
	w.wait(3 * time.Minute)
	if e := w.only(); e.Concerned != 29 {
		t.Errorf("one of 30 is served again: %+v, want the other 29 to stay", e)
	}
	w.each("stadt/alt", tookIt, span(1, 30)...)
	w.wait(3 * time.Minute)
	w.none("after all are served")
	w.start()
	w.tick()
	w.none("after another restart")
}

func TestWhileTheDatabaseDoesNotWriteEventsGoOnAndAreWrittenLater(t *testing.T) {
	w := newWorld(t, 100)
	w.store.fails = errors.New("gone")
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	w.only()
	if len(w.store.events) != 0 {
		t.Fatal("written all the same")
	}
	w.store.fails = nil
	w.tick()
	if got := w.story(1); got != "opened" {
		t.Errorf("story %q, want that it opened", got)
	}
	if c := w.store.events[0]; len(c.Replies) != 1 || c.Replies[0].Count < 8 {
		t.Errorf("replies %+v", c.Replies)
	}
}

func TestOneTenantsOutageSaysNothingOfAnothers(t *testing.T) {
	w := newWorld(t, 50)
	for range 12 {
		w.mail("kreis/gw", nobody, 51)
		w.mail("stadt/alt", tookIt, 3)
		w.tick()
	}
	if e := w.only(); e.Tenant != "kreis" || e.Number != 1 || e.Concerned != 20 || len(w.in(span(1, 50)...)) != 0 {
		t.Errorf("event %+v", e)
	}
}

func TestWhoLeavesOrMovesIsNoLongerInTheOutage(t *testing.T) {
	w := newWorld(t, 50)
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	gone, _ := w.dir.Mailbox(1)
	gone.Gone = w.now
	moved, _ := w.dir.Mailbox(2)
	moved.Address.Domain = "neu.example"
	fresh := doppelboden.Mailbox{ID: 999, Tenant: 1, Kind: doppelboden.Person, Address: doppelboden.Address{Local: "x", Domain: "stadt.example"}}
	w.dir = w.dir.With([]doppelboden.Mailbox{gone, moved, fresh})
	w.tick()
	if got := w.in(1, 2, 3, 999); !slices.Equal(got, []doppelboden.MailboxID{3, 999}) {
		t.Errorf("1 has left, 2 goes by another route, 999 is new: in the outage are %v, want 3 and 999", got)
	}
}

func TestWhoIsInAnEventOfLesserWeightLeavesItForTheOutageOfTheRoute(t *testing.T) {
	w := newWorld(t, 50)
	w.queued[1] = 1
	for range 60 {
		w.mail("stadt/alt", full, 1)
		w.mail("stadt/alt", tookIt, 2)
		w.wait(12 * time.Second)
	}
	if e := w.only(); !e.Minor {
		t.Fatalf("event %+v, want one of lesser weight", e)
	}
	for range 3 { // some of the others, and then all
		w.each("stadt/alt", notNow, span(3, 20)...)
		w.wait(6 * time.Second)
	}
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		w.tick()
	}
	if e := w.only(); e.Minor || !e.Whole || e.Number != 2 || e.Concerned != 50 {
		t.Errorf("event %+v, want event 2 for all 50", e)
	}
	if got := w.story(1); got != "opened shrank closed" {
		t.Errorf("story of the event of lesser weight: %s", got)
	}
}

func TestThreeWhoHaveLeftAreNoOutageOfTheirDepartment(t *testing.T) {
	w := newWorld(t, 1000)
	for range 20 {
		w.each("stadt/alt", noUser, 1, 2, 3)
		w.each("stadt/alt", tookIt, span(4, 40)...)
		w.each("stadt/alt", tookIt, span(600, 640)...)
		w.wait(20 * time.Second)
	}
	w.none("three of 40 of a department are refused")
	w.wait(10 * time.Minute)
	if e := w.only(); !e.Minor || e.Concerned != 3 || len(w.track.Alarms()) != 0 {
		t.Errorf("ten minutes later: %+v, alarms %v, want an event of lesser weight and no alarm", e, w.track.Alarms())
	}
}

func TestMailThatIsPutStraightIntoMailboxesDoesNotHideThatTheNextServerIsDead(t *testing.T) {
	filed := doppelboden.Outcome{Verdict: doppelboden.Took, Scope: doppelboden.AboutRecipient, Phase: "append", Server: "a:143"}
	w := newWorld(t, 200)
	w.each("stadt/alt", tookIt, span(1, 200)...)
	w.wait(2 * time.Minute)
	fell := w.now
	for n := doppelboden.MailboxID(1); len(w.open()) == 0; n++ {
		if w.now.Sub(fell) > 30*time.Second {
			t.Fatal("after 30 s nothing was noticed")
		}
		w.each("stadt/alt", filed, n) // the backlog goes on
		if n%5 == 0 {
			w.mail("stadt/alt", nobody, n)
		}
		w.tick()
	}
	for n := doppelboden.MailboxID(1); n < 180; n++ {
		w.each("stadt/alt", filed, n)
		w.mail("stadt/alt", nobody, 200)
		w.tick()
	}
	if e := w.only(); !e.Whole {
		t.Errorf("event %+v, want that of the whole route as long as its next server is dead", e)
	}
	// It answers again, and all that waits is old.
	w.asked("stadt/alt", doppelboden.Outcome{Verdict: doppelboden.Took})
	w.tick()
	w.each("stadt/alt", filed, span(1, 200)...)
	w.wait(2 * time.Minute)
	w.none("after everybody got old mail from a route that answers")
}

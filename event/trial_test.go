package event

import (
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"

	"pgregory.net/rapid"
)

// dark lets the route alt of stadt die at night, and answer again: no mail waits for anybody.
func (w *world) dark() {
	w.t.Helper()
	for range 3 {
		w.asked("stadt/alt", nobody)
		w.wait(8 * time.Second)
	}
	w.only()
}

// answering lets the route answer probes for a while, and nothing else happen.
func (w *world) answering(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.asked("stadt/alt", tookIt)
		w.wait(10 * time.Second)
	}
}

// take lets the groupware answer the letters that went out, with an outcome for each.
func (w *world) take(o doppelboden.Outcome) {
	for _, one := range w.letters {
		delete(w.queued, doppelboden.BoxID(one.Mailbox))
		w.mail("stadt/alt", o, one.Mailbox)
	}
	w.letters = nil
}

func TestAnOutageForWhichNoMailWaitsEndsByALetterThatWasTaken(t *testing.T) {
	w := newWorld(t, 40)
	w.dark()
	if len(w.letters) != 0 {
		t.Fatalf("letters %+v went out although the route is dead", w.letters)
	}
	w.answering(50 * time.Second)
	if len(w.letters) != 0 {
		t.Fatalf("letters %+v went out before it was calm", w.letters)
	}
	w.answering(20 * time.Second)
	if len(w.letters) != 1 || w.letters[0].Mailbox != 1 || w.letters[0].Event != 1 || !w.letters[0].Since.Equal(w.only().Since) {
		t.Fatalf("letters %+v, want one to the postmaster, mailbox 1", w.letters)
	}
	w.queued[1] = 1
	w.answering(12 * time.Hour) // it greets, and takes nothing
	if len(w.letters) != 1 {
		t.Errorf("%d letters while the first waits, want no other", len(w.letters))
	}
	if e := w.only(); e.Concerned != 40 || !e.Turned.IsZero() {
		t.Fatalf("no mail was taken, and the event is %+v", e)
	}
	w.take(tookIt)
	w.answering(70 * time.Second)
	w.none("a minute after the letter was taken")
	if got := w.story(1); got != "opened answering tried turned closed" {
		t.Errorf("story %q", got)
	}
	w.answering(time.Hour)
	if len(w.letters) != 0 {
		t.Errorf("letters %+v after the end", w.letters)
	}
}

func TestNoLetterGoesOutWhileMailWaitsThatCanShowTheSame(t *testing.T) {
	w := newWorld(t, 40)
	w.queued[7] = 2
	w.dark()
	w.answering(time.Hour)
	if len(w.letters) != 0 {
		t.Fatalf("letters %+v although mail waits", w.letters)
	}
	w.mail("stadt/alt", full, 7) // that mailbox proves nothing
	w.answering(time.Minute)
	if len(w.letters) != 1 || w.letters[0].Mailbox != 1 {
		t.Errorf("what waits is for a full mailbox alone: letters %+v, want one to mailbox 1", w.letters)
	}
}

func TestALetterThatIsRefusedForGoodIsFollowedByNoOtherWhileItIsHeld(t *testing.T) {
	w := newWorld(t, 40)
	w.touched = map[doppelboden.MailboxID]bool{9: true}
	w.mail("stadt/alt", noUser, 1) // the postmaster has no mailbox there
	w.dark()
	w.answering(70 * time.Second)
	if len(w.letters) != 1 || w.letters[0].Mailbox != 9 {
		t.Fatalf("letters %+v, want one to mailbox 9, in which something was done", w.letters)
	}
	w.take(noUser)
	w.store.held = []store.Item{{Delivery: doppelboden.Delivery{Tenant: 1, Mailbox: 9, State: doppelboden.Held}}}
	w.answering(6 * time.Hour)
	if len(w.letters) != 0 || w.only().Concerned != 40 {
		t.Fatalf("letters %+v while the first is held; event %+v", w.letters, w.only())
	}
	w.store.held = nil // it was tried again by itself
	w.mail("stadt/alt", tookIt, 9)
	w.answering(11 * time.Minute)
	if len(w.letters) != trialsAtOnce || w.letters[0].Mailbox != 1 {
		t.Fatalf("one took mail and one refuses it: letters %+v, want some, first to who refuses it", w.letters)
	}
	w.letters = w.letters[1:] // that one is refused again
	w.take(tookIt)
	w.answering(70 * time.Second)
	if e := w.only(); !e.Minor || e.Concerned != 1 {
		t.Errorf("a minute after letters to others were taken: %+v, want the one who is refused alone", e)
	}
}

// A groupware that has come back without its users refuses everybody: their mail is held and
// tried again by itself. It was counted before that, and minutes pass until the next count.
func TestNoLetterGoesToWhoseMailIsHeldAlsoWhenItWasNotCountedYet(t *testing.T) {
	w := newWorld(t, 40)
	w.mail("stadt/alt", noUser, 20) // an event, and nothing is held yet
	w.dark()
	w.answering(50 * time.Second)
	for n := range doppelboden.MailboxID(40) {
		w.store.held = append(w.store.held, store.Item{Delivery: doppelboden.Delivery{Tenant: 1, Mailbox: n + 1, State: doppelboden.Held}})
	}
	w.answering(20 * time.Second)
	if len(w.letters) != 0 {
		t.Errorf("letters %+v went out although mail for everybody is held", w.letters)
	}
	w.store.held = w.store.held[1:] // the postmaster's was taken back
	w.answering(heldEvery)
	if len(w.letters) != 1 || w.letters[0].Mailbox != 1 {
		t.Errorf("letters %+v, want one to the postmaster, for whom nothing is held", w.letters)
	}
}

func TestLettersOfAGroupwareThatComesAndGoesBecomeSeldom(t *testing.T) {
	w := newWorld(t, 40)
	w.dark()
	sent := 0
	for end := w.now.Add(24 * time.Hour); w.now.Before(end); {
		w.answering(70 * time.Second)
		sent += len(w.letters)
		w.take(tookIt)
		w.wait(time.Second)
		for range 3 {
			w.asked("stadt/alt", nobody)
			w.wait(8 * time.Second)
		}
	}
	if w.only().Number != 1 || sent < 20 || sent > 28 {
		t.Errorf("%d letters in a day of coming and going, want one an hour, after 10, 20 and 40 minutes; event %+v", sent, w.only())
	}
}

// While a whole route does not take mail, letters become seldom. Once it does, who was refused
// before is looked at as quickly as after any other outage.
func TestOnceMailIsTakenLettersAreNotSeldomAnyMore(t *testing.T) {
	w := newWorld(t, 40)
	for range 3 {
		w.each("stadt/alt", notNow, span(1, 40)...)
		w.wait(6 * time.Second)
	}
	w.dark()
	for range 4 { // it talks, and refuses one letter after another
		for len(w.letters) == 0 {
			w.answering(10 * time.Minute)
		}
		w.take(notNow)
	}
	for len(w.letters) == 0 {
		w.answering(10 * time.Minute)
	}
	for range 6 {
		w.take(tookIt)
		w.answering(11 * time.Minute)
	}
	if all := w.open(); len(all) != 0 {
		t.Errorf("an hour after the first letter was taken: %+v, %s; want that it is over", all, w.story(1))
	}
}

func TestSingleMailboxesThatWereRefusedEachGetALetter(t *testing.T) {
	w := newWorld(t, 100)
	for range 3 {
		w.each("stadt/alt", notNow, span(1, 30)...)
		w.each("stadt/alt", tookIt, span(51, 100)...)
		w.wait(6 * time.Second)
	}
	w.start() // what was refused was discarded by somebody; nothing waits
	for range 18 {
		w.answering(5 * time.Minute)
		if len(w.letters) > trialsAtOnce {
			t.Fatalf("%d letters at once", len(w.letters))
		}
		for _, one := range w.letters {
			if !slices.Contains(span(1, 30), one.Mailbox) {
				t.Fatalf("a letter to %d, who is in no event", one.Mailbox)
			}
		}
		w.take(tookIt)
	}
	w.answering(2 * time.Minute)
	w.none("after each got a letter")
}

// TestWhateverHappenedOutagesEndByThemselvesOnceTheGroupwareWorks lets anything happen. Then the
// groupware answers and takes what waits, letters too, and nobody writes.
func TestWhateverHappenedOutagesEndByThemselvesOnceTheGroupwareWorks(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{world: newWorld(t, 40), bad: map[doppelboden.MailboxID]bool{}, taken: map[string]time.Time{}, dead: map[string]bool{}, was: map[int64]store.Event{}}
		all := m.actions()
		delete(all, "a maintenance")
		r.Repeat(all)
		tries := 0
		for _, e := range m.track.machine.episodes {
			tries = max(tries, e.tries)
			for _, w := range e.wrote {
				tries = max(tries, w.n)
			}
		}
		if tries > 4 {
			return // its letters are so seldom by now that this would take long
		}
		for end := m.now.Add(3 * time.Hour); m.now.Before(end) && len(m.open()) > 0; {
			m.asked("stadt/alt", tookIt)
			for box := range m.queued {
				m.mail("stadt/alt", tookIt, doppelboden.MailboxID(box))
			}
			clear(m.queued)
			m.take(tookIt)
			m.now = m.now.Add(9 * time.Second)
			m.tick()
		}
		for _, e := range m.open() {
			r.Errorf("three hours after the groupware was well: %+v\n%s", e, m.story(e.Number))
		}
	})
}

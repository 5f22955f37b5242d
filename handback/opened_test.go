package handback

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// opens lets somebody open the mailbox.
func (w *world) opens(r *Room) {
	w.t.Helper()
	if err := r.Opened(context.Background(), user); err != nil {
		w.t.Fatal(err)
	}
}

// turns lets a room work for some hours.
func (w *world) turns(r *Room) {
	w.t.Helper()
	for range 3 {
		w.turn(r)
	}
}

func TestWhoOpenedHerMailboxInAnEventGetsOneMailAlsoIfSheChangedNothing(t *testing.T) {
	w := newWorld(t)
	w.number, w.well, w.clear = 7, false, false
	r := w.room()
	for range 3 {
		w.opens(r)
	}
	w.turns(r)
	w.well = true
	w.turns(r)
	if len(w.letters) != 0 {
		t.Fatal("a letter was written while mail waits")
	}
	w.clear = true
	w.turns(r)
	w.opens(w.room()) // once more, on a node that has just started
	w.turns(r)
	if len(w.letters) != 1 {
		t.Fatalf("%d letters, want one", len(w.letters))
	}
	text := strings.ReplaceAll(w.written[0], "=\r\n", "")
	for _, want := range []string{"Ihr Postfach funktioniert wieder", "Vom 14.03.2026 09:26", "Eingegangen: 17 E-Mails", "Nichts davon wartet mehr"} {
		if !strings.Contains(text, want) {
			t.Errorf("the letter does not hold %q:\n%s", want, text)
		}
	}
	w.number = 8
	w.opens(r)
	w.turns(r)
	if len(w.letters) != 2 {
		t.Errorf("%d letters after a second event, want two", len(w.letters))
	}
}

func TestNobodyIsToldOfAnEventInWhichNobodyOpenedTheMailbox(t *testing.T) {
	for name, number := range map[string]int64{"no event": 0, "a mailbox that did not work by itself": -17} {
		w := newWorld(t)
		w.number = number
		r := w.room()
		w.opens(r)
		w.turns(r)
		w.number = 7
		w.turns(r)
		if len(w.letters) != 0 || len(w.state) != 0 {
			t.Errorf("%s: letters %q, state %v; want none", name, w.written, w.state)
		}
	}
	w := newWorld(t)
	w.number = 7
	r := w.room(func(o *Options) { o.Place = func(doppelboden.MailboxID) (Place, bool) { return Place{}, false } })
	w.opens(r)
	if len(w.state) != 0 {
		t.Errorf("of a mailbox that lies here alone it is noted that it was opened: %v", w.state)
	}
}

func TestWhoOpenedAMailboxIsToldOnceWhateverDiesInBetween(t *testing.T) {
	for steps := range 12 {
		w := newWorld(t)
		w.number, w.well = 7, false
		// The node dies at one of the writes, before or after it.
		die := errors.New("dead")
		left := steps
		r := w.room(func(o *Options) {
			may := o.Mail.MayDot
			o.Mail.MayDot = func() bool {
				if left--; left < 0 {
					w.putErr = die
				}
				return may()
			}
		})
		w.fault = func(string, bool) error {
			if left--; left < 0 {
				w.putErr = die
				return die
			}
			return nil
		}
		noted := r.Opened(t.Context(), user) == nil
		if noted {
			w.well = true
			w.turns(r)
		}
		w.putErr, w.fault, w.well = nil, nil, true
		again := w.room()
		if err := again.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !noted {
			w.opens(again)
		}
		w.turns(again)
		if len(w.letters) != 1 {
			t.Errorf("dead after %d steps: %d letters, want one", steps, len(w.letters))
		}
	}
}

func TestAnOpeningThatCannotBeNotedIsNotedLater(t *testing.T) {
	w := newWorld(t)
	w.number, w.well = 7, false
	r := w.room()
	w.putErr = errors.New("the database is away")
	if err := r.Opened(t.Context(), user); err == nil {
		t.Fatal("no error although the database is away")
	}
	w.putErr = nil
	if err := r.noteOpenings(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, err := w.HandbackOf(t.Context(), user); err != nil || !h.Opened || h.Event != 7 {
		t.Errorf("noted %+v, %v; want that it was opened in event 7", h, err)
	}
	release, _ := r.claim(1, user)
	w.number = 8
	w.opens(r) // while somebody works on the mailbox
	release()
	if err := r.noteOpenings(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, err := w.HandbackOf(t.Context(), user); err != nil || h.Event != 8 {
		t.Errorf("noted %+v, %v; want event 8", h, err)
	}
}

func TestNothingSaysWhenAMailboxWasOpened(t *testing.T) {
	w := newWorld(t)
	w.number = 7
	w.now = day.Add(5*time.Hour + 17*time.Minute)
	w.opens(w.room())
	h, err := w.HandbackOf(t.Context(), user)
	if err != nil || !h.At.Equal(day) || !h.Since.Equal(day) {
		t.Errorf("noted %+v, %v; want only when the event began", h, err)
	}
}

func TestWhatWasDoneInAnEventIsInTheMailOfWhoOpenedTheMailbox(t *testing.T) {
	w := newWorld(t)
	w.number, w.well = 7, false
	r := w.room()
	w.opens(r)
	w.made("sent", "<1@x>", sentSpot)
	w.now = w.now.Add(time.Hour)
	w.well = true
	w.turns(r)
	w.turns(w.room())
	if len(w.letters) != 1 {
		t.Fatalf("%d letters, want one", len(w.letters))
	}
	w.opens(w.room()) // when all is over
	if h, err := w.HandbackOf(t.Context(), user); err != nil || h.Done.Sent != 1 || h.Opened {
		t.Errorf("it is known %+v, %v; want what was done, and nobody who is to be told", h, err)
	}
	for _, want := range []string{"Vom 14.03.2026 09:26", "Eingegangen: 17 E-Mails", "Von Ihnen versendet und =C3=BCbergeben: eine E-Mail"} {
		if text := strings.ReplaceAll(w.written[0], "=\r\n", ""); !strings.Contains(text, want) {
			t.Errorf("the letter does not hold %q:\n%s", want, text)
		}
	}
}

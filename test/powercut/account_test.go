package main

import (
	"slices"
	"strings"
	"testing"

	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// A scene plays lines of the guest against an account.
type scene struct{ *account }

func newScene() *scene {
	s := &scene{newAccount()}
	s.begin(1)
	return s
}

// say plays one line for each number.
func (s *scene) say(k wire.Kind, numbers ...int64) {
	for _, n := range numbers {
		s.hear(wire.Line{Kind: k, Number: n})
	}
}

// deliver plays the arrival of letters in all their mailboxes.
func (s *scene) deliver(numbers ...int64) {
	for _, n := range numbers {
		for _, m := range letter.Recipients(n) {
			s.hear(wire.Line{Kind: wire.Delivered, Number: n, Mailbox: m})
		}
	}
}

// cut plays a cut and the next boot.
func (s *scene) cut() {
	s.powerGone()
	s.begin(s.boot + 1)
}

func TestWhatWasAcknowledgedAndDoesNotComeIsMissing(t *testing.T) {
	s := newScene()
	s.say(wire.Sending, 1, 2, 3, 4, 5)
	s.say(wire.Acked, 1, 2, 3)
	s.say(wire.Refused, 4)
	s.deliver(1) // before the cut is as good as after it
	s.cut()
	s.deliver(2, 5)
	got := s.arrived(1, s.sent(1))
	want := Count{Acknowledged: 3, Refused: 1, InFlight: 1, Found: 2, Missing: 1, Kept: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if f := s.fouls(); len(f) > 0 {
		t.Errorf("foul: %v, want nothing", f)
	}
}

func TestA250ReadWithoutPowerPromisesNothing(t *testing.T) {
	s := newScene()
	s.say(wire.Sending, 1)
	s.powerGone()
	s.say(wire.Acked, 1)
	if got := s.sent(1); got.Acknowledged != 0 || got.InFlight != 1 {
		t.Errorf("%+v, want no letter acknowledged and one in flight", got)
	}
}

// twoToOne returns the numbers of two letters to the same single mailbox.
func twoToOne() (first, second int64) {
	first = 1
	for len(letter.Recipients(first)) > 1 {
		first++
	}
	second = first + 1
	for !slices.Equal(letter.Recipients(second), letter.Recipients(first)) {
		second++
	}
	return first, second
}

func TestOnlyWhatWasNotSettledBeforeACutMayComeAgain(t *testing.T) {
	first, second := twoToOne()
	for name, c := range map[string]struct {
		play    func(*scene)
		doubles int
		foul    string
	}{
		"the last one":   {func(s *scene) { s.deliver(first, second); s.cut(); s.deliver(second) }, 1, ""},
		"after two cuts": {func(s *scene) { s.deliver(second); s.cut(); s.deliver(second); s.cut(); s.deliver(second) }, 2, ""},
		"after another one": {func(s *scene) {
			s.deliver(second)
			s.cut()
			s.deliver(first)
			s.cut()
			s.deliver(first, second)
		}, 2, ""},
		"the one before": {func(s *scene) { s.deliver(first, second); s.cut(); s.deliver(first) }, 0, "was settled"},
		"without a cut":  {func(s *scene) { s.deliver(first, first) }, 0, "twice without a cut"},
		"after a balance": {func(s *scene) {
			s.deliver(first)
			s.say(wire.Balance, 0)
			s.cut()
			s.deliver(first)
		}, 0, "was settled"},
	} {
		s := newScene()
		s.say(wire.Sending, first, second)
		s.say(wire.Acked, first, second)
		c.play(s)
		if got := s.takeDoubles(); got != c.doubles {
			t.Errorf("%s: %d doubles, want %d", name, got, c.doubles)
		}
		if got := strings.Join(s.fouls(), "; "); (got != "") != (c.foul != "") || !strings.Contains(got, c.foul) {
			t.Errorf("%s: foul %q, want %q", name, got, c.foul)
		}
	}
}

func TestALetterMustNotOvertakeOneThatWasAcknowledgedBeforeItWasSent(t *testing.T) {
	first, second := twoToOne()
	for name, c := range map[string]struct {
		play func(*scene)
		foul bool
	}{
		"one after the other": {func(s *scene) {
			s.say(wire.Sending, first)
			s.say(wire.Acked, first)
			s.say(wire.Sending, second)
			s.say(wire.Acked, second)
		}, true},
		"side by side": {func(s *scene) {
			s.say(wire.Sending, first, second)
			s.say(wire.Acked, first, second)
		}, false},
	} {
		s := newScene()
		c.play(s)
		s.cut()
		s.deliver(second, first)
		if f := s.fouls(); (len(f) > 0) != c.foul {
			t.Errorf("%s: foul %v, want any: %v", name, f, c.foul)
		}
	}
}

func TestWhatNobodySentIsFoul(t *testing.T) {
	s := newScene()
	s.deliver(7)
	s.hear(wire.Line{Kind: wire.Damaged, Number: 8, Text: "12 bytes"})
	if f := s.fouls(); len(f) < 2 {
		t.Errorf("foul: %v, want a letter that was never sent and one that is damaged", f)
	}
}

func TestALetterThatCameToHalfItsMailboxesIsNeverWell(t *testing.T) {
	number := int64(1)
	for len(letter.Recipients(number)) < 2 {
		number++
	}
	first := wire.Line{Kind: wire.Delivered, Number: number, Mailbox: letter.Recipients(number)[0]}

	s := newScene()
	s.say(wire.Sending, number)
	s.say(wire.Acked, number)
	s.hear(first)
	if got := s.arrived(1, s.sent(1)); got.Missing != 1 || got.Found != 0 {
		t.Errorf("acknowledged: %+v, want it missing", got)
	}

	s = newScene()
	s.say(wire.Sending, number)
	s.hear(first)
	s.arrived(1, s.sent(1))
	if f := s.fouls(); !slices.ContainsFunc(f, func(f string) bool { return strings.Contains(f, "1 of its") }) {
		t.Errorf("in flight: foul %v, want that it came to one mailbox only", f)
	}
}

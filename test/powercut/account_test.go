package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// A scene plays lines of the guest against an account whose clock it moves.
type scene struct {
	*account
	now time.Time
}

func newScene() *scene {
	s := &scene{now: time.Date(2025, 1, 6, 8, 0, 0, 0, time.UTC)}
	s.account = newAccount(func() time.Time { return s.now })
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
	s.nextBoot()
}

func TestWhatWasAcknowledgedAndDoesNotComeIsMissing(t *testing.T) {
	s := newScene()
	s.say(wire.Sending, 1, 2, 3, 4, 5)
	s.say(wire.Acked, 1, 2, 3)
	s.say(wire.Refused, 4)
	s.deliver(1) // before the cut is as good as after it
	s.cut()
	s.deliver(2, 5)
	got := s.arrived(0, s.sent(0))
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
	if got := s.sent(0); got.Acknowledged != 0 || got.InFlight != 1 {
		t.Errorf("%+v, want no letter acknowledged and one in flight", got)
	}
}

func TestALetterMayComeTwiceOnlyWhenACutFellBetween(t *testing.T) {
	for name, c := range map[string]struct {
		play    func(*scene)
		doubles bool
		foul    string
	}{
		"at once after the cut": {func(s *scene) { s.deliver(1); s.cut(); s.deliver(1) }, true, ""},
		"without a cut":         {func(s *scene) { s.deliver(1, 1) }, false, "twice without a cut"},
		"long before the cut": {func(s *scene) {
			s.deliver(1)
			s.now = s.now.Add(settling + time.Second)
			s.cut()
			s.deliver(1)
		}, false, "again, 3s after it had come"},
	} {
		s := newScene()
		s.say(wire.Sending, 1)
		s.say(wire.Acked, 1)
		c.play(s)
		if got := s.takeDoubles() > 0; got != c.doubles {
			t.Errorf("%s: doubles %v, want %v", name, got, c.doubles)
		}
		if got := strings.Join(s.fouls(), "; "); (got != "") != (c.foul != "") || !strings.Contains(got, c.foul) {
			t.Errorf("%s: foul %q, want %q", name, got, c.foul)
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
	if got := s.arrived(0, s.sent(0)); got.Missing != 1 || got.Found != 0 {
		t.Errorf("acknowledged: %+v, want it missing", got)
	}

	s = newScene()
	s.say(wire.Sending, number)
	s.hear(first)
	s.arrived(0, s.sent(0))
	if f := s.fouls(); !slices.ContainsFunc(f, func(f string) bool { return strings.Contains(f, "1 of its") }) {
		t.Errorf("in flight: foul %v, want that it came to one mailbox only", f)
	}
}

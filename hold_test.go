package doppelboden

import (
	"strings"
	"testing"
)

func TestRepliesThatDifferInNamesAndNumbersHaveOneGist(t *testing.T) {
	to := Address{Local: "anna.meier", Domain: "stadt.example"}
	for _, c := range []struct{ want, one, other string }{
		{"550 5.1.1 # User doesn't exist: #",
			"rcpt 10.0.0.1:24: 550 5.1.1 <anna.meier@stadt.example> User doesn't exist: anna.meier@stadt.example",
			"rcpt 10.0.0.2:24: 550 5.1.1 <x@stadt.example> User doesn't exist: x@stadt.example"},
		{"550 User # unknown", "rcpt gw:25: 550 User anna.meier unknown", "rcpt gw:25: 550 User u4711 unknown"},
		{"452 4.3.1 # try again in # seconds", "dot gw:25: 452 4.3.1 4F2D1AC3 try again in 30 seconds", "dot gw:25: 452 4.3.1 9BC3DE77 try again in 57 seconds"},
		{"554 at # queue # full", "data gw:25: 554 at 2026-07-14 12:30:45 queue deadbeef full", "data gw:25: 554 at 2026-07-15 08:00:01 queue cafebabe full"},
		{"hold: looks odd", "hold: looks odd", "hold: looks odd"},
	} {
		if one, other := Gist(c.one, to), Gist(c.other, to); one != c.want || other != c.want {
			t.Errorf("gist of %q is %q, of %q %q; want %q", c.one, one, c.other, other, c.want)
		}
	}
	if a, b := Gist("rcpt gw:25: 550 5.1.1 no such user", to), Gist("rcpt gw:25: 550 5.2.1 mailbox disabled", to); a == b {
		t.Errorf("replies that say something else have one gist: %q", a)
	}
	if got := Gist("rcpt gw:25: 550 "+strings.Repeat("lang ", 1000), to); len(got) > maxGist+10 {
		t.Errorf("the gist of a long reply has %d bytes", len(got))
	}
}

func TestAGroupIsTheSameForTheSameWordsAndAnotherOnAnotherRoute(t *testing.T) {
	h := Hold{Reason: HeldAddress, Route: "stadt/a"}
	one := h.Group(1, "rcpt a:24: 550 5.1.1 <x@y.example> No such user", Address{})
	for _, other := range []string{
		Hold{Reason: HeldMail, Route: "stadt/a"}.Group(1, "rcpt a:24: 550 5.1.1 <x@y.example> No such user", Address{}),
		Hold{Reason: HeldAddress, Route: "stadt/b"}.Group(1, "rcpt a:24: 550 5.1.1 <x@y.example> No such user", Address{}),
		h.Group(2, "rcpt a:24: 550 5.1.1 <x@y.example> No such user", Address{}),
		h.Group(1, "rcpt a:24: 550 5.1.1 <x@y.example> Disabled", Address{}),
	} {
		if other == one {
			t.Errorf("two groups have the name %s", one)
		}
	}
	if again := h.Group(1, "rcpt b:24: 550 5.1.1 <z@y.example> no such USER", Address{}); again != one || len(one) != 8 {
		t.Errorf("the same words make group %q and then %q, want one name of eight letters", one, again)
	}
}

func TestWhatAnOutcomeSaidIsReadFromItsLine(t *testing.T) {
	for _, o := range []Outcome{
		{Phase: "rcpt", Server: "10.0.0.1:24", Reply: Reply{Code: 550, Enhanced: "5.1.1", Text: "5.1.1 no such user"}},
		{Phase: "rcpt", Server: "[2001:db8::1]:24", Reply: Reply{Code: 550, Text: "no such user: x"}},
		{Phase: "data", Reply: Reply{Text: "no answer in time"}},
	} {
		phase, server, r := Said(o.Line())
		if phase != o.Phase || server != o.Server || r != o.Reply {
			t.Errorf("%q says %q, %q, %+v; want %+v", o.Line(), phase, server, r, o)
		}
	}
}

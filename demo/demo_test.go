package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/say"
	"doppelboden/sink"
)

// The whole play runs in cmd/doppelboden, testdata/script/demo.txtar.

func TestAPlayIsGoodOnlyWhenNothingIsMissing(t *testing.T) {
	acked := []string{"1", "2"}
	for name, c := range map[string]struct {
		acked []string
		has   map[string]int
		diff  int64
		good  bool
	}{
		"all there":        {acked, map[string]int{"1": 1, "2": 1}, 0, true},
		"one twice":        {acked, map[string]int{"1": 2, "2": 1}, 0, true},
		"never promised":   {acked, map[string]int{"1": 1, "2": 1, "3": 1}, 0, true},
		"one missing":      {acked, map[string]int{"1": 1}, 0, false},
		"books don't add":  {acked, map[string]int{"1": 1, "2": 1}, 1, false},
		"nothing happened": {nil, nil, 0, false},
	} {
		r := judge(c.acked, c.has, doppelboden.Balance{Difference: c.diff})
		if r.Good != c.good || r.Arrived+r.Missing != len(c.acked) {
			t.Errorf("%s: %+v, want good=%v", name, r, c.good)
		}
	}
}

func TestANodeThatDoesNotStartIsToldWithItsLastWordsAndNothingStays(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	broken := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho out of order >&2\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{Program: broken, Length: time.Second, Say: say.New("en"), Tell: func(Line) {}})
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v, want the node's last words", err)
	}
	entries, err := os.ReadDir(tmp)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestABrokenOffPlayLeavesNothingBehind(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	tell := func(l Line) {
		if strings.Contains(l.Text, "The groupware") {
			cancel()
		}
	}
	_, err := Run(ctx, Options{Program: "/bin/cat", Length: time.Second, Say: say.New("en"), Tell: tell})
	if err == nil {
		t.Error("a play that was broken off ended well")
	}
	entries, err := os.ReadDir(tmp)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestStrangersSendAgainWhatWasRefused(t *testing.T) {
	script, err := sink.Parse("s", []byte("[[rule]]\nphase = \"dot\"\nreply = \"451 4.3.0 later\"\ntimes = 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sink.Start(sink.Options{Script: script})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := startCrowd(s.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = s.Wait(ctx, func(st sink.Stats) bool { return st.Messages >= 4 })
	c.stop()
	if err != nil {
		t.Fatal(err)
	}
	if c.failures() != 2 || len(c.again) != 0 || c.count() != len(s.Stats().ByMessageID) {
		t.Errorf("failures %d, still to send %v, acknowledged %d, at the server %v", c.failures(), c.again, c.count(), s.Stats().ByMessageID)
	}
}

func TestAGroupwareRemembersItsEarlierLives(t *testing.T) {
	g, err := newGroupware()
	if err != nil {
		t.Fatal(err)
	}
	g.before["1@x"] = 1
	addr := g.addr
	if err := errors.Join(g.die(), g.die(), g.rise()); err != nil {
		t.Fatal(err)
	}
	defer g.die()
	if g.sink.Addr() != addr || g.count() != 1 || g.outage() <= 0 {
		t.Errorf("back at %s (was %s) with %d mails after %v", g.sink.Addr(), addr, g.count(), g.outage())
	}
}

package app

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"doppelboden/ledger"
	"doppelboden/test/hand"
)

// TestTheAlarmAboutAnOlderDatabaseEndsWhenSomebodyHasSeenWhatItLacks plays a knot that had left
// a database of yesterday. It turns red when nothing ends the alarm, or when a restart raises or
// ends it.
func TestTheAlarmAboutAnOlderDatabaseEndsWhenSomebodyHasSeenWhatItLacks(t *testing.T) {
	node := install(t, "here")
	h := hand.At(time.Now())
	n := startAt(t, node, h)
	again := func() {
		t.Helper()
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		n = startAt(t, node, h)
	}
	alarm := func() string { return openAlarms(t, n)["ledger"] }
	since := func() (at time.Time) {
		t.Helper()
		s, err := client(n).Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range s.Alarms {
			if a.Kind == "ledger" && a.Subject == "older" {
				at = a.Since
			}
		}
		return at
	}
	rounds := func() { // some of the knotter and of the watcher
		t.Helper()
		for range 3 {
			h.Forward(max(ledger.DefaultEvery, watchEvery))
		}
		if err := n.store.Ready(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	mail(t, n, anna.Address)
	again() // which ties
	leaves(t, ledger.Folder(n.opts.Node.Data))
	again()
	waitFor(t, "the older database is an alarm", func() bool { rounds(); return alarm() != "" })
	before := since()
	h.Forward(time.Second)
	again()
	newWatcher(n, func() time.Duration { return 0 }).look(t.Context()) // before any round of the knotter
	if after := since(); before.IsZero() || !after.Equal(before) {
		t.Errorf("the alarm lasts since %v, and after a restart since %v; want the same", before, after)
	}

	report, err := client(n).VerifyLedger(t.Context())
	if err != nil || report.OK() {
		t.Fatalf("verify: %+v, %v; want that a knot is missing", report, err)
	}
	waitFor(t, "the alarm ends when that was seen", func() bool { rounds(); return alarm() == "" })
	mail(t, n, anna.Address) // makes a knot beside the one that had left
	rounds()
	again()
	rounds()
	if text := alarm(); text != "" {
		t.Errorf("after a restart: %s", text)
	}
	if report, err := client(n).VerifyLedger(t.Context()); err != nil || report.OK() {
		t.Errorf("verify once more: %+v, %v; want that it goes on to tell what is missing", report, err)
	}
}

// leaves has one more knot lie among those that were exported.
func leaves(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("exported knots: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(filepath.Dir(files[0]), "000000000009.json")
	if err := os.WriteFile(next, bytes.Clone(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/ledger"
	speak "doppelboden/say"
	"doppelboden/segment"
)

// openAlarms returns the texts of the stored alarms that are open, by kind.
func openAlarms(t *testing.T, n *Node) map[string]string {
	t.Helper()
	s, err := control.NewClient(n.opts.Node.Data, nil).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]string{}
	for _, a := range s.Alarms {
		open[a.Kind] = a.Text
	}
	return open
}

func TestAnAlarmIsStoredWhenAKeyIsGoneOrCanBeReadByOthersAndEndsByItself(t *testing.T) {
	n := start(t, install(t, "here"))
	w := newWatcher(n, func() time.Duration { return 0 })
	w.clockWas = n.clock()
	key := filepath.Join(n.opts.Node.Keys, masterFile)
	w.look(t.Context())
	if open := openAlarms(t, n); len(open) > 0 && open["key"] != "" {
		t.Fatalf("on a healthy node: %v", open)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	w.look(t.Context())
	if text := openAlarms(t, n)["key"]; !strings.Contains(text, "chmod 600 "+key) {
		t.Errorf("a key that others can read: alarm %q does not say what to do", text)
	}
	s, err := control.NewClient(n.opts.Node.Data, nil).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.Alarms {
		if text := speak.New("de").Alarm(a); a.Kind == "key" && (!strings.Contains(text, "können andere lesen") || !strings.Contains(text, "chmod 600 "+key)) {
			t.Errorf("in German the alarm of the stored key is %q", text)
		}
	}
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	w.look(t.Context())
	if text := openAlarms(t, n)["key"]; !strings.Contains(text, "is gone") {
		t.Errorf("a key that is gone: alarm %q", text)
	}
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	w.look(t.Context())
	if text, still := openAlarms(t, n)["key"]; still {
		t.Errorf("the alarm did not end: %q", text)
	}
}

func TestAJumpOfTheClockIsAnAlarmForAnHour(t *testing.T) {
	now, running := time.Now(), time.Duration(0)
	n := &Node{clock: func() time.Time { return now }}
	w := newWatcher(n, func() time.Duration { return running })
	look := func(ran, clock time.Duration) string {
		running, now = running+ran, now.Add(clock)
		wrong := alarms{}
		w.clock(wrong)
		return wrong[alarmKey{"clock", ""}].String()
	}
	if text := look(10*time.Second, 10*time.Second+400*time.Millisecond); text != "" {
		t.Errorf("a correction of 0.4 s: alarm %q", text)
	}
	if text := look(10*time.Second, -time.Hour); !strings.Contains(text, "jumped by -1h0m10s") {
		t.Errorf("an hour back: alarm %q", text)
	}
	if text := look(10*time.Minute, 10*time.Minute); text == "" {
		t.Errorf("ten minutes later nobody can see the alarm any more")
	}
	if text := look(time.Hour, time.Hour); text != "" {
		t.Errorf("after an hour the alarm is still there: %q", text)
	}
}

func TestDamageInASegmentAndADeadLedgerAreAlarms(t *testing.T) {
	n := start(t, install(t, "here"))
	if err := n.Stop(t.Context()); err != nil { // or its own watcher would look meanwhile
		t.Fatal(err)
	}
	n.damage = []segment.Damage{{Segment: "20261122/0001.seg", Offset: 17, Length: 100, What: "checksum"}}
	n.cellar.ledger.set(&doppelboden.Error{Code: doppelboden.Temporary, Public: "no room for a knot"})
	wrong := newWatcher(n, func() time.Duration { return 0 }).findings(t.Context())
	if text := wrong[alarmKey{"segment", "20261122/0001.seg"}].String(); !strings.Contains(text, "17 to 117") {
		t.Errorf("damage: %q does not name the place", text)
	}
	if text := wrong[alarmKey{"ledger", ""}].String(); !strings.Contains(text, "no room for a knot") {
		t.Errorf("ledger: %q does not name the cause", text)
	}
	n.cellar.ledger.set(ledger.ErrRolledBack)
	n.cellar.ledger.set(nil)
	wrong = newWatcher(n, func() time.Duration { return 0 }).findings(t.Context())
	if text := wrong[alarmKey{"ledger", "older"}].String(); !strings.Contains(text, "older") {
		t.Errorf("a later knot makes the roll-back of the database forgotten: %q", text)
	}
	if said, both := wrong[alarmKey{"ledger", ""}]; both {
		t.Errorf("knots are made, and yet: %s", said.String())
	}
}

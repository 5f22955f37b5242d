package app

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/segment"
	"doppelboden/tally"
)

// A machine whose clock has lost the date must not cut off what it acknowledged last.
func TestAClockThatIsYearsBehindAtTheStartForgetsNoAcknowledgement(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	n := &Node{opts: Options{Node: &city.Node{Data: t.TempDir()}}, log: slog.New(slog.DiscardHandler), clock: func() time.Time { return now }}
	doors, err := tally.OpenDoors(n.tallyDir(), n.clock)
	if err != nil {
		t.Fatal(err)
	}
	var ids doppelboden.IDs
	id := ids.New(now)
	doors.Intent(id, 1, now)
	doors.Sent(id, now)
	if err := doors.Close(); err != nil {
		t.Fatal(err)
	}
	for _, clock := range []time.Time{now.Add(time.Second), now.AddDate(-6, 0, 0), now.AddDate(6, 0, 0)} {
		n.clock = func() time.Time { return clock }
		if !(&lastWords{n: n}).whole(&doppelboden.Message{ID: id, Door: "mx"}) {
			t.Errorf("at %v a message that was acknowledged counts for nothing", clock)
		}
	}
}

// openKeys is a segment.Wrapper that hides nothing, and may be out of order.
type openKeys struct{ fail error }

func (openKeys) Wrap(_ doppelboden.TenantID, key *[32]byte) ([]byte, int, error) {
	return key[:], 1, nil
}

func (k *openKeys) Unwrap(_ doppelboden.TenantID, _ int, wrapped []byte) ([32]byte, error) {
	if k.fail != nil {
		return [32]byte{}, k.fail
	}
	return [32]byte(wrapped), nil
}

// What landed last and has no trace of an acknowledgement is left out only where that
// trace would have to be there, or where the body surely never came onto the disk.
func TestWhatCannotBeReadAtTheStartCutsOffNothingThatMayHaveBeenAcknowledged(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	var ids doppelboden.IDs
	for _, c := range []struct {
		name   string
		intent bool  // the doors' tally has one of the message
		tally  bool  // a record of it is damaged
		body   bool  // the body is damaged
		keys   error // of its key
		want   bool
	}{
		{name: "a whole message with an intent", intent: true, want: true},
		{name: "no intent in a whole tally", want: false},
		{name: "no intent in a tally that is damaged", tally: true, want: true},
		{name: "a body that is damaged", intent: true, body: true, want: false},
		{name: "no intent, damaged tally, damaged body", tally: true, body: true, want: false},
		{name: "a key that cannot be had now", intent: true, keys: errors.New("no key"), want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &Node{opts: Options{Node: &city.Node{Data: t.TempDir()}}, log: slog.New(slog.DiscardHandler), clock: func() time.Time { return now }, cellar: &cellar{}}
			keys := &openKeys{}
			dir := filepath.Join(n.opts.Node.Data, segmentsDir)
			var err error
			if n.bodies, _, err = segment.Open(segment.Options{Dir: dir, Keys: keys, Clock: n.clock}); err != nil {
				t.Fatal(err)
			}
			defer n.bodies.Close()
			m := &doppelboden.Message{ID: ids.New(now), Tenant: 1, Door: "mx"}
			if m.Body, err = n.bodies.Put(1, []byte("Subject: x\r\n\r\ny\r\n")); err != nil {
				t.Fatal(err)
			}
			if err := n.bodies.Sync(); err != nil {
				t.Fatal(err)
			}
			doors, err := tally.OpenDoors(n.tallyDir(), n.clock)
			if err != nil {
				t.Fatal(err)
			}
			doors.Intent(ids.New(now), 1, now)
			if c.intent {
				doors.Intent(m.ID, 1, now)
			}
			doors.Intent(ids.New(now), 1, now)
			if err := doors.Close(); err != nil {
				t.Fatal(err)
			}
			if c.tally {
				flip(t, filepath.Join(n.tallyDir(), "doors-*"), -1)
			}
			if c.body {
				flip(t, filepath.Join(dir, "*", "*"), m.Body.Offset+m.Body.Size)
			}
			keys.fail = c.keys
			if got := (&lastWords{n: n}).whole(m); got != c.want {
				t.Errorf("it may have been acknowledged: %v, want %v", got, c.want)
			}
		})
	}
}

// flip changes an octet of the only file with a name of this pattern; -1: in its middle.
func flip(t *testing.T, pattern string, at int64) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) != 1 {
		t.Fatalf("%s: %q, %v", pattern, names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at = int64(len(b)) / 2
	}
	b[at] ^= 0x55
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

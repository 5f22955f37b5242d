package app

import (
	"log/slog"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
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

package app

import (
	"context"
	"testing"
	"time"

	"doppelboden"
)

// A raising store keeps the last alarm that it was told of.
type raising struct {
	raised doppelboden.Alarm
	ended  time.Time
}

func (r *raising) Raise(_ context.Context, a doppelboden.Alarm) error { r.raised = a; return nil }

func (r *raising) Clear(_ context.Context, _, _ string, at time.Time) error { r.ended = at; return nil }

func TestAnAlarmThatEndedWhileNothingCouldBeStoredIsToldInEveryLanguage(t *testing.T) {
	began := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	said := doppelboden.Tell("The database does not answer: %s.", "refused")
	var u unsaved
	u.put(doppelboden.Alarm{Kind: "database", Text: said.String(), Said: said, Since: began})
	u.end(alarms{}, began.Add(time.Hour))
	var s raising
	if err := u.tell(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	if s.raised.Said.String() != said.String() || s.raised.Text != said.String() || !s.raised.Since.Equal(began) || !s.raised.Until.IsZero() || !s.ended.Equal(began.Add(time.Hour)) {
		t.Errorf("stored: %+v, ended %v; wanted what was said, from %v on, and its end an hour later", s.raised, s.ended, began)
	}
}

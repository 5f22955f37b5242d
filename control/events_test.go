package control

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/event"
)

func TestAnEventIsNamedByItsTenantWhereThereAreSeveral(t *testing.T) {
	w := newTown(t)
	plan := Maintenance{Scope: event.Scope{Routes: []string{"groupware"}}, To: w.now.Add(time.Hour), Why: "update"}
	if _, err := w.client.PlanMaintenance(t.Context(), plan); err == nil || err.Error() != "there are several tenants: say which one with --tenant" {
		t.Errorf("a maintenance of nobody: %v", err)
	}
	plan.Tenant = "b"
	if _, err := w.client.PlanMaintenance(t.Context(), plan); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("a maintenance of a route that the tenant has not: %v", err)
	}
	plan.Tenant = "a"
	s, err := w.client.PlanMaintenance(t.Context(), plan)
	if err != nil || s.Number != 1 || s.State != event.Running {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := w.client.Event(t.Context(), EventRef{Tenant: "b", Number: 1}); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("another tenant's event: %v, want not found", err)
	}
	if err := w.client.NoteEvent(t.Context(), EventWord{EventRef: EventRef{Tenant: "a", Number: 1}, Text: "two\nlines"}); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("a note of two lines: %v, want invalid", err)
	}
	if err := w.client.NoteEvent(t.Context(), EventWord{EventRef: EventRef{Tenant: "a", Number: 1}, Text: "one line"}); err != nil {
		t.Error(err)
	}
	status, err := w.client.Status(t.Context())
	if err != nil || len(status.Events) != 1 || status.Events[0].Why != "update" {
		t.Errorf("status tells of %+v, %v", status.Events, err)
	}
	if s, err = w.client.CloseEvent(t.Context(), EventWord{EventRef: EventRef{Tenant: "a", Number: 1}}); err != nil || s.State != event.Closed || s.ClosedBy == "" {
		t.Errorf("%+v, %v", s, err)
	}
	got, err := w.client.Event(t.Context(), EventRef{Tenant: "a", Number: 1})
	if err != nil || len(got.Steps) != 4 || got.Steps[2].Note != "one line" || got.Steps[2].By == "" {
		t.Errorf("story %+v, %v", got, err)
	}
	n := 0
	if err := w.client.Events(t.Context(), "b", func(event.Summary) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("tenant b has %d events, %v", n, err)
	}
}

func TestABalanceOfAnEventIsThatOfItsTime(t *testing.T) {
	w := newTown(t)
	plan := Maintenance{Tenant: "a", Scope: event.Scope{Routes: []string{"groupware"}}, To: w.now.Add(time.Hour)}
	if _, err := w.client.PlanMaintenance(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.EventBalance(t.Context(), EventRef{Tenant: "a", Number: 1}); err != nil {
		t.Fatal(err)
	}
	if !w.period[0].Equal(w.now) || !w.period[1].Equal(w.now) {
		t.Errorf("the period is %v to %v, want from the event's minute until now", w.period[0], w.period[1])
	}
	if _, err := w.client.EventBalance(t.Context(), EventRef{Tenant: "a", Number: 2}); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("of an event that does not exist: %v", err)
	}
}

package control

import (
	"context"
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
)

// A replaying is what answers in tests: it tells what it was asked.
type replaying struct {
	asked   mailbox.Replay
	stopped bool
}

func (r *replaying) Replay(_ context.Context, want mailbox.Replay, progress func(int64)) (mailbox.Report, error) {
	progress(7)
	r.asked = want
	if want.From.IsZero() {
		return mailbox.Report{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "a replay needs a period: from when, and until when"}
	}
	return mailbox.Report{Deliveries: 5, There: 3, Replayed: 2, By: want.By}, nil
}

func (r *replaying) Reports() []mailbox.Report { return []mailbox.Report{{Replayed: 1}, {Replayed: 2}} }
func (r *replaying) Stop()                     { r.stopped = true }
func (r *replaying) Reading() []mailbox.RouteStatus {
	return []mailbox.RouteStatus{{Route: "a/groupware", Reads: true, Evidence: mailbox.Evidence{Looked: 9}}}
}

func TestAReplayIsAskedOfTheNodeAndNamesAreLookedUp(t *testing.T) {
	w := newTown(t)
	r := &w.replays
	tenant, ok := w.Directory().TenantNamed("a")
	if !ok {
		t.Fatal("there is no such tenant")
	}
	from := time.Date(2026, 7, 13, 8, 0, 0, 0, time.UTC)
	got, err := w.client.Replay(t.Context(), ReplayWish{From: from, To: from.Add(time.Hour), Tenant: "a", Route: "groupware",
		Preview: true, Deleted: true, Blind: true, Yes: 4})
	if err != nil || got.Deliveries != 5 || got.There != 3 || got.Replayed != 2 || got.By == "" {
		t.Errorf("report %+v, %v", got, err)
	}
	want := mailbox.Replay{From: from, To: from.Add(time.Hour), Tenant: tenant, Route: "a/groupware",
		By: got.By, Preview: true, Removed: true, Blind: true, Yes: 4}
	if r.asked != want {
		t.Errorf("asked for %+v, want %+v", r.asked, want)
	}
	if len(w.progress) != 1 || w.progress[0] != (Progress{Step: "mailboxes", Done: 7}) {
		t.Errorf("progress: %v, want 7 mailboxes", w.progress)
	}
	for name, wish := range map[string]ReplayWish{
		"no period":         {},
		"an unknown tenant": {From: from, To: from, Tenant: "nirgends"},
		"an unknown route":  {From: from, To: from, Route: "nirgends"},
		"no address":        {From: from, To: from, Mailbox: "nirgends"},
		"nobody's address":  {From: from, To: from, Mailbox: "nobody@nirgends.example"},
	} {
		if _, err := w.client.Replay(t.Context(), wish); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var replayed []int64
	if err := w.client.Replays(t.Context(), func(r mailbox.Report) error { replayed = append(replayed, r.Replayed); return nil }); err != nil || !slices.Equal(replayed, []int64{1, 2}) {
		t.Errorf("replays %v: %v", replayed, err)
	}
	if err := w.client.StopReplay(t.Context()); err != nil || !r.stopped {
		t.Errorf("stop: %v, stopped %v", err, r.stopped)
	}
	reads := map[string]bool{}
	if err := w.client.Reading(t.Context(), func(s mailbox.RouteStatus) error { reads[s.Route] = s.Reads; return nil }); err != nil || !reads["a/groupware"] {
		t.Errorf("reading %v: %v", reads, err)
	}
}

func TestANodeThatHandsNothingOverReplaysNothing(t *testing.T) {
	if _, err := new(Desk).replays(); doppelboden.CodeOf(err) != doppelboden.Invalid || err == nil {
		t.Errorf("replays of a node without a queue: %v", err)
	}
}

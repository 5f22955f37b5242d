package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testEvents(t *testing.T, open Open) {
	t.Run("an event is kept with its story", func(t *testing.T) { eventStory(t, open) })
	t.Run("events of tenants have numbers of their own", func(t *testing.T) { eventNumbers(t, open) })
	t.Run("an event of 20,000 mailboxes comes back whole", func(t *testing.T) { eventOfMany(t, open) })
	t.Run("who was replaced writes no events", func(t *testing.T) { eventFenced(t, open) })
}

func eventStory(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func() store.EventChange {
		t.Helper()
		got, err := w.s.Event(ctx, w.tenants[0].ID, 1)
		w.must(err)
		return got
	}
	_, err := w.s.Event(ctx, w.tenants[0].ID, 1)
	isCode(t, "an event of a fresh store", err, doppelboden.NotFound)
	c := store.EventChange{
		Event: store.Event{Tenant: w.tenants[0].ID, Number: 1, Kind: store.Outage, Route: "groupware", Since: cut(day), Concerned: 2, Most: 2},
		Steps: []store.EventStep{{N: 1, What: "opened", At: cut(day), Note: hostile, Joined: []doppelboden.MailboxID{w.boxes[0].ID, w.boxes[1].ID}}},
		Replies: []store.EventReply{
			{Text: "451 " + hostile, Count: 7, First: cut(day), Last: cut(day.Add(time.Minute))},
			{Text: "421 a", Count: 2, First: cut(day), Last: cut(day)},
			{Text: "421 A", Count: 2, First: cut(day), Last: cut(day)}, // another text, before "a" in the order of bytes
		},
	}
	w.must(w.s.PutEvent(ctx, w.lease, c))
	w.must(w.s.PutEvent(ctx, w.lease, c))
	sorted := c
	sorted.Replies = []store.EventReply{c.Replies[0], c.Replies[2], c.Replies[1]}
	same(t, "the event put twice", read(), sorted)

	// More steps, of which the first is known and says something else; the event changed.
	next := store.EventChange{Event: c.Event, Replies: []store.EventReply{{Text: "421 a", Count: 900, First: cut(day), Last: cut(day.Add(time.Hour))}}}
	next.Event.Whole, next.Event.Minor, next.Event.Concerned, next.Event.Until, next.Event.ClosedBy = true, true, 1, cut(day.Add(time.Hour)), "anna"
	next.Steps = []store.EventStep{{N: 1, What: "closed", At: cut(day)},
		{N: 2, What: "shrank", At: cut(day.Add(time.Second)), Left: []doppelboden.MailboxID{w.boxes[1].ID}},
		{N: 3, What: "closed", By: "anna", At: cut(day.Add(time.Hour))}}
	w.must(w.s.PutEvent(ctx, w.lease, next))
	w.restart()
	want := store.EventChange{Event: next.Event, Steps: []store.EventStep{c.Steps[0], next.Steps[1], next.Steps[2]},
		Replies: []store.EventReply{next.Replies[0], c.Replies[0], c.Replies[2]}}
	same(t, "the event after more steps and a restart", read(), want)
	isCode(t, "an event without a kind", w.s.PutEvent(ctx, w.lease, store.EventChange{Event: store.Event{Tenant: 1, Number: 2, Since: day}}), doppelboden.Invalid)
}

func eventNumbers(t *testing.T, open Open) {
	w := newWorld(t, open)
	maintenance := store.Event{Tenant: w.tenants[1].ID, Number: 1, Kind: store.Maintenance, Since: cut(day),
		Starts: cut(day.Add(time.Hour)), Ends: cut(day.Add(2 * time.Hour)), Why: hostile,
		Scope: store.EventScope{Routes: []string{"groupware"}, Departments: []string{"Bauamt, Tiefbau", "\"Grün\" \\n"}, Buildings: []string{"Rathaus"},
			Mailboxes: []doppelboden.MailboxID{w.boxes[2].ID}}}
	var want []store.Event
	for n := range int64(12) { // more than nine: numbers are not ordered as texts
		e := store.Event{Tenant: w.tenants[0].ID, Number: n + 1, Kind: store.Outage, Route: "groupware", Since: cut(day)}
		if n == 3 {
			e.Kind, e.Route, e.Why = store.Attack, "", hostile
		}
		w.must(w.s.PutEvent(ctx, w.lease, store.EventChange{Event: e}))
		want = append(want, e)
	}
	w.must(w.s.PutEvent(ctx, w.lease, store.EventChange{Event: maintenance}))
	of := func(id doppelboden.TenantID) []store.Event {
		return gather(t, func(y func(store.Event) error) error { return w.s.Events(ctx, id, y) })
	}
	same(t, "events of the first tenant", of(w.tenants[0].ID), want)
	same(t, "events of the second tenant", of(w.tenants[1].ID), []store.Event{maintenance})
	same(t, "events of all", of(0), append(want, maintenance))
}

func eventOfMany(t *testing.T, open Open) {
	w := newWorld(t, open)
	var ids []doppelboden.MailboxID
	for i := range 20_000 {
		ids = append(ids, doppelboden.MailboxID(3*i+1<<33))
	}
	mixed := slices.Clone(ids)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	e := store.Event{Tenant: w.tenants[0].ID, Number: 1, Kind: store.Outage, Since: cut(day)}
	w.must(w.s.PutEvent(ctx, w.lease, store.EventChange{Event: e, Steps: []store.EventStep{{N: 1, What: "opened", At: cut(day), Joined: mixed, Left: mixed[:1]}}}))
	got, err := w.s.Event(ctx, w.tenants[0].ID, 1)
	w.must(err)
	if len(got.Steps) != 1 || !slices.Equal(got.Steps[0].Joined, ids) || !slices.Equal(got.Steps[0].Left, mixed[:1]) {
		t.Error("20,000 mailboxes came back differently")
	}
}

func eventFenced(t *testing.T, open Open) {
	w := newWorld(t, open)
	old := w.lease
	var err error
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	e := store.Event{Tenant: w.tenants[0].ID, Number: 1, Kind: store.Outage, Since: cut(day)}
	isCode(t, "an event of a run that was replaced", w.s.PutEvent(ctx, old, store.EventChange{Event: e}), doppelboden.Fenced)
	if all := fmt.Sprint(gather(t, func(y func(store.Event) error) error { return w.s.Events(ctx, 0, y) })); all != "[]" {
		t.Errorf("it was written all the same: %s", all)
	}
}

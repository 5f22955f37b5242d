package storetest

import (
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testHandbacks(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, other := w.boxes[0], w.boxes[2]
	read := func(m doppelboden.Mailbox) store.Handback {
		t.Helper()
		h, err := w.s.HandbackOf(ctx, m.ID)
		w.must(err)
		return h
	}
	_, err := w.s.HandbackOf(ctx, anna.ID)
	isCode(t, "HandbackOf a mailbox that never had one", err, doppelboden.NotFound)

	// A draft was made here, and a mail that came was read.
	draft, came := w.message(anna), w.accept(anna)
	draft.Door, draft.Recipients, draft.Deliveries = "mailbox", 0, nil
	draft.Copies[0].Folder, draft.Copies[0].New = "Entwürfe", true
	w.acceptThis(draft)
	deeds := func() []store.Deed {
		t.Helper()
		return gather(t, func(y func(store.Deed) error) error {
			return w.s.Deeds(ctx, store.DeedFilter{Tenant: anna.Tenant, Mailbox: anna.ID}, y)
		})
	}
	place := store.Place{Tenant: anna.Tenant, Mailbox: anna.ID, Folder: 1}
	_, err = w.s.Look(ctx, place)
	w.must(err)
	_, err = w.s.Change(ctx, []store.Change{{Place: place, Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen, Deed: true, At: w.tick()}})
	w.must(err)
	list := deeds()
	if len(list) != 2 {
		t.Fatalf("deeds %+v, wanted the draft and the read mark", list)
	}
	hostile := strings.ToValidUTF8(hostile, "?")
	h := store.Handback{Tenant: anna.Tenant, Mailbox: anna.ID, At: cut(w.tick()), HandbackState: store.HandbackState{Event: 7, Since: cut(day), Told: 6, Route: hostile,
		Doing:  []store.HandbackDoing{{Number: list[0].Number, Message: draft.ID, Date: cut(day), Size: 3, Tried: []*store.Spot{nil, {Folder: hostile, Use: store.UseTrash, Flags: doppelboden.Label5}}}},
		Note:   &store.HandbackNote{Folder: hostile, Validity: 1<<32 - 1, Next: 1<<32 - 1, Numbers: []int64{1<<63 - 1}},
		Letter: &store.HandbackLetter{ID: came.ID, Final: true, Covers: []store.Returned{{Number: 1, Change: 2, Is: &store.Spot{Folder: hostile}}, {Number: 2}}},
		Done:   store.HandbackCounts{Sent: 1, Put: 2, Flagged: 3, Moved: 4, Binned: 5, Brought: 6, Listed: 7},
		Left:   []store.HandbackLeft{{Message: came.ID, Why: "gone", At: cut(day)}}, More: 9}}
	h.Since, h.Left[0].At, h.Doing[0].Date = h.Since.UTC(), h.Left[0].At.UTC(), h.Doing[0].Date.UTC()
	for range 2 {
		w.must(w.s.PutHandback(ctx, w.lease, h, nil))
	}
	w.restart()
	same(t, "the handback after a restart", read(anna), h)
	same(t, "deeds while nothing went back", len(deeds()), 2)

	second := store.Handback{Tenant: other.Tenant, Mailbox: other.ID, At: cut(w.tick())}
	w.must(w.s.PutHandback(ctx, w.lease, second, nil))
	all := func(tenant doppelboden.TenantID) []store.Handback {
		t.Helper()
		return gather(t, func(y func(store.Handback) error) error { return w.s.Handbacks(ctx, tenant, y) })
	}
	same(t, "all of them", all(0), []store.Handback{h, second})
	same(t, "those of a tenant", all(other.Tenant), []store.Handback{second})

	old := w.lease
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	h.Doing, h.Note, h.Letter, h.Left = nil, nil, nil, nil
	back := []store.Returned{{Number: list[0].Number, Change: list[0].Change, Is: list[0].Is}, {Number: 1 << 60}}
	isCode(t, "PutHandback of a run that was replaced", w.s.PutHandback(ctx, old, h, back), doppelboden.Fenced)
	same(t, "deeds after a fenced one", len(deeds()), 2)
	for range 2 {
		w.must(w.s.PutHandback(ctx, w.lease, h, back))
	}
	same(t, "the handback with what went back", read(anna), h)
	same(t, "what is left to go back", deeds(), list[1:])
	testCame(t, w)
}

// testCame counts what came for a mailbox.
func testCame(t *testing.T, w *world) {
	anna, buero := w.boxes[0], w.boxes[1]
	from := w.tick()
	first := w.accept(anna, buero)
	w.accept(anna)
	w.accept(buero)
	last := w.accept(anna)
	count := func(m doppelboden.Mailbox, from, to time.Time) int64 {
		t.Helper()
		n, err := w.s.Came(ctx, m.Tenant, m.ID, from, to)
		w.must(err)
		return n
	}
	same(t, "all that came", count(anna, from, w.tick()), int64(3))
	same(t, "for another mailbox", count(buero, from, w.tick()), int64(2))
	same(t, "before the last", count(anna, first.Received, last.Received), int64(2))
	same(t, "after the last", count(anna, last.Received.Add(time.Hour), last.Received.Add(2*time.Hour)), int64(0))
	same(t, "for another tenant", count(doppelboden.Mailbox{ID: anna.ID, Tenant: w.boxes[2].Tenant}, from, w.tick()), int64(0))
}

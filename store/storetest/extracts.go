package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// extractsOf reads extracts, by message.
func (w *world) extractsOf(t doppelboden.TenantID, take store.Take, ids ...doppelboden.ID) map[doppelboden.ID]store.Extracted {
	w.t.Helper()
	all := map[doppelboden.ID]store.Extracted{}
	w.must(w.s.Extracts(ctx, t, ids, take, func(e store.Extracted) error {
		if _, twice := all[e.Message]; twice {
			w.t.Errorf("the extract of %s came twice", e.Message)
		}
		all[e.Message] = e
		return nil
	}))
	return all
}

// missing walks through all messages in steps and returns those without an extract.
func (w *world) missing(format, step int) (ids []doppelboden.ID) {
	w.t.Helper()
	for after := int64(0); ; {
		list, next, err := w.s.Unextracted(ctx, format, after, step)
		w.must(err)
		if len(list) > step {
			w.t.Fatalf("Unextracted of %d returned %d", step, len(list))
		}
		if ids = append(ids, list...); next == after {
			return ids
		}
		after = next
	}
}

func testExtracts(t *testing.T, open Open) {
	w := newWorld(t, open)
	one, other := w.boxes[0], w.boxes[2]
	if one.Tenant == other.Tenant {
		t.Fatal("wanted mailboxes of two tenants")
	}
	a, b, foreign := w.accept(one), w.accept(one, w.boxes[1]), w.accept(other)
	w.outward(w.put(w.toDomain(0, "one.example"))) // lies in no mailbox

	same(t, "what has no extract", w.missing(1, 1), []doppelboden.ID{a.ID, b.ID, foreign.ID})
	same(t, "an extract that is not there", w.extractsOf(one.Tenant, store.TakeText, a.ID)[a.ID],
		store.Extracted{Message: a.ID, KeyVersion: a.Body.KeyVersion, Key: a.Body.Key})

	first := store.Extract{Message: a.ID, Format: 1, Summary: []byte{0, 1, 255}, Text: bytes.Repeat([]byte{7, 0}, 200_000)}
	gone := store.Extract{Message: doppelboden.ID{9, 9}, Format: 1, Summary: []byte{1}, Text: []byte{1}}
	for range 2 {
		w.must(w.s.PutExtracts(ctx, []store.Extract{first, gone, {Message: foreign.ID, Format: 1, Summary: []byte{2}, Text: []byte{3}}}))
	}
	w.must(w.s.PutExtracts(ctx, nil))
	w.restart()
	same(t, "what has no extract now", w.missing(1, 2), []doppelboden.ID{b.ID})
	same(t, "what has none of the next format", w.missing(2, 100), []doppelboden.ID{a.ID, b.ID, foreign.ID})

	want := store.Extracted{Message: a.ID, KeyVersion: a.Body.KeyVersion, Key: a.Body.Key, Format: 1}
	for take, want := range map[store.Take]store.Extracted{
		0:                                  want,
		store.TakeSummary:                  {Message: a.ID, KeyVersion: want.KeyVersion, Key: want.Key, Format: 1, Summary: first.Summary},
		store.TakeText:                     {Message: a.ID, KeyVersion: want.KeyVersion, Key: want.Key, Format: 1, Text: first.Text},
		store.TakeSummary | store.TakeText: {Message: a.ID, KeyVersion: want.KeyVersion, Key: want.Key, Format: 1, Summary: first.Summary, Text: first.Text},
	} {
		got := w.extractsOf(one.Tenant, take, a.ID, foreign.ID, gone.Message)
		if len(got) != 1 {
			t.Errorf("take %d: got %d extracts, wanted that of the tenant's own message alone", take, len(got))
		}
		same(t, fmt.Sprintf("take %d", take), got[a.ID], want)
	}

	first.Format, first.Text = 2, []byte("new")
	w.must(w.s.PutExtracts(ctx, []store.Extract{first}))
	if got := w.extractsOf(one.Tenant, store.TakeText, a.ID)[a.ID]; got.Format != 2 || string(got.Text) != "new" {
		t.Errorf("the extract that was replaced is %+v", got)
	}
}

// testTextsOf reads what is needed to read messages, more than one read gives.
func testTextsOf(t *testing.T, open Open) {
	w := newWorld(t, open)
	foreign := w.accept(w.boxes[2])
	ids, want := []doppelboden.ID{foreign.ID, {9, 9}}, map[doppelboden.ID]doppelboden.Message{}
	for range 300 {
		m := w.accept(w.boxes[0], w.boxes[1])
		ids = append(ids, m.ID)
		want[m.ID] = doppelboden.Message{ID: m.ID, Tenant: m.Tenant, Scan: m.Scan, Prefix: m.Prefix, Body: m.Body}
	}
	got := map[doppelboden.ID]doppelboden.Message{}
	w.must(w.s.TextsOf(ctx, w.boxes[0].Tenant, ids, func(m *doppelboden.Message) error {
		if _, twice := got[m.ID]; twice {
			t.Errorf("%s came twice", m.ID)
		}
		got[m.ID] = *m
		return nil
	}))
	same(t, "what is needed to read the tenant's own messages", got, want)

	stop := errors.New("stop")
	if err := w.s.TextsOf(ctx, w.boxes[0].Tenant, ids, func(*doppelboden.Message) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of yield: got %v", err)
	}
}

// testExtractsOfMany asks for more than one read gives.
func testExtractsOfMany(t *testing.T, open Open) {
	w := newWorld(t, open)
	var ids []doppelboden.ID
	var list []store.Extract
	for range 600 {
		m := w.accept(w.boxes[0])
		ids = append(ids, m.ID)
		list = append(list, store.Extract{Message: m.ID, Format: 1, Summary: m.ID[:], Text: m.ID[:]})
	}
	slices.Reverse(list)
	w.must(w.s.PutExtracts(ctx, list))
	got := w.extractsOf(w.boxes[0].Tenant, store.TakeSummary, ids...)
	if len(got) != len(ids) {
		t.Fatalf("got %d extracts, wanted %d", len(got), len(ids))
	}
	for id, e := range got {
		if !bytes.Equal(e.Summary, id[:]) {
			t.Fatalf("the extract of %s is that of %x", id, e.Summary)
		}
	}
}

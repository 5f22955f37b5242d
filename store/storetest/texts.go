package storetest

import (
	"context"
	"slices"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// textsOfAFolder reads what is needed to read the mails of a folder.
func textsOfAFolder(t *testing.T, open Open) {
	w := newWorld(t, open)
	a, _, c := w.accept(w.boxes[0]), w.accept(w.boxes[1]), w.accept(w.boxes[0])
	at := store.Place{Tenant: w.boxes[0].Tenant, Mailbox: w.boxes[0].ID, Folder: 1}
	texts := func(at store.Place, from, to uint32) (uids []uint32, list []*doppelboden.Message) {
		t.Helper()
		w.must(w.s.Texts(context.Background(), at, from, to, func(uid uint32, m *doppelboden.Message) error {
			uids, list = append(uids, uid), append(list, m)
			return nil
		}))
		return uids, list
	}
	if uids, _ := texts(at, 1, 9); len(uids) != 0 {
		t.Errorf("before anybody has looked: UIDs %v, want none", uids)
	}
	_, err := w.s.Look(context.Background(), at)
	w.must(err)
	uids, list := texts(at, 1, 9)
	if !slices.Equal(uids, []uint32{1, 2}) {
		t.Fatalf("UIDs %v, want 1 and 2", uids)
	}
	for i, want := range []*doppelboden.Message{a, c} {
		full, err := w.s.Message(context.Background(), want.ID)
		w.must(err)
		got := list[i]
		if got.ID != want.ID || got.Tenant != want.Tenant || got.Scan != full.Scan || string(got.Prefix) != string(full.Prefix) ||
			got.Body.Segment != full.Body.Segment || got.Body.Offset != full.Body.Offset || got.Body.Sum != full.Body.Sum || string(got.Body.Key) != string(full.Body.Key) {
			t.Errorf("text %d: %+v, want what the message has: %+v", i+1, got, full)
		}
	}
	if uids, _ := texts(at, 2, 2); !slices.Equal(uids, []uint32{2}) {
		t.Errorf("from 2 to 2: UIDs %v", uids)
	}
	at.Tenant = w.tenants[1].ID
	if uids, _ := texts(at, 1, 9); len(uids) != 0 {
		t.Errorf("another tenant reads UIDs %v", uids)
	}
}

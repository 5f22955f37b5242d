package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testKeys(t *testing.T, open Open) {
	t.Run("keys are kept and their wrapping replaced", func(t *testing.T) { tenantKeys(t, open) })
	t.Run("bodies are wrapped again and the old key goes", func(t *testing.T) { rewrap(t, open) })
}

func tenantKeys(t *testing.T, open Open) {
	w := newWorld(t, open)
	a, b := w.tenants[0].ID, w.tenants[1].ID
	keys := []store.TenantKey{
		{Tenant: a, Version: 1, MasterVersion: 1, Wrapped: []byte{0, 1, 255}, At: cut(day)},
		{Tenant: a, Version: 2, MasterVersion: 1, Wrapped: []byte{2}, At: cut(day.Add(time.Hour))},
		{Tenant: a, Version: 10, MasterVersion: 1, Wrapped: []byte{10}},
		{Tenant: b, Version: 1, MasterVersion: 1, Wrapped: []byte{3}, At: cut(day)},
	}
	for _, i := range []int{3, 2, 0, 1, 0} {
		w.must(w.s.PutTenantKey(ctx, keys[i]))
	}
	keys[0].Wrapped, keys[0].MasterVersion = []byte{9, 9}, 2
	w.must(w.s.PutTenantKey(ctx, keys[0]))
	w.restart()
	got, err := w.s.TenantKeys(ctx)
	w.must(err)
	same(t, "keys", got, keys)
	w.must(w.s.DeleteTenantKey(ctx, a, 2))
	w.must(w.s.DeleteTenantKey(ctx, a, 2))
	got, err = w.s.TenantKeys(ctx)
	w.must(err)
	same(t, "keys after one was deleted", got, []store.TenantKey{keys[0], keys[2], keys[3]})
	isCode(t, "a key without bytes", w.s.PutTenantKey(ctx, store.TenantKey{Tenant: a, Version: 3}), doppelboden.Invalid)
}

func rewrap(t *testing.T, open Open) {
	w := newWorld(t, open)
	a := w.tenants[0].ID
	for _, tenant := range w.tenants {
		for v := 1; v <= 2; v++ {
			w.must(w.s.PutTenantKey(ctx, store.TenantKey{Tenant: tenant.ID, Version: v, MasterVersion: 1, Wrapped: []byte{1}}))
		}
	}
	want := map[doppelboden.ID]doppelboden.Body{}
	for i := range 10 {
		m := w.message(w.boxes[i%3])
		m.Body.KeyVersion = 1 + i/9
		w.acceptThis(m)
		if m.Tenant == a && m.Body.KeyVersion == 1 {
			want[m.ID] = m.Body
		}
	}
	isCode(t, "deleting a key that wraps bodies", w.s.DeleteTenantKey(ctx, a, 1), doppelboden.Invalid)
	for len(want) > 0 {
		some, err := w.s.Bodies(ctx, a, 1, 4)
		w.must(err)
		if len(some) == 0 || len(some) > 4 {
			t.Fatalf("Bodies gave %d, wanted 1 to 4; %d are left", len(some), len(want))
		}
		for i := range some {
			same(t, "body", some[i].Body, want[some[i].Message])
			delete(want, some[i].Message)
			some[i].Body = doppelboden.Body{Segment: "2026-03-15", Offset: 5, Size: 6, Key: []byte{7}, KeyVersion: 2, Sum: [32]byte{8}}
		}
		stranger := store.BodyOf{Tenant: a, Message: w.ids.New(day), Body: some[0].Body}
		wrongTenant := store.BodyOf{Tenant: w.tenants[1].ID, Message: some[0].Message, Body: doppelboden.Body{Segment: "x", KeyVersion: 1}}
		w.must(w.s.Rewrap(ctx, append(some, stranger, wrongTenant)))
		same(t, "body after Rewrap", w.get(some[0].Message).Body, some[0].Body)
	}
	w.must(w.s.DeleteTenantKey(ctx, a, 1))
	rest, err := w.s.Bodies(ctx, w.tenants[1].ID, 1, 100)
	w.must(err)
	if len(rest) != 3 {
		t.Errorf("%d bodies of the other tenant under its version 1, wanted 3", len(rest))
	}
}

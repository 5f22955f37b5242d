package storetest

import (
	"testing"
	"time"

	"doppelboden/store"
)

func testSlips(t *testing.T, open Open) {
	w := newWorld(t, open)
	all := func(f store.SlipFilter) []store.Slip {
		t.Helper()
		return gather(t, func(y func(store.Slip) error) error { return w.s.Slips(ctx, f, y) })
	}
	slip := func(box int, kind, key string) store.Slip {
		b := w.boxes[box]
		return store.Slip{Tenant: b.Tenant, Mailbox: b.ID, Kind: kind, Key: key, Value: []byte{0, 0xff, 1}, Wrapped: []byte{0}, KeyVersion: 2, At: cut(w.tick())}
	}
	same(t, "slips of a new store", len(all(store.SlipFilter{})), 0)
	a, b, c := slip(0, "signature", ""), slip(0, "taken", hostile), slip(1, "taken", "x")
	b.Until, c.Until = cut(w.tick()), cut(w.tick())
	for _, s := range []store.Slip{c, b, a} {
		w.must(w.s.PutSlip(ctx, s))
	}
	w.restart()
	same(t, "all slips", all(store.SlipFilter{}), []store.Slip{a, b, c})
	same(t, "those of a mailbox", all(store.SlipFilter{Mailbox: b.Mailbox}), []store.Slip{a, b})
	same(t, "those of a kind", all(store.SlipFilter{Kind: "taken"}), []store.Slip{b, c})
	same(t, "those of a mailbox and a kind", all(store.SlipFilter{Tenant: a.Tenant, Mailbox: a.Mailbox, Kind: "signature"}), []store.Slip{a})
	same(t, "those of another tenant", len(all(store.SlipFilter{Tenant: w.tenants[1].ID, Mailbox: a.Mailbox})), 0)
	a.Value, a.KeyVersion, a.At = []byte("other"), 3, cut(w.tick())
	w.must(w.s.PutSlip(ctx, a))
	same(t, "one that was written again", all(store.SlipFilter{Kind: "signature"}), []store.Slip{a})
	drop := func(before time.Time, limit int) int {
		t.Helper()
		n, err := w.s.DropSlips(ctx, before, limit)
		w.must(err)
		return n
	}
	same(t, "removed before any ended", drop(b.Until, 10), 0)
	same(t, "removed with a limit", drop(w.tick(), 1), 1)
	same(t, "left", all(store.SlipFilter{}), []store.Slip{a, c})
	w.must(w.s.DropSlip(ctx, w.tenants[1].ID, a.Mailbox, "signature", ""))
	w.must(w.s.DropSlip(ctx, a.Tenant, a.Mailbox, "signature", "none"))
	same(t, "after removing what is not there", len(all(store.SlipFilter{})), 2)
	w.must(w.s.DropSlip(ctx, a.Tenant, a.Mailbox, "signature", ""))
	same(t, "after removing one", all(store.SlipFilter{}), []store.Slip{c})
	same(t, "the rest", drop(w.tick().Add(time.Hour), 10), 1)
	same(t, "nothing is left", len(all(store.SlipFilter{})), 0)

	claim := func(s store.Slip) bool {
		t.Helper()
		claimed, err := w.s.ClaimSlip(ctx, s)
		w.must(err)
		return claimed
	}
	first := slip(0, "answered", "a")
	first.Until = cut(first.At.Add(time.Hour))
	again := first
	again.At, again.Until, again.Value = cut(first.At.Add(59*time.Minute)), cut(first.At.Add(9*time.Hour)), []byte("again")
	same(t, "a claim", claim(first), true)
	w.restart()
	same(t, "the same while the first lasts", claim(again), false)
	same(t, "what is there", all(store.SlipFilter{}), []store.Slip{first})
	other := slip(1, "answered", "a")
	same(t, "in another mailbox", claim(other), true)
	other.At = cut(other.At.Add(1000 * time.Hour))
	same(t, "where one never ends", claim(other), false)
	again.At = cut(first.At.Add(61 * time.Minute))
	same(t, "when the first has ended", claim(again), true)
	same(t, "what is there then", all(store.SlipFilter{Mailbox: again.Mailbox}), []store.Slip{again})

	// Of many at the same time one has it.
	one := slip(0, "answered", "race")
	one.Until = cut(one.At.Add(time.Hour))
	won := make(chan bool)
	for range 8 {
		go func() {
			claimed, err := w.s.ClaimSlip(ctx, one)
			won <- claimed && err == nil
		}()
	}
	n := 0
	for range 8 {
		if <-won {
			n++
		}
	}
	same(t, "who has it of eight", n, 1)
}

package storetest

import (
	"testing"
	"time"

	"doppelboden"
)

func testLedger(t *testing.T, open Open) {
	t.Run("notes become entries", func(t *testing.T) { notes(t, open) })
	t.Run("chains are whole and each has a head", func(t *testing.T) { chains(t, open) })
	t.Run("links come from a time on", func(t *testing.T) { linksFrom(t, open) })
	t.Run("knots follow each other", func(t *testing.T) { knots(t, open) })
}

func notes(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := []doppelboden.Entry{
		{Kind: doppelboden.EntryConfig, At: cut(day), Note: "version 2 " + "Ü"},
		{Kind: doppelboden.EntryRead, At: cut(day), Tenant: w.tenants[0].ID, Message: w.ids.New(day), N: 2, By: "anna", Note: "with bert"},
	}
	w.must(w.s.Note(ctx, want...))
	w.must(w.s.Note(ctx))
	same(t, "entries", w.entries(), want)
}

func chains(t *testing.T, open Open) {
	w := newWorld(t, open)
	// Their order is that of bytes, whatever a language thinks of it.
	for _, name := range []string{"node/b", "node/B", "node/ä", "node/a", "node/10", "node/9"} {
		w.must(w.s.Close())
		w.chain = newChain(name)
		w.start()
		for range 3 {
			w.accept(w.boxes[0])
		}
	}
	w.entries()
	heads, err := w.s.ChainHeads(ctx)
	w.must(err)
	var names []string
	for _, h := range heads {
		names = append(names, h.Chain)
		if h.Number != 3 {
			t.Errorf("head of %s is link %d, wanted 3", h.Chain, h.Number)
		}
		if h.Chain == w.chain.head.Chain && h.Hash != w.chain.head.Hash {
			t.Errorf("the head of %s is not the last link", h.Chain)
		}
	}
	same(t, "chains", names, []string{"node/10", "node/9", "node/B", "node/a", "node/b", "node/ä"})
}

func linksFrom(t *testing.T, open Open) {
	w := newWorld(t, open)
	var at []time.Time
	for range 600 {
		w.accept(w.boxes[0])
		at = append(at, cut(w.clock()))
	}
	for _, from := range []time.Time{{}, at[0], at[300], at[300].Add(time.Microsecond), at[599], at[599].Add(time.Second)} {
		want := 0
		for _, a := range at {
			if !a.Before(from) {
				want++
			}
		}
		got := gather(t, func(y func(doppelboden.Link) error) error { return w.s.Links(ctx, from, y) })
		if len(got) != want {
			t.Errorf("%d links from %v on, wanted %d", len(got), from, want)
		}
	}
}

func knots(t *testing.T, open Open) {
	w := newWorld(t, open)
	_, err := w.s.LastKnot(ctx)
	isCode(t, "LastKnot of an empty store", err, doppelboden.NotFound)
	var want []doppelboden.Knot
	for i := range 300 {
		k := doppelboden.Knot{Number: int64(i + 1), At: cut(day.Add(time.Duration(i) * time.Second)), Hash: [32]byte{byte(i), 1}, Signature: []byte{byte(i)},
			Heads: []doppelboden.Head{{Chain: "node/ä", Number: int64(i), Hash: [32]byte{9, byte(i)}}}}
		if i > 0 {
			k.Prev = want[i-1].Hash
		} else {
			k.Heads = nil
		}
		w.must(w.s.PutKnot(ctx, k))
		want = append(want, k)
	}
	w.must(w.s.PutKnot(ctx, want[0]))
	w.must(w.s.PutKnot(ctx, want[299]))
	other := want[299]
	other.Hash[5]++
	isCode(t, "another knot with a taken number", w.s.PutKnot(ctx, other), doppelboden.Invalid)
	other.Number = 302
	isCode(t, "a knot that leaves a gap", w.s.PutKnot(ctx, other), doppelboden.Invalid)
	w.restart()
	same(t, "knots", gather(t, func(y func(doppelboden.Knot) error) error { return w.s.Knots(ctx, y) }), want)
	last, err := w.s.LastKnot(ctx)
	w.must(err)
	same(t, "last knot", last, want[299])
}

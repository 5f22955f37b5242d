package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"doppelboden"
)

// A chain makes links whose entries can be read again. It checks that the store moves it
// as the contract says.
type chain struct {
	mu   sync.Mutex
	head doppelboden.Link
	bad  []string // what the store did wrong
}

// newChain starts a chain.
func newChain(name string) *chain { return &chain{head: doppelboden.Link{Chain: name}} }

// Next implements store.Chain.
func (c *chain) Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(entries) == 0 {
		c.bad = append(c.bad, "a link without entries was asked for")
	}
	text, err := json.Marshal(entries)
	if err != nil {
		c.bad = append(c.bad, err.Error())
	}
	l := doppelboden.Link{Chain: c.head.Chain, Number: c.head.Number + 1, Prev: c.head.Hash, At: cut(at), Entries: text,
		Root: sha256.Sum256(text)}
	l.Hash = sha256.Sum256(fmt.Appendf(nil, "%s %d %d %x %x", l.Chain, l.Number, l.At.UnixMicro(), l.Prev, l.Root))
	return l
}

// Advance implements store.Chain.
func (c *chain) Advance(l doppelboden.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.Number != c.head.Number+1 || l.Prev != c.head.Hash {
		c.bad = append(c.bad, fmt.Sprintf("link %d was made the head behind link %d", l.Number, c.head.Number))
	}
	c.head = l
}

// entries reads all entries of all links and checks that the links are whole chains.
func (w *world) entries() (all []doppelboden.Entry) {
	w.t.Helper()
	for _, bad := range w.chain.bad {
		w.t.Errorf("chain: %s", bad)
	}
	return checkLinks(w.t, gather(w.t, func(y func(doppelboden.Link) error) error { return w.s.Links(ctx, time.Time{}, y) }))
}

// checkLinks checks that links are whole chains and returns their entries.
func checkLinks(t tester, links []doppelboden.Link) (all []doppelboden.Entry) {
	t.Helper()
	last := doppelboden.Link{}
	for _, l := range links {
		if l.Chain != last.Chain {
			if l.Chain < last.Chain {
				t.Errorf("chain %q came after chain %q", l.Chain, last.Chain)
			}
			last = doppelboden.Link{Chain: l.Chain}
		}
		if l.Number != last.Number+1 || l.Prev != last.Hash {
			t.Errorf("link %d of chain %q follows link %d and does not continue it", l.Number, l.Chain, last.Number)
		}
		var entries []doppelboden.Entry
		if err := json.Unmarshal(l.Entries, &entries); err != nil {
			t.Fatalf("link %d of chain %q: %v", l.Number, l.Chain, err)
		}
		all, last = append(all, entries...), l
	}
	return all
}

// ofKind returns the entries of a kind.
func ofKind(entries []doppelboden.Entry, kind doppelboden.EntryKind) (some []doppelboden.Entry) {
	for _, e := range entries {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	return some
}

package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func testDrain(t *testing.T, open Open) {
	t.Run("what a landing kept is there as if it had been accepted", func(t *testing.T) { drainOnce(t, open) })
	t.Run("the same may be drained any number of times", func(t *testing.T) { drainAgain(t, open) })
	t.Run("a drained message is told how its deliveries stand", func(t *testing.T) { drainStanding(t, open) })
	t.Run("another link with a number that is taken is refused", func(t *testing.T) { drainOtherLink(t, open) })
	t.Run("nothing is drained behind a link that is gone", func(t *testing.T) { drainGap(t, open) })
	t.Run("what cannot be written is found by draining less", func(t *testing.T) { drainPoison(t, open) })
	t.Run("accepting and draining the same has the effect of once", func(t *testing.T) { drainAccepted(t, open) })
	t.Run("drains, accepts and settlements side by side", func(t *testing.T) { drainSideBySide(t, open) })
	t.Run("large drains beside small ones", func(t *testing.T) { drainLarge(t, open) })
	t.Run("a drain that cannot begin says so", func(t *testing.T) { drainRefused(t, open) })
}

// A landing makes what one run of a landing keeps.
type landing struct {
	w     *world
	chain *chain
}

// landing starts the chain of a landing.
func (w *world) landing(name string) *landing { return &landing{w, newChain(name)} }

// keep makes a commit of a landing over messages.
func (l *landing) keep(messages ...*doppelboden.Message) store.Landed {
	var entries []doppelboden.Entry
	for _, m := range messages {
		entries = append(entries, store.Entries(m)...)
	}
	link := l.chain.Next(l.w.tick(), entries)
	l.chain.Advance(link)
	return store.Landed{Link: link, Messages: messages}
}

// drainer is the store as what it drains into.
func (w *world) drainer() store.Drainer {
	w.t.Helper()
	d, ok := w.s.(store.Drainer)
	if !ok {
		w.t.Fatal("the store is no Drainer")
	}
	return d
}

// drain drains commits.
func (w *world) drain(landed ...store.Landed) {
	w.t.Helper()
	w.must(w.drainer().Drain(ctx, landed))
}

// drained checks the number of a chain's last link.
func (w *world) drained(chain string, want int64) {
	w.t.Helper()
	got, err := w.drainer().Drained(ctx, chain)
	w.must(err)
	if got != want {
		w.t.Errorf("the last link of %q that was drained is %d, wanted %d", chain, got, want)
	}
}

// anew returns the commits as a landing reads them another time: nobody has told it where
// the deliveries stand.
func anew(landed ...store.Landed) (list []store.Landed) {
	for _, l := range landed {
		messages := make([]*doppelboden.Message, len(l.Messages))
		for i, m := range l.Messages {
			again := *m
			again.Deliveries = slices.Clone(m.Deliveries)
			for n := range again.Deliveries {
				again.Deliveries[n].Seq, again.Deliveries[n].Box = 0, 0
			}
			messages[i] = &again
		}
		list = append(list, store.Landed{Link: l.Link, Messages: messages})
	}
	return list
}

func drainGap(t *testing.T, open Open) {
	w := newWorld(t, open)
	l := w.landing("landing/1")
	first, second, third, fourth := l.keep(w.message(w.boxes[0])), l.keep(w.message(w.boxes[1])), l.keep(w.message(w.boxes[2])), l.keep(w.message(w.boxes[0]))
	w.drain(first)
	third.Follows = true
	err := w.drainer().Drain(ctx, []store.Landed{third, fourth})
	if doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("link 3 follows link 2, which is not there: %v, wanted not_found", err)
	}
	w.drained("landing/1", 1)
	second.Follows = true
	w.drain(second, third, fourth)
	w.drained("landing/1", 4)
}

func drainOnce(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.drained("landing/1", 0)
	l := w.landing("landing/1")
	full, held, here := fullMessage(w), w.message(w.boxes[2]), w.message(w.boxes[1])
	held.Deliveries[0].State = doppelboden.Held
	here.Deliveries[0].State = doppelboden.Delivered
	landed := []store.Landed{l.keep(full, held), l.keep(here)}
	w.drain(landed...)
	last := int64(0)
	for _, m := range []*doppelboden.Message{full, held, here} {
		for n, d := range m.Deliveries {
			if d.Seq <= last || d.Box != doppelboden.BoxID(d.Mailbox) {
				t.Errorf("delivery %d of %v has Seq %d after %d, and the box %d", n, m.ID, d.Seq, last, d.Box)
			}
			last = d.Seq
		}
		same(t, "a drained message", w.get(m.ID), m)
	}
	links := gather(t, func(y func(doppelboden.Link) error) error { return w.s.Links(ctx, day.AddDate(-1, 0, 0), y) })
	same(t, "links", links, []doppelboden.Link{landed[0].Link, landed[1].Link})
	counts, err := w.s.Counts(ctx)
	w.must(err)
	same(t, "counts", counts, []store.Count{
		{Tenant: full.Tenant, State: doppelboden.Queued, Deliveries: 1, Oldest: full.Received},
		{Tenant: full.Tenant, State: doppelboden.Delivered, Deliveries: 2, Oldest: full.Received},
		{Tenant: held.Tenant, State: doppelboden.Held, Deliveries: 1, Oldest: held.Received}})
	w.drained("landing/1", 2)
	w.drained("landing/2", 0)
	w.restart()
	w.drained("landing/1", 2)
	same(t, "a drained message after a restart", w.get(full.ID), full)
	if after := w.accept(w.boxes[0]); after.Deliveries[0].Seq <= last {
		t.Errorf("Seq %d was given after Seq %d", after.Deliveries[0].Seq, last)
	}
}

func drainAgain(t *testing.T, open Open) {
	w := newWorld(t, open)
	l := w.landing("landing/1")
	var all []store.Landed
	for i := range 6 {
		all = append(all, l.keep(w.message(w.boxes[i%2]), w.message(w.boxes[2])))
	}
	w.drain(all[:3]...)
	w.drain(anew(all[:3]...)...)
	w.drain(all[1:5]...) // overlaps
	again := anew(all...)
	w.drain(again...)
	for i := range all {
		for j, m := range all[i].Messages {
			if i < 5 && m.Deliveries[0].Seq != again[i].Messages[j].Deliveries[0].Seq {
				t.Errorf("%v got Seq %d when it was drained again, %d before", m.ID, again[i].Messages[j].Deliveries[0].Seq, m.Deliveries[0].Seq)
			}
		}
	}
	last := int64(0)
	for _, landed := range again {
		for _, m := range landed.Messages {
			if m.Deliveries[0].Seq <= last {
				t.Errorf("Seq %d came after Seq %d: drained in order, wanted growing", m.Deliveries[0].Seq, last)
			}
			last = m.Deliveries[0].Seq
		}
	}
	if n := len(w.deliveries(store.Filter{})); n != 12 {
		t.Errorf("%d deliveries, wanted 12", n)
	}
	if n := len(ofKind(w.entries(), doppelboden.EntryAccepted)); n != 12 {
		t.Errorf("%d entries say accepted, wanted 12", n)
	}
	w.drained("landing/1", 6)
}

func drainStanding(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.put(doppelboden.Destination{Tenant: w.tenants[0].ID, Mailbox: w.boxes[0].ID, Route: "new"})
	l := w.landing("landing/1")
	m := w.message(w.boxes[0], w.boxes[1])
	landed := l.keep(m)
	w.drain(landed)
	w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Delivered, By: "courier", Attempt: true})
	w.must(w.s.Rebox(ctx, w.lease, []doppelboden.Ref{ref(m, 1)}, box))
	before := w.get(m.ID)
	again := anew(landed, l.keep(w.message(w.boxes[0])))
	w.drain(again...)
	got := again[0].Messages[0].Deliveries
	for n, d := range before.Deliveries {
		if got[n].Seq != d.Seq || got[n].Box != d.Box || got[n].State != d.State || !got[n].Changed.Equal(d.Changed) {
			t.Errorf("delivery %d: Seq %d, box %d, %v since %v after it was drained again; it has Seq %d, box %d, %v since %v",
				n, got[n].Seq, got[n].Box, got[n].State, got[n].Changed, d.Seq, d.Box, d.State, d.Changed)
		}
	}
	same(t, "the message after it was drained again", w.get(m.ID), before)
}

func drainOtherLink(t *testing.T, open Open) {
	w := newWorld(t, open)
	l, other := w.landing("landing/1"), w.landing("landing/1")
	w.drain(l.keep(w.message(w.boxes[0])), l.keep(w.message(w.boxes[0])))
	good, bad := other.keep(w.message(w.boxes[1])), w.message(w.boxes[1])
	isCode(t, "another link 1", w.drainer().Drain(ctx, []store.Landed{good}), doppelboden.Invalid)
	next := l.keep(bad)
	next.Link.Number = 2
	isCode(t, "another link 2 behind a new one", w.drainer().Drain(ctx, []store.Landed{l.keep(w.message(w.boxes[2])), next}), doppelboden.Invalid)
	for _, m := range append(good.Messages, bad) {
		_, err := w.s.Message(ctx, m.ID)
		isCode(t, "a message of a link that was refused", err, doppelboden.NotFound)
	}
	if n := len(w.deliveries(store.Filter{})); n != 2 {
		t.Errorf("%d deliveries, wanted 2", n)
	}
	w.drained("landing/1", 2)
	if err := w.s.Ready(); err != nil {
		t.Errorf("a refused link made the store not ready: %v", err)
	}
}

func drainPoison(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := w.message(w.boxes[0])
	first.Copies[0].UID = 77
	w.acceptThis(first)
	for i, bad := range poisoned(w) {
		l := w.landing(fmt.Sprintf("landing/%d", i))
		before, after := w.message(w.boxes[1]), w.message(w.boxes[2])
		landed := []store.Landed{l.keep(before), l.keep(bad), l.keep(after)}
		var beside sync.WaitGroup
		for range 8 { // which share its commit, it may be
			m := w.message(w.boxes[0])
			beside.Go(func() {
				if _, err := w.s.Accept(ctx, m); err != nil {
					t.Errorf("a good message beside a bad drain: %v", err)
				}
			})
		}
		isCode(t, fmt.Sprintf("a drain with bad message %d", i), w.drainer().Drain(ctx, landed), doppelboden.Invalid)
		beside.Wait()
		w.drained(l.chain.head.Chain, 0)
		for _, m := range []*doppelboden.Message{before, bad, after} {
			_, err := w.s.Message(ctx, m.ID)
			isCode(t, "a message of a drain that was refused", err, doppelboden.NotFound)
		}
		landed = anew(landed...)
		w.drain(landed[0])
		isCode(t, "the bad one alone", w.drainer().Drain(ctx, landed[1:2]), doppelboden.Invalid)
		w.drained(l.chain.head.Chain, 1)
		// Who drains then leaves the bad one out.
		landed[1].Messages = nil
		w.drain(landed[1:]...)
		w.get(after.ID)
		w.drained(l.chain.head.Chain, 3)
	}
	if err := w.s.Ready(); err != nil {
		t.Errorf("bad messages made the store not ready: %v", err)
	}
}

func drainAccepted(t *testing.T, open Open) {
	w := newWorld(t, open)
	l := w.landing("landing/1")
	accepted := w.accept(w.boxes[0])
	landed := anew(l.keep(accepted))[0]
	w.drain(landed)
	if got, want := landed.Messages[0].Deliveries[0].Seq, accepted.Deliveries[0].Seq; got != want {
		t.Errorf("Seq %d of a message that was drained after it was accepted, wanted %d", got, want)
	}
	drained := l.keep(w.message(w.boxes[1]))
	w.drain(drained)
	again := anew(drained)[0].Messages[0]
	w.acceptThis(again)
	if got, want := again.Deliveries[0].Seq, drained.Messages[0].Deliveries[0].Seq; got != want {
		t.Errorf("Seq %d of a message that was accepted after it was drained, wanted %d", got, want)
	}
	if n := len(w.deliveries(store.Filter{})); n != 2 {
		t.Errorf("%d deliveries, wanted 2", n)
	}
	w.drained("landing/1", 2)
}

func drainSideBySide(t *testing.T, open Open) {
	w := newWorld(t, open)
	const chains, commits = 4, 25
	var wg sync.WaitGroup
	for i := range chains {
		l := w.landing(fmt.Sprintf("landing/%d", i))
		var all []store.Landed
		for range commits {
			all = append(all, l.keep(w.message(w.boxes[0]), w.message(w.boxes[1])))
		}
		for range 2 { // two drain the same
			mine := anew(all...)
			wg.Go(func() {
				for part := range slices.Chunk(mine, 3) {
					if err := w.drainer().Drain(ctx, part); err != nil {
						t.Errorf("drain: %v", err)
						return
					}
					m := part[0].Messages[0]
					err := w.s.Settle(ctx, w.lease, []doppelboden.Settlement{{Ref: ref(m, 0), State: doppelboden.Delivered, At: w.tick()}})
					if err != nil {
						t.Errorf("settle: %v", err)
					}
				}
			})
		}
		wg.Go(func() {
			for range commits {
				if _, err := w.s.Accept(ctx, w.message(w.boxes[2])); err != nil {
					t.Errorf("accept: %v", err)
				}
			}
		})
	}
	wg.Wait()
	counts, err := w.s.Counts(ctx)
	w.must(err)
	total := map[doppelboden.State]int64{}
	for _, c := range counts {
		total[c.State] += c.Deliveries
	}
	settled := int64(chains * ((commits + 2) / 3))
	same(t, "counts", total, map[doppelboden.State]int64{doppelboden.Queued: 3*chains*commits - settled, doppelboden.Delivered: settled})
	entries := w.entries()
	if n := len(ofKind(entries, doppelboden.EntryAccepted)); n != 3*chains*commits {
		t.Errorf("%d entries say accepted, wanted %d", n, 3*chains*commits)
	}
	if n := int64(len(ofKind(entries, doppelboden.EntrySettled))); n != settled {
		t.Errorf("%d entries say settled, wanted %d", n, settled)
	}
}

// drainLarge drains as many messages as a landing that stood still for a while.
func drainLarge(t *testing.T, open Open) {
	w := newWorld(t, open)
	l := w.landing("landing/1")
	var large []store.Landed
	for range 10 {
		var messages []*doppelboden.Message
		for range 120 {
			messages = append(messages, w.message(w.boxes[0]))
		}
		large = append(large, l.keep(messages...))
	}
	small := w.landing("landing/2")
	var wg sync.WaitGroup
	wg.Go(func() { w.drain(large...) })
	var ones []store.Landed
	for range 5 {
		ones = append(ones, small.keep(w.message(w.boxes[1])))
	}
	wg.Go(func() {
		for _, one := range ones {
			w.drain(one)
		}
	})
	wg.Wait()
	if n := len(w.deliveries(store.Filter{})); n != 1205 {
		t.Errorf("%d deliveries, wanted 1205", n)
	}
	heads, err := w.s.Heads(ctx, []doppelboden.BoxID{boxOf(w.boxes[0])}, []int64{0}, 1200)
	w.must(err)
	for i, it := range heads {
		if want := large[i/120].Messages[i%120].ID; it.Message.ID != want {
			t.Fatalf("head %d is %v, wanted %v: what was drained keeps its order", i, it.Message.ID, want)
		}
	}
	w.entries()
	w.drained("landing/2", 5)
}

func drainRefused(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.must(w.drainer().Drain(ctx, nil))
	l := w.landing("landing/1")
	landed := l.keep(w.message(w.boxes[0]))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	isCode(t, "Drain with a context that has ended", w.drainer().Drain(ended, []store.Landed{landed}), doppelboden.Temporary)
	d := w.drainer()
	w.must(w.s.Close())
	isCode(t, "Drain after Close", d.Drain(ctx, []store.Landed{landed}), doppelboden.Temporary)
	_, err := d.Drained(ctx, "landing/1")
	isCode(t, "Drained after Close", err, doppelboden.Temporary)
}

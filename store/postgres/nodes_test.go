package postgres

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// twoNodes opens two stores on one database.
func twoNodes(t *testing.T, edit ...func(*Options)) (a, b *Store) {
	dsn := database(t)
	return openAt(t, dsn, edit...), openAt(t, dsn)
}

func TestSeqGrowsInTheOrderOfCommitsOverAllNodes(t *testing.T) {
	a, b := twoNodes(t)
	const each = 60
	var writing sync.WaitGroup
	for _, s := range []*Store{a, b} {
		for range 3 {
			writing.Go(func() {
				for range each {
					if _, err := s.Accept(ctx, message(1, 1)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	// A reader that follows Seq misses what becomes visible behind it.
	last, seen := int64(0), 0
	for finished := false; ; {
		items, err := b.Heads(ctx, []doppelboden.BoxID{1}, []int64{last}, 7)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(items)
		if len(items) > 0 {
			last = items[len(items)-1].Delivery.Seq
			continue
		}
		if finished {
			break
		}
		select {
		case <-done:
			finished = true
		default:
		}
	}
	if seen != 6*each {
		t.Errorf("a reader that follows Seq saw %d deliveries of two nodes, wanted %d", seen, 6*each)
	}
	counts, err := a.Counts(ctx)
	if err != nil || len(counts) != 1 || counts[0].Deliveries != 6*each {
		t.Errorf("counts %v (%v), wanted %d queued", counts, err, 6*each)
	}
	if n := entriesIn(links(t, a)); n != 6*each {
		t.Errorf("%d entries in the chains of both nodes, wanted %d", n, 6*each)
	}
}

func TestTwoNodesThatDrainTheSameLandingWriteItOnce(t *testing.T) {
	a, b := twoNodes(t)
	full := benchLanded(&testChain{name: "landing/1"}, 300, 3)
	bare := benchLanded(&testChain{name: "landing/2"}, 300, 3) // its messages could not be kept
	for i := range bare {
		bare[i].Messages = nil
	}
	seqs := make([]map[doppelboden.ID]int64, 2)
	var all [][]store.Landed
	var wg sync.WaitGroup
	for i, s := range []*Store{a, b} {
		mine := make([]store.Landed, len(full))
		for j := range full {
			mine[j].Link = full[j].Link
			for _, m := range full[j].Messages {
				same := *m
				same.Deliveries = slices.Clone(m.Deliveries)
				mine[j].Messages = append(mine[j].Messages, &same)
			}
		}
		seqs[i] = map[doppelboden.ID]int64{}
		for _, landed := range [][]store.Landed{mine, bare} {
			wg.Go(func() {
				for part := range slices.Chunk(landed, 7) {
					if err := s.Drain(ctx, part); err != nil {
						t.Errorf("drain: %v", err)
						return
					}
				}
			})
		}
		all = append(all, mine)
	}
	wg.Wait()
	for i, landed := range all {
		for _, l := range landed {
			for _, m := range l.Messages {
				seqs[i][m.ID] = m.Deliveries[0].Seq
			}
		}
	}
	if n := len(rowsOf(t, a)); n != 300 {
		t.Errorf("%d deliveries, wanted 300", n)
	}
	for id, seq := range seqs[0] {
		if seqs[1][id] != seq {
			t.Fatalf("%v has Seq %d by one node and %d by the other", id, seq, seqs[1][id])
		}
	}
	if n := entriesIn(links(t, a)); n != 600 {
		t.Errorf("%d entries, wanted 600", n)
	}
}

func TestADeliveryThatTwoNodesSettleEndsOnce(t *testing.T) {
	a, b := twoNodes(t)
	join := func(s *Store, node string) store.Lease {
		l, err := s.Join(ctx, node, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	nodes := []struct {
		s     *Store
		lease store.Lease
	}{{a, join(a, "a")}, {b, join(b, "b")}}
	for round := range 30 {
		m := accept(t, a, 1, 1)
		var wg sync.WaitGroup
		for _, n := range nodes {
			for range 2 {
				wg.Go(func() {
					if err := settled(n.s, n.lease, m, doppelboden.Delivered); err != nil {
						t.Errorf("round %d: settle: %v", round, err)
					}
				})
			}
		}
		wg.Wait()
		got, err := b.Message(ctx, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := got.Deliveries[0]; d.State != doppelboden.Delivered || d.Attempts != 1 {
			t.Fatalf("round %d: %v after %d attempts, wanted delivered after 1: the others came too late", round, d.State, d.Attempts)
		}
	}
	counts, err := a.Counts(ctx)
	if err != nil || len(counts) != 1 || counts[0].State != doppelboden.Delivered || counts[0].Deliveries != 30 {
		t.Errorf("counts %v (%v), wanted 30 delivered", counts, err)
	}
	if n := entriesIn(links(t, a)); n != 60 {
		t.Errorf("%d entries, wanted 60", n)
	}
}

func TestNobodyTakesANodeOverWhileItsSettlementIsCommitted(t *testing.T) {
	holding, released := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	var armed atomic.Bool
	// Between the check of the lease and the commit is where a rival would slip in.
	a, b := twoNodes(t, func(o *Options) {
		o.faults = &faults{at: func(at fault, o *op) error {
			if at == faultRun && len(o.settles) > 0 {
				armed.Store(true)
			}
			if at == faultBeforeCommit && armed.Swap(false) {
				holding <- struct{}{}
				<-released
			}
			return nil
		}}
	})
	t.Cleanup(release)
	lease, err := a.Join(ctx, "node", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m, look := accept(t, a, 1, 1), raw(t, b)
	settling, joining := make(chan error, 1), make(chan error, 1)
	go func() { settling <- settled(a, lease, m, doppelboden.Delivered) }()
	<-holding
	go func() { _, err := b.Join(ctx, "node", time.Now()); joining <- err }()
	eventually(t, "the rival waits", func() bool {
		select {
		case err := <-joining:
			t.Fatalf("the rival joined (%v) while the settlement was not committed", err)
		default:
		}
		return waiting(t, look)
	})
	release()
	if err := <-settling; err != nil {
		t.Errorf("the settlement of a node with a good lease: %v", err)
	}
	if err := <-joining; err != nil {
		t.Errorf("the rival: %v", err)
	}
	go func() { <-holding }()
	if err := settled(a, lease, m, doppelboden.Held); doppelboden.CodeOf(err) != doppelboden.Fenced {
		t.Errorf("a settlement of the node that was replaced: %v, wanted fenced", err)
	}
}

func TestChainsOfManyRunsHaveHeads(t *testing.T) {
	dsn := database(t)
	for i := range 5 {
		s := openAt(t, dsn, func(o *Options) { o.Chain = &testChain{name: fmt.Sprintf("node/%d", i)} })
		for range i + 1 {
			accept(t, s, 1, 1)
		}
		s.Close()
	}
	heads, err := openAt(t, dsn).ChainHeads(ctx)
	if err != nil || len(heads) != 5 {
		t.Fatalf("heads %v (%v), wanted 5", heads, err)
	}
	for i, h := range heads {
		if h.Chain != fmt.Sprintf("node/%d", i) || h.Number != int64(i+1) {
			t.Errorf("head %d is link %d of %s, wanted link %d of node/%d", i, h.Number, h.Chain, i+1, i)
		}
	}
}

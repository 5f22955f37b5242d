package storetest

import (
	"sync"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func testTogether(t *testing.T, open Open) {
	t.Run("many writers and walkers do not disturb each other", func(t *testing.T) { writersAndWalkers(t, open) })
	t.Run("what a walker has passed does not appear behind it", func(t *testing.T) { seqIsVisibility(t, open) })
}

func writersAndWalkers(t *testing.T, open Open) {
	w := newWorld(t, open)
	const writers, each = 8, 60
	var writing, walking sync.WaitGroup
	stop := make(chan struct{})
	for i := range writers {
		writing.Go(func() {
			for j := range each {
				m := w.message(w.boxes[(i+j)%3], w.boxes[(i+j)%3])
				if _, err := w.s.Accept(ctx, m); err != nil {
					t.Error(err)
					return
				}
				err := w.s.Settle(ctx, w.lease, []doppelboden.Settlement{{Ref: ref(m, 0), State: doppelboden.Delivered, At: w.tick()}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	walker := func(walk func() error) {
		walking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := walk(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	walker(func() error {
		last := int64(0)
		return w.s.Deliveries(ctx, store.Filter{}, func(it store.Item) error {
			if it.Delivery.Seq <= last {
				t.Errorf("Seq %d after %d in a walk", it.Delivery.Seq, last)
			}
			last = it.Delivery.Seq
			return nil
		})
	})
	walker(func() error { return w.s.Boxes(ctx, func(store.Box) error { return nil }) })
	walker(func() error { _, err := w.s.Counts(ctx); return err })
	writing.Wait()
	close(stop)
	walking.Wait()
	counts, err := w.s.Counts(ctx)
	w.must(err)
	total := map[doppelboden.State]int64{}
	for _, c := range counts {
		total[c.State] += c.Deliveries
	}
	same(t, "counts", total, map[doppelboden.State]int64{doppelboden.Queued: writers * each, doppelboden.Delivered: writers * each})
	if n := len(w.entries()); n != 2*writers*each {
		t.Errorf("%d entries, wanted %d", n, 2*writers*each)
	}
}

// seqIsVisibility lets a reader follow the queue by AfterSeq, as the scheduler does. If
// a smaller Seq ever became visible after a greater one, the reader would miss it.
func seqIsVisibility(t *testing.T, open Open) {
	w := newWorld(t, open)
	const writers, each = 6, 80
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				if _, err := w.s.Accept(ctx, w.message(w.boxes[0])); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	last, seen := int64(0), 0
	for finished := false; ; {
		items, err := w.s.Heads(ctx, []doppelboden.BoxID{boxOf(w.boxes[0])}, []int64{last}, 7)
		w.must(err)
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
	if seen != writers*each {
		t.Errorf("a reader that follows Seq saw %d deliveries, wanted %d", seen, writers*each)
	}
}

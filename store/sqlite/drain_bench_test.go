package sqlite

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// BenchmarkDrain takes a queue apart as the scheduler does: boxes, their heads, and one
// settlement for each from many lanes. An operation is one delivery.
func BenchmarkDrain(b *testing.B) {
	s := openBench(b, filepath.Join(b.TempDir(), "store.db"))
	defer s.Close()
	background := context.Background()
	lease, err := s.Join(background, "bench", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	accepting(b, s, 256, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	items := make(chan store.Item, 1000)
	var lanes sync.WaitGroup
	for range benchCallers {
		lanes.Go(func() {
			for it := range items {
				err := s.Settle(background, lease, []doppelboden.Settlement{{
					Ref: doppelboden.Ref{Message: it.Message.ID, N: it.Delivery.N}, State: doppelboden.Delivered,
					Reply: "250 2.0.0 Ok: queued as 4XyZ", By: "courier", Attempt: true, At: time.Now()}})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	if n := feed(b, s, items); n != b.N {
		b.Errorf("%d deliveries were handed out, wanted %d", n, b.N)
	}
	close(items)
	lanes.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "settled/s")
}

// feed hands out what is queued, mailbox by mailbox, and returns how many it were.
func feed(b *testing.B, s *Store, items chan<- store.Item) (n int) {
	var boxes []doppelboden.BoxID
	err := s.Boxes(context.Background(), func(box store.Box) error { boxes = append(boxes, box.Box); return nil })
	if err != nil {
		b.Fatal(err)
	}
	for len(boxes) > 0 {
		some := boxes[:min(len(boxes), maxHeads)]
		boxes = boxes[len(some):]
		for after, last := make([]int64, len(some)), 1; last > 0; {
			heads, err := s.Heads(context.Background(), some, after, 16)
			if err != nil {
				b.Fatal(err)
			}
			for _, it := range heads {
				for i := range some {
					if some[i] == it.Delivery.Box {
						after[i] = it.Delivery.Seq
					}
				}
				items <- it
			}
			last = len(heads)
			n += last
		}
	}
	return n
}

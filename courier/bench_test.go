package courier_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/sink"
)

// BenchmarkHand measures kept connections against a server that does nothing, and
// against the sink.
func BenchmarkHand(b *testing.B) {
	for _, size := range []int{4 << 10, 75 << 10} {
		for _, conns := range []int{1, 4} {
			b.Run(fmt.Sprintf("null/%dKB/%dconns", size>>10, conns), func(b *testing.B) {
				benchHand(b, newRawServer(b, nullServer).addr(), size, conns)
			})
			b.Run(fmt.Sprintf("sink/%dKB/%dconns", size>>10, conns), func(b *testing.B) {
				s, err := sink.Start(sink.Options{Keep: sink.Counts})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				benchHand(b, s.Addr(), size, conns)
				if got := s.Stats().Messages; got < int64(b.N) {
					b.Errorf("the sink took %d mails of %d", got, b.N)
				}
			})
		}
	}
}

// benchHand hands b.N mails over by several agents.
func benchHand(b *testing.B, addr string, size, conns int) {
	store := bodies{}
	header := "From: a@b.example\r\nTo: c@d.example\r\nMessage-ID: <1@b.example>\r\nSubject: bench\r\n\r\n"
	text := header + strings.Repeat(strings.Repeat("x", 76)+"\r\n", (size-len(header))/78)
	job := store.message("m", text, "clerk@city.example")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	work := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			a := courier.NewAgent(courier.Options{Bodies: store, AuthservID: "mx.city.example"},
				courier.Route{Name: "bench", Hosts: []courier.Host{{Addr: addr}}})
			defer a.Close()
			for range work {
				if out := a.Hand(context.Background(), job); out[0].Verdict != doppelboden.Took {
					b.Errorf("got %s: %s", brief(out[0]), out[0].Reply.Text)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}

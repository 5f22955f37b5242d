package postgres

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// benchMailboxes is how many mailboxes the benchmarks write to.
const benchMailboxes = 1000

// benchMessage makes a message as the MX does.
func benchMessage(i int) *doppelboden.Message {
	m := message(1, doppelboden.MailboxID(1+i*7919%benchMailboxes))
	m.Helo, m.Sender.Local, m.EightBit = "mail.example.org", fmt.Sprintf("absender.%d", i), true
	m.Body.Segment, m.Body.Offset, m.Body.Key, m.Prefix = "2025-11-22-0001", int64(i)*4300, make([]byte, 60), make([]byte, 230)
	rand.Read(m.Body.Key)
	rand.Read(m.Body.Sum[:])
	m.Deliveries[0].Recipient.Local = fmt.Sprintf("vorname.nachname%d", m.Deliveries[0].Mailbox)
	return m
}

// benchLanded makes commits of a landing with so many messages each.
func benchLanded(chain *testChain, n, each int) (all []store.Landed) {
	for i := 0; i < n; i += each {
		var l store.Landed
		var entries []doppelboden.Entry
		for j := i; j < min(n, i+each); j++ {
			m := benchMessage(j)
			l.Messages = append(l.Messages, m)
			entries = append(entries, store.Entries(m)...)
		}
		l.Link = chain.Next(time.Now(), entries)
		chain.Advance(l.Link)
		all = append(all, l)
	}
	return all
}

// BenchmarkDrain drains as a landing does that has something to catch up: one call after
// the other. An operation is one message.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("%d at once", size), func(b *testing.B) {
			s := openNew(b)
			landed := benchLanded(&testChain{name: "landing/1"}, b.N, 10)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for part := range slices.Chunk(landed, max(1, size/10)) {
				if err := s.Drain(ctx, part); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "drained/s")
		})
	}
}

// BenchmarkAccept accepts from 20 callers at once.
func BenchmarkAccept(b *testing.B) {
	s := openNew(b)
	b.ResetTimer()
	var next atomic.Int64
	inParallel(20, func() {
		for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
			if _, err := s.Accept(ctx, benchMessage(int(i))); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
}

// BenchmarkSettle settles what was drained from 20 lanes, one delivery with each call.
func BenchmarkSettle(b *testing.B) {
	s := openNew(b)
	lease, err := s.Join(ctx, "bench", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	landed := benchLanded(&testChain{name: "landing/1"}, b.N, 1000)
	for i := range landed {
		if err := s.Drain(ctx, landed[i:i+1]); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var next atomic.Int64
	inParallel(20, func() {
		for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
			m := landed[i/1000].Messages[i%1000]
			err := s.Settle(ctx, lease, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: doppelboden.Delivered,
				Reply: "250 2.0.0 Ok: queued as 4XyZ", By: "courier", Attempt: true, At: time.Now()}})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "settled/s")
}

// inParallel runs f in so many goroutines and waits for them.
func inParallel(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

// cpuTime is what this process has used of all cores.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

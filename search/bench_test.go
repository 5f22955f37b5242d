package search

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// words are what the mails of the benchmark are made of.
var words = strings.Fields(`der die das und oder nicht mit von für Antrag Bauamt Rathaus Straße Bürger Bescheid Gebühr Termin Frist Unterlagen
	Sehr geehrte Damen Herren anbei erhalten Sie bitte Rückmeldung bis Montag Grundstück Genehmigung Plan Kämmerei Sitzung Ausschuss Vorlage
	Protokoll Einladung Haushalt Jugendamt Kindergarten Schule Sporthalle Müllabfuhr Satzung Amt Leitung Vermerk Akte Zeichen Datum Grüße`)

// townMail writes a mail of 4 KB, as cities get them.
func townMail(r *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString("Received: from mail.example.org (mail.example.org [192.0.2.7]) by mx.stadt.example with ESMTPS id 4XyZ;\r\n\tMon, 23 Nov 2026 09:12:00 +0100\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=from:to:subject; bh=" + strings.Repeat("A", 44) + ";\r\n\tb=" + strings.Repeat("B", 340) + "\r\n")
	fmt.Fprintf(&b, "From: Absender %d <a%d@example.org>\r\nTo: anna@stadt.example\r\nSubject: Vorgang %d %s\r\nMessage-ID: <%d@example.org>\r\n"+
		"Date: Mon, 23 Nov 2026 09:12:00 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", n%300, n%300, n, words[r.IntN(len(words))], n)
	for line := 0; b.Len() < 4000; {
		w := words[r.IntN(len(words))]
		if line += len(w) + 1; line > 72 {
			b.WriteString("\r\n")
			line = 0
		}
		b.WriteString(w + " ")
	}
	if n%5000 == 77 {
		b.WriteString("Nadelstichprobe")
	}
	return b.String()
}

// populate gives a mailbox n mails with extracts.
func (w *town) populate(box doppelboden.Mailbox, n int) store.Place {
	w.t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for some := range slices.Chunk(slices.Collect(upTo(n)), 256) {
		var writing sync.WaitGroup
		for _, i := range some {
			m := w.message(townMail(r, i), box)
			writing.Go(func() {
				if _, err := w.db.Accept(ctx, m); err != nil {
					w.t.Error(err)
				}
			})
		}
		writing.Wait()
	}
	w.must(w.bodies.Sync())
	at := w.inbox(box)
	list := messagesIn(w.t, w, at)
	var making sync.WaitGroup
	worker := NewWorker(w.room, nil)
	for some := range slices.Chunk(list, 1+len(list)/runtime.GOMAXPROCS(0)) {
		making.Go(func() {
			for few := range slices.Chunk(some, 100) {
				if err := worker.put(ctx, few); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	making.Wait()
	return at
}

func upTo(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// median returns the time that f takes.
func median(n int, f func()) time.Duration {
	var took []time.Duration
	for range n {
		start := time.Now()
		f()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// processor returns how much time of processors the test has used.
func processor(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkMailboxes compares a mailbox of 50 mails with one of 50,000: the first page of
// its list, the first hits of a search, and a search to its end.
func BenchmarkMailboxes(b *testing.B) {
	w := newTown(b)
	small, large := w.populate(w.bert, 50), w.populate(w.anna, 50_000)
	page := func(at store.Place) func() {
		return func() {
			var ids []doppelboden.ID
			w.must(w.db.Shown(ctx, at, store.ShownFilter{Newest: true, Limit: 50}, func(s store.Shown) error { ids = append(ids, s.Message); return nil }))
			sums, err := w.room.Summaries(ctx, at.Tenant, ids)
			if w.must(err); len(sums) != 50 {
				b.Fatalf("a page of %d", len(sums))
			}
		}
	}
	search := func(at store.Place, text string, limit, want int) func() {
		return func() {
			q := ParseQuery(text, w.clock())
			q.Limit = limit
			n := 0
			w.must(w.room.Search(ctx, []store.Place{at}, q, func(Hit) error { n++; return nil }))
			if n != want {
				b.Fatalf("%s: %d hits, wanted %d", text, n, want)
			}
		}
	}
	for b.Loop() {
		pages := [2]time.Duration{median(101, page(small)), median(101, page(large))}
		var hits [2]time.Duration
		hits[0], hits[1] = median(51, search(small, "antrag", 20, 20)), median(51, search(large, "antrag", 20, 20))
		begun := processor(b)
		full := median(5, search(large, "nadelstich", 0, 10))
		spent := (processor(b) - begun) / 5
		umlauts := median(5, search(large, "für gebuehr xyz", 0, 0))
		b.ReportMetric(float64(pages[1])/float64(pages[0]), "page-ratio")
		b.ReportMetric(float64(hits[1])/float64(hits[0]), "hits-ratio")
		b.ReportMetric(float64(pages[1].Microseconds()), "µs/page")
		b.ReportMetric(float64(hits[1].Microseconds()), "µs/first-hits")
		b.ReportMetric(float64(full.Milliseconds()), "ms/full-search")
		b.ReportMetric(float64(spent.Milliseconds()), "cpu-ms/full-search")
		b.ReportMetric(float64(umlauts.Milliseconds()), "ms/umlauts")
	}
	var size int64
	w.must(w.db.Extracts(ctx, large.Tenant, messagesIn(b, w, small), store.TakeSummary|store.TakeText, func(e store.Extracted) error {
		size += int64(len(e.Summary) + len(e.Text))
		return nil
	}))
	b.ReportMetric(float64(size)/50, "B/extract")
}

package harvest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
)

// heap returns the megabytes that are in use.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkFilling reads mails of 20 KB for the first time from one mailbox of a Dovecot,
// and then the same mails from the mailbox of a colleague.
func BenchmarkFilling(b *testing.B) {
	w := newWorld(b, b.TempDir())
	defer w.end()
	g := withDovecot(b, w)
	const mails = 2000
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 280)
	for _, user := range []string{"anna", "bert"} {
		g.as(user, func(c *imapclient.Client) {
			for n := range mails {
				at := w.clock().Add(-time.Duration(n) * time.Minute)
				g.append(c, "INBOX", letter("eva", "alle", fmt.Sprintf("Mail %d", n), w.clock())+body, at)
			}
		})
	}
	before := heap()
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		w.fill(w.boxes[0])
		b.ReportMetric(mails/time.Since(start).Seconds(), "new-mails/s")
		start = time.Now()
		w.fill(w.boxes[1])
		b.ReportMetric(mails/time.Since(start).Seconds(), "known-mails/s")
		start = time.Now()
		for range 100 {
			w.fill(w.boxes[0])
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/100, "us/idle-mailbox")
	}
	b.ReportMetric(heap()-before, "MB-more")
}

// BenchmarkIdleRound looks at 20,000 mailboxes in which nothing changed, of a groupware that
// answers at once: what it costs us.
func BenchmarkIdleRound(b *testing.B) {
	w := newWorld(b, b.TempDir())
	defer w.end()
	g := newFake()
	w.route.Backend = g
	const count = 20_000
	var list []doppelboden.Mailbox
	for n := range count {
		list = append(list, doppelboden.Mailbox{Tenant: w.tenant.ID, Address: addr(fmt.Sprintf("p%d@stadt.example", n)), Kind: doppelboden.Person, Priority: 5})
	}
	for at := 0; at < count; at += 1000 {
		got, err := w.db.PutMailboxes(ctx, list[at:at+1000])
		w.must(err)
		w.boxes = append(w.boxes, got...)
	}
	w.boxes = w.boxes[3:]
	reading := w.room.begin(w.route)
	for _, box := range w.boxes {
		g.put(box.Address, "INBOX", letter("eva", box.Address.Local, "x", w.clock()), w.clock(), 0)
	}
	reading.round(ctx)
	before := heap()
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		reading.round(ctx)
		b.ReportMetric(time.Since(start).Seconds(), "s/round")
	}
	b.StopTimer()
	b.ReportMetric(heap()-before, "MB-more")
	var ids []doppelboden.MailboxID
	known := map[doppelboden.MailboxID]doppelboden.Mailbox{} // as the directory has them
	for _, box := range w.boxes {
		ids = append(ids, box.ID)
		known[box.ID] = box
	}
	route, _, _ := w.room.opts.Place(ids[0])
	w.room.opts.Place = func(m doppelboden.MailboxID) (string, doppelboden.Mailbox, bool) {
		box, ok := known[m]
		return route, box, ok
	}
	for _, unit := range []string{"s/first-coverages", "s/coverages"} { // the first looks for the first mails
		start, answers := time.Now(), 0
		w.must(w.room.Coverages(ctx, w.tenant.ID, ids, func(doppelboden.MailboxID, Coverage) error { answers++; return nil }))
		if answers != count {
			b.Fatalf("%d mailboxes are covered, want %d", answers, count)
		}
		b.ReportMetric(time.Since(start).Seconds(), unit)
	}
}

package sqlite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doppelboden"
)

// testChain is a chain with hashes, but without the coding of entries, which is for
// package ledger.
type testChain struct {
	name string
	mu   sync.Mutex
	head doppelboden.Link
}

func (c *testChain) Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := doppelboden.Link{Chain: c.name, Number: c.head.Number + 1, Prev: c.head.Hash, At: at.Truncate(time.Microsecond)}
	for _, e := range entries {
		l.Entries = append(l.Entries, byte(e.Kind))
		l.Entries = append(l.Entries, e.Message[:]...)
		l.Entries = append(l.Entries, e.Sum[:]...)
	}
	l.Root = sha256.Sum256(l.Entries)
	l.Hash = sha256.Sum256(append(append(binary.BigEndian.AppendUint64(nil, uint64(l.Number)), l.Prev[:]...), l.Root[:]...))
	return l
}

func (c *testChain) Advance(l doppelboden.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = l
}

// realistic makes messages as the MX does.
type realistic struct{ ids doppelboden.IDs }

const realisticMailboxes = 1000

func (r *realistic) message(i int) *doppelboden.Message {
	now := time.Now()
	m := &doppelboden.Message{
		ID: r.ids.New(now), Tenant: 1, Receipt: doppelboden.NewReceipt(now), Door: "mx", Received: now,
		Peer: "2001:db8::25", Helo: "mail.example.org", Sender: doppelboden.Address{Local: fmt.Sprintf("absender.%d", i), Domain: "example.org"},
		EightBit: true, Recipients: 1,
		Body:   doppelboden.Body{Segment: "2025-11-22-0001", Offset: int64(i) * 4300, Size: 4096, Key: make([]byte, 60), KeyVersion: 1},
		Prefix: make([]byte, 230),
	}
	rand.Read(m.Body.Key)
	rand.Read(m.Body.Sum[:])
	box := doppelboden.MailboxID(1 + binary.BigEndian.Uint32(m.ID[12:])%realisticMailboxes)
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Tenant: 1, Mailbox: box, Changed: now,
		Recipient: doppelboden.Address{Local: fmt.Sprintf("vorname.nachname%d", box), Domain: "stadt.example"}}}
	m.Copies = []doppelboden.Copy{{Mailbox: box, Folder: doppelboden.Inbox, Message: m.ID, Date: now}}
	return m
}

// benchCallers is as many connections as the acceptance benchmark of the project keeps.
const benchCallers = 20

var (
	prefill   = flag.Int("prefill", 0, "how many delivered messages BenchmarkAccept stores before it measures")
	retention = flag.Bool("retention", false, "remove old messages while BenchmarkAccept measures")
	existing  = flag.String("store", "", "a database that BenchmarkAccept uses instead of an empty one")
)

func openBench(tb testing.TB, path string) *Store {
	tb.Helper()
	s, err := Open(context.Background(), Options{Path: path, Chain: &testChain{name: fmt.Sprintf("bench/%d", time.Now().UnixNano())}})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// accepting runs n Accepts with so many callers and returns how long each took.
func accepting(tb testing.TB, s *Store, callers, n int) []time.Duration {
	return acceptingAs(tb, s, doppelboden.Queued, callers, n)
}

// acceptingAs is accepting with deliveries in a state.
func acceptingAs(tb testing.TB, s *Store, state doppelboden.State, callers, n int) []time.Duration {
	var made realistic
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([]time.Duration, n)
	for range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				m := made.message(int(i))
				m.Deliveries[0].State = state
				start := time.Now()
				if _, err := s.Accept(context.Background(), m); err != nil {
					tb.Error(err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return took
}

func BenchmarkAccept(b *testing.B) {
	path := *existing
	if path == "" {
		path = filepath.Join(b.TempDir(), "store.db")
	}
	s := openBench(b, path)
	defer s.Close()
	if *prefill > 0 {
		start := time.Now()
		acceptingAs(b, s, doppelboden.Delivered, 256, *prefill)
		b.Logf("stored %d in %v", *prefill, time.Since(start))
	}
	stop, gone := make(chan struct{}), make(chan int)
	if *retention {
		go func() { gone <- expiring(b, s, stop) }()
	}
	b.ReportAllocs()
	b.ResetTimer()
	before, wrote := cpuTime(b), written(b)
	took := accepting(b, s, benchCallers, b.N)
	b.StopTimer()
	close(stop)
	if *retention {
		b.ReportMetric(float64(<-gone)/b.Elapsed().Seconds(), "expired/s")
	}
	b.ReportMetric(float64(readProc(b, "/proc/self/status", "VmRSS:"))/1024, "RSS-MiB")
	b.ReportMetric(float64(written(b)-wrote)/1024/float64(b.N), "KiB-written/op")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// cpuTime is what this process has used of all cores.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// expiring removes delivered messages until stop and returns how many.
func expiring(tb testing.TB, s *Store, stop chan struct{}) (gone int) {
	for {
		select {
		case <-stop:
			return gone
		default:
			n, err := s.Expire(context.Background(), time.Now().Add(time.Hour), nil, 500)
			if err != nil {
				tb.Error(err)
				return gone
			}
			gone += n
		}
	}
}

// written is how many bytes this process has given to write calls.
func written(tb testing.TB) int64 { return readProc(tb, "/proc/self/io", "wchar:") }

// readProc reads a number from a file of the kernel.
func readProc(tb testing.TB, path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatalf("%s has no %q", path, name)
	return 0
}

package ledger

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"flag"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/store/sqlite"
	"doppelboden/tally"
)

// large is for figures: go test -run RealStore -large 100000 -v ./ledger/
var large = flag.Int("large", 0, "how many messages TestTheRealStoreAndTheRealLogsAgree plays with")

// A house is the real store and the real logs, on a real disk.
type house struct {
	t       testing.TB
	dir     string
	chain   *Chain
	store   *sqlite.Store
	doors   *tally.Doors
	replies *tally.Replies
	lease   store.Lease
	started time.Time
	ids     doppelboden.IDs
}

func openHouse(t testing.TB, dir string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, started: time.Now(), chain: NewChain("node1", time.Now())}
	var err error
	must := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h.doors, err = tally.OpenDoors(filepath.Join(dir, "tally"), time.Now)
	must()
	h.replies, err = tally.OpenReplies(filepath.Join(dir, "tally"), time.Now)
	must()
	h.store, err = sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(dir, "store.db"), Chain: h.chain,
		Sync: []func() error{h.doors.Sync, h.replies.Sync}})
	must()
	h.lease, err = h.store.Join(context.Background(), "node1", h.started)
	must()
	return h
}

func (h *house) close() {
	h.t.Helper()
	if err := errors.Join(h.store.Close(), h.doors.Close(), h.replies.Close()); err != nil {
		h.t.Fatal(err)
	}
}

// take accepts a message as intake does.
func (h *house) take() doppelboden.ID {
	now := time.Now()
	m := &doppelboden.Message{ID: h.ids.New(now), Tenant: 1, Receipt: doppelboden.NewReceipt(now), Door: "mx", Received: now,
		Sender: doppelboden.Address{Local: "absender", Domain: "example.org"}, Recipients: 1,
		Body: doppelboden.Body{Segment: "2026-11-22", Size: 4096, Key: make([]byte, 60), KeyVersion: 1}}
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Tenant: 1, Mailbox: 1, Changed: now,
		Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}}}
	m.Copies = []doppelboden.Copy{{Mailbox: 1, Folder: doppelboden.Inbox, Message: m.ID, Date: now}}
	h.doors.Intent(m.ID, 1, now)
	if _, err := h.store.Accept(context.Background(), m); err != nil {
		h.t.Error(err)
	}
	h.doors.Sent(m.ID, time.Now())
	return m.ID
}

// hand settles a delivery as courier and queue do.
func (h *house) hand(id doppelboden.ID) {
	r := doppelboden.Ref{Message: id}
	h.replies.Attempt([]doppelboden.Ref{r}, "groupware", time.Now())
	o := doppelboden.Outcome{Ref: r, Verdict: doppelboden.Took, Phase: "dot", At: time.Now(),
		Reply: doppelboden.Reply{Code: 250, Text: "2.0.0 Ok: queued as 4XyZ"}}
	h.replies.Answer(o)
	err := h.store.Settle(context.Background(), h.lease, []doppelboden.Settlement{
		{Ref: r, Box: 1, State: doppelboden.Delivered, Reply: o.Reply.Text, By: "courier", Attempt: true, At: o.At}})
	if err != nil {
		h.t.Error(err)
	}
}

func (h *house) balance() doppelboden.Balance {
	h.t.Helper()
	dir := filepath.Join(h.dir, "tally")
	b, err := Balance(context.Background(), Sources{
		Doors: Tally{Dir: dir, Flush: h.doors.Flush}, Replies: Tally{Dir: dir, Flush: h.replies.Flush},
		Ledger: h.store, Rows: h.store, Started: h.started}, time.Time{}, time.Time{})
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *house) verify() Report {
	h.t.Helper()
	r, err := Verify(context.Background(), h.store, VerifyOptions{Keys: []ed25519.PublicKey{testPublicKey()}, Folders: []string{Folder(h.dir)}}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) knotter() *Knotter {
	h.t.Helper()
	k, err := NewKnotter(KnotterOptions{Store: h.store, Key: testKey(), Dir: Folder(h.dir), Own: []*Chain{h.chain}})
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

// play lets n messages come in over 20 doors at once and hands every second one over.
func (h *house) play(n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var doors sync.WaitGroup
	for range 20 {
		doors.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				if id := h.take(); i%2 == 0 {
					h.hand(id)
				}
			}
		})
	}
	doors.Wait()
}

func TestTheRealStoreAndTheRealLogsAgree(t *testing.T) {
	n := max(*large, 200)
	dir := t.TempDir()
	h := openHouse(t, dir)
	k := h.knotter()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.play(n / 2)
	}()
	for running := true; running; { // balances while mail flows
		select {
		case <-done:
			running = false
		default:
		}
		if b := h.balance(); b.Difference != 0 {
			t.Fatalf("difference %d while mail flows: %+v", b.Difference, b.Findings)
		}
	}
	tie(t, k, true)
	h.close()
	h = openHouse(t, dir)
	h.play(n / 2)
	tie(t, h.knotter(), true)

	began := time.Now()
	b := h.balance()
	took := time.Since(began)
	adds(t, b)
	if b.Accepted != int64(n) || b.Delivered != int64(n/2) || b.Queued != int64(n/2) || b.Difference != 0 || b.Acknowledged != int64(n) {
		t.Errorf("balance = %+v, want %d accepted, half of them delivered", b, n)
	}
	began = time.Now()
	if r := h.verify(); !r.OK() || r.Chains != 2 || r.Knots != 2 || r.Untied != 0 || r.Entries != int64(n+n/2) {
		t.Errorf("report = %+v, want 2 chains, 2 knots, %d entries and no fault", r, n+n/2)
	} else {
		t.Logf("%d messages, %d links: balance %v, verify %v", n, r.Links, took, time.Since(began))
	}
	if _, err := h.store.Expire(context.Background(), time.Now(), nil, n); err != nil {
		t.Fatal(err)
	}
	if b := h.balance(); b.Delivered != int64(n/2) || b.Difference != 0 {
		t.Errorf("after retention: %+v, want as before", b)
	}
	h.close()

	spoilStore(t, dir, "UPDATE delivery SET state = 2 WHERE seq = (SELECT min(seq) FROM delivery)")
	h = openHouse(t, dir)
	if b := h.balance(); b.Difference != 1 || !strings.Contains(b.Findings[0].What, "the ledger says queued, its row says delivered") {
		t.Errorf("with another state in a row: %+v, want a difference of 1", b)
	}
	h.close()
	spoilStore(t, dir, "UPDATE link SET entries = zeroblob(length(entries)) WHERE number = 2")
	h = openHouse(t, dir)
	if r := h.verify(); r.Faults != 2 {
		t.Errorf("with two spoiled links: %+v, want two faults", r)
	}
	h.close()
}

// spoilStore changes the database behind everybody's back.
func spoilStore(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statement)
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkBalance draws the balance of a million delivered messages that lie in
// memory, so that it shows its own cost.
func BenchmarkBalance(b *testing.B) {
	const n = 1000000
	w := newTown()
	batch := make([]doppelboden.Entry, 0, 200)
	for i := range n {
		id := w.ids.New(w.now)
		w.doors = append(w.doors, tally.DoorRecord{Kind: tally.Intent, ID: id, At: w.now, Recipients: 1}, tally.DoorRecord{Kind: tally.Sent, ID: id, At: w.now})
		w.replies = append(w.replies, tally.ReplyRecord{Kind: tally.Attempt, Ref: ref(id), At: w.now},
			tally.ReplyRecord{Kind: tally.Answer, Ref: ref(id), Verdict: doppelboden.Took, At: w.now})
		e := w.entryFor(id, 1)
		e.Sum[0] = 1
		batch = append(batch, e, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: w.now, Tenant: 1, Message: id, State: doppelboden.Delivered, By: courier})
		w.rows[ref(id)], w.order = doppelboden.Delivered, append(w.order, ref(id))
		if i%100 == 99 {
			w.tick()
			w.commit(batch...)
			batch = batch[:0]
		}
	}
	for _, most := range []int{defaultPerPass, 2 * n} {
		b.Run(map[bool]string{true: "several passes", false: "one pass"}[most < n], func(b *testing.B) {
			s := w.sources()
			s.PerPass = most
			runtime.GC()
			idle, peak := heap(), uint64(0)
			s.Progress = func(p Progress) {
				if p.Done%(25*progressEvery) == 0 {
					peak = max(peak, heap())
				}
			}
			began := cpu(b)
			for b.Loop() {
				sheet, err := Balance(context.Background(), s, time.Time{}, time.Time{})
				if err != nil || sheet.Delivered != n || sheet.Difference != 0 {
					b.Fatalf("balance = %+v, %v", sheet, err)
				}
			}
			b.ReportMetric((cpu(b)-began).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(peak-idle)/1e6, "peak-MB")
		})
	}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpu returns the time that the process has computed.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

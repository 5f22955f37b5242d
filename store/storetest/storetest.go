// Package storetest proves that an engine keeps the contract of package store: one suite
// for all of them.
//
// It takes a function that opens the engine and tests what the contract's comments say,
// and besides what engines like to differ in: byte order, case, empty against NULL, the
// precision of times (microseconds, in UTC; empty bytes may come back as nil), two
// writers, fencing, poison, and a crash in the middle. It never looks into an engine.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"doppelboden"
	"doppelboden/store"
)

// A Setup says how the engine is to be opened.
type Setup struct {
	Dir   string           // an existing folder; opened again it shows what was there
	Sync  []func() error   // to be run before every commit
	Chain store.Chain      // makes the links
	Clock func() time.Time // the time now
}

// An Open opens the engine. The suite closes what it got; an error ends the test.
type Open func(t testing.TB, s Setup) store.Store

// Run tests an engine.
func Run(t *testing.T, open Open) {
	if crashChild(t, open) {
		return
	}
	t.Run("accept", func(t *testing.T) { testAccept(t, open) })
	t.Run("drain", func(t *testing.T) { testDrain(t, open) })
	t.Run("failing", func(t *testing.T) { testFailing(t, open) })
	t.Run("settle", func(t *testing.T) { testSettle(t, open) })
	t.Run("queue", func(t *testing.T) { testQueue(t, open) })
	t.Run("city", func(t *testing.T) { testCity(t, open) })
	t.Run("lists", func(t *testing.T) { testLists(t, open) })
	t.Run("accounts", func(t *testing.T) { testAccounts(t, open) })
	t.Run("decided", func(t *testing.T) { testDecided(t, open) })
	t.Run("versions", func(t *testing.T) { testVersions(t, open) })
	t.Run("keys", func(t *testing.T) { testKeys(t, open) })
	t.Run("ledger", func(t *testing.T) { testLedger(t, open) })
	t.Run("alarms", func(t *testing.T) { testAlarms(t, open) })
	t.Run("retention", func(t *testing.T) { testRetention(t, open) })
	t.Run("scan", func(t *testing.T) { testScan(t, open) })
	t.Run("nodes", func(t *testing.T) { testNodes(t, open) })
	t.Run("notices", func(t *testing.T) { testNotices(t, open) })
	t.Run("destinations", func(t *testing.T) { testDestinations(t, open) })
	t.Run("filings", func(t *testing.T) { testFilings(t, open) })
	t.Run("extracts", func(t *testing.T) { testExtracts(t, open) })
	t.Run("texts of messages", func(t *testing.T) { testTextsOf(t, open) })
	t.Run("extracts of many", func(t *testing.T) { testExtractsOfMany(t, open) })
	t.Run("handbacks", func(t *testing.T) { testHandbacks(t, open) })
	t.Run("harvests", func(t *testing.T) { testHarvests(t, open) })
	t.Run("readback", func(t *testing.T) { testReadback(t, open) })
	t.Run("events", func(t *testing.T) { testEvents(t, open) })
	t.Run("modes", func(t *testing.T) { testModes(t, open) })
	t.Run("slips", func(t *testing.T) { testSlips(t, open) })
	t.Run("held", func(t *testing.T) { testHeld(t, open) })
	t.Run("folders", func(t *testing.T) { testFolders(t, open) })
	t.Run("together", func(t *testing.T) { testTogether(t, open) })
	t.Run("model", func(t *testing.T) { testModel(t, open) })
	t.Run("crash", func(t *testing.T) { testCrash(t, open) })
	t.Run("crash with notices", func(t *testing.T) { testNoticeCrash(t, open) })
}

// ctx is the context of calls that nobody cancels.
var ctx = context.Background()

// day is when the tests play. It has microseconds, and nanoseconds that are lost.
var day = time.Date(2026, 3, 14, 9, 26, 53, 589793238, time.UTC)

// A tester is what is told of failures: a testing.T or a rapid.T.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A world is a store with two tenants that have mailboxes, and a lease.
type world struct {
	t     tester
	tb    testing.TB // what the engine is opened with
	open  Open
	s     store.Store
	dir   string
	chain *chain
	sync  []func() error
	ids   doppelboden.IDs
	lease store.Lease

	mu  sync.Mutex
	now time.Time

	tenants []doppelboden.Tenant  // two
	boxes   []doppelboden.Mailbox // two of the first, one of the second
}

// newWorld opens a fresh store and fills the directory.
func newWorld(t testing.TB, open Open, sync ...func() error) *world {
	t.Helper()
	w := &world{t: t, tb: t, open: open, dir: t.TempDir(), chain: newChain("node/1"), sync: sync, now: day}
	w.start()
	t.Cleanup(func() { w.s.Close() })
	var err error
	w.tenants, err = w.s.PutTenants(ctx, []string{"stadt", "kreis"})
	w.must(err)
	w.boxes, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{
		{Tenant: w.tenants[0].ID, Address: addr("anna", "stadt.example"), Kind: doppelboden.Person, Priority: 5},
		{Tenant: w.tenants[0].ID, Address: addr("buergerbuero", "stadt.example"), Kind: doppelboden.Function, Priority: 9},
		{Tenant: w.tenants[1].ID, Address: addr("anna", "kreis.example"), Kind: doppelboden.Person, Priority: 5},
	})
	w.must(err)
	w.lease, err = w.s.Join(ctx, "node", w.clock())
	w.must(err)
	return w
}

// start opens the store in the world's folder.
func (w *world) start() {
	w.t.Helper()
	w.s = w.open(w.tb, Setup{Dir: w.dir, Sync: w.sync, Chain: w.chain, Clock: w.clock})
}

// restart closes the store and opens it again. The next run has a chain of its own.
func (w *world) restart() {
	w.t.Helper()
	w.must(w.s.Close())
	w.chain = newChain(fmt.Sprintf("node/%d", w.tick().UnixNano()))
	w.start()
}

// clock is the world's time.
func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// tick moves the time on by a little more than a second and returns it.
func (w *world) tick() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(1000001 * time.Microsecond)
	return w.now
}

// must ends the test when there is an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// message makes a message for mailboxes, queued, each with a copy in its inbox.
func (w *world) message(boxes ...doppelboden.Mailbox) *doppelboden.Message {
	now := w.tick()
	m := &doppelboden.Message{ID: w.ids.New(now), Tenant: boxes[0].Tenant, Receipt: doppelboden.NewReceipt(now), Door: "mx",
		Received: cut(now), Sender: addr("eva", "example.org"), Recipients: len(boxes),
		Body: doppelboden.Body{Segment: "2026-03-14", Offset: now.UnixMicro(), Size: 4096, Key: []byte{1, 2, 3}, KeyVersion: 1, Sum: [32]byte{1}}}
	for i, b := range boxes {
		m.Deliveries = append(m.Deliveries, doppelboden.Delivery{Message: m.ID, N: i, Tenant: m.Tenant, Mailbox: b.ID,
			Recipient: b.Address, Changed: cut(now)})
		m.Copies = append(m.Copies, doppelboden.Copy{Mailbox: b.ID, Folder: doppelboden.Inbox, Message: m.ID, Date: cut(now)})
	}
	return m
}

// accept accepts a new message for mailboxes and returns it.
func (w *world) accept(boxes ...doppelboden.Mailbox) *doppelboden.Message {
	w.t.Helper()
	m := w.message(boxes...)
	w.acceptThis(m)
	return m
}

// acceptThis accepts a message.
func (w *world) acceptThis(m *doppelboden.Message) {
	w.t.Helper()
	copies, err := w.s.Accept(ctx, m)
	w.must(err)
	if copies < 1 {
		w.t.Fatalf("Accept returned %d copies and no error, wanted at least 1", copies)
	}
}

// settle writes states, each at a new time.
func (w *world) settle(list ...doppelboden.Settlement) {
	w.t.Helper()
	for i := range list {
		list[i].At = w.tick()
	}
	w.must(w.s.Settle(ctx, w.lease, list))
}

// get reads a message.
func (w *world) get(id doppelboden.ID) *doppelboden.Message {
	w.t.Helper()
	m, err := w.s.Message(ctx, id)
	w.must(err)
	return m
}

// delivery reads one delivery.
func (w *world) delivery(id doppelboden.ID, n int) doppelboden.Delivery {
	w.t.Helper()
	return w.get(id).Deliveries[n]
}

// deliveries reads what a filter selects.
func (w *world) deliveries(f store.Filter) []store.Item {
	w.t.Helper()
	return gather(w.t, func(y func(store.Item) error) error { return w.s.Deliveries(ctx, f, y) })
}

// gather runs a walk and returns what it yields.
func gather[T any](t tester, walk func(yield func(T) error) error) []T {
	t.Helper()
	var all []T
	if err := walk(func(v T) error { all = append(all, v); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// same compares and reports what differs. Empty and nil are the same.
func same(t tester, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return // much quicker, and nearly always so
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: wanted (-), got (+):\n%s", what, diff)
	}
}

// isCode reports an error whose code is not the wanted one.
func isCode(t tester, what string, err error, want doppelboden.Code) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, wanted code %v", what, want)
	} else if got := doppelboden.CodeOf(err); got != want {
		t.Errorf("%s: code %v (%v), wanted %v", what, got, err, want)
	}
}

// seqs returns the Seqs of items.
func seqs(items []store.Item) (list []int64) {
	for _, it := range items {
		list = append(list, it.Delivery.Seq)
	}
	return list
}

// cut is a time as a store keeps it.
func cut(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}

// addr is an address.
func addr(local, domain string) doppelboden.Address {
	return doppelboden.Address{Local: local, Domain: domain}
}

// ref names a delivery.
func ref(m *doppelboden.Message, n int) doppelboden.Ref {
	return doppelboden.Ref{Message: m.ID, N: n}
}

// sortedBoxes sorts by mailbox.
func sortedBoxes(boxes []store.Box) []store.Box {
	slices.SortFunc(boxes, func(a, b store.Box) int { return int(a.Box - b.Box) })
	return boxes
}

// boxOf returns the box of a mailbox on its own route.
func boxOf(m doppelboden.Mailbox) doppelboden.BoxID { return doppelboden.BoxID(m.ID) }

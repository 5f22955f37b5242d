package landing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/disk/diskfault"
	"doppelboden/ledger"
	"doppelboden/store"
)

// A base is a working store as far as a landing knows it.
type base struct {
	mu       sync.Mutex
	links    map[string][]doppelboden.Link // by chain, in order of arrival
	messages map[doppelboden.ID]int        // how often each was written
	order    []doppelboden.ID
	dead     error                   // what every call returns
	refused  map[doppelboden.ID]bool // what is Invalid for its own sake
	calls    int
}

func newBase() *base {
	return &base{links: map[string][]doppelboden.Link{}, messages: map[doppelboden.ID]int{}, refused: map[doppelboden.ID]bool{}}
}

func (b *base) Drain(_ context.Context, all []store.Landed) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.dead != nil {
		return b.dead
	}
	for _, l := range all {
		for _, m := range l.Messages {
			if b.refused[m.ID] {
				return &doppelboden.Error{Code: doppelboden.Invalid, Public: "not storable"}
			}
		}
	}
	for _, l := range all {
		if l.Follows && !slices.ContainsFunc(b.links[l.Link.Chain], func(have doppelboden.Link) bool { return have.Number == l.Link.Number-1 }) {
			return &doppelboden.Error{Code: doppelboden.NotFound, Public: "the link before it is gone"}
		}
		if !slices.ContainsFunc(b.links[l.Link.Chain], func(have doppelboden.Link) bool { return have.Number == l.Link.Number }) {
			b.links[l.Link.Chain] = append(b.links[l.Link.Chain], l.Link)
		}
		for _, m := range l.Messages {
			if b.messages[m.ID] == 0 {
				b.messages[m.ID] = 1
				b.order = append(b.order, m.ID)
			}
			for i := range m.Deliveries {
				m.Deliveries[i].Seq = int64(len(b.order))
			}
		}
	}
	return nil
}

func (b *base) Drained(_ context.Context, chain string) (last int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links[chain] {
		last = max(last, l.Number)
	}
	return last, b.dead
}

func (b *base) die(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = err
}

func (b *base) isDead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead != nil
}

// lose makes the store forget all links behind the first so many of each chain, and the
// messages behind as many. It returns these.
func (b *base) lose(keep int) []doppelboden.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := slices.Clone(b.order[keep:])
	for _, id := range lost {
		delete(b.messages, id)
	}
	for chain, links := range b.links {
		b.links[chain] = links[:min(keep, len(links))]
	}
	return lost
}

func (b *base) has(id doppelboden.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages[id] > 0
}

// A quay is a landing with what it works with.
type quay struct {
	*Landing
	base    *base
	disk    *diskfault.Disk
	dir     string
	now     time.Time
	whole   func(*doppelboden.Message) bool
	sync    func() error // set before it is used
	told    []*doppelboden.Message
	mu      sync.Mutex
	ids     doppelboden.IDs
	stopRun func()
}

func newQuay(t testing.TB) *quay {
	q := &quay{base: newBase(), disk: new(diskfault.Disk), dir: t.TempDir(), now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC),
		whole: func(*doppelboden.Message) bool { return true }, sync: func() error { return nil }}
	if err := q.disk.Mkdir(filepath.Dir(q.dir)); err != nil {
		t.Fatal(err)
	}
	q.open(t)
	t.Cleanup(func() { q.leave() })
	return q
}

type fataler interface{ Fatal(...any) }

func (q *quay) open(t fataler) {
	l, err := Open(Options{
		Dir: q.dir, Store: q.base, Chain: ledger.NewChain("node", q.now), Sync: []func() error{func() error { return q.sync() }},
		Whole: func(m *doppelboden.Message) bool { return q.whole(m) }, Drained: q.drained,
		Clock: func() time.Time { q.mu.Lock(); defer q.mu.Unlock(); return q.now },
		Log:   slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), FS: q.disk,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.drainer.pace, l.drainer.most = 0, time.Millisecond
	q.Landing = l
}

func (q *quay) drained(all []*doppelboden.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.told = append(q.told, all...)
}

// run starts the drainer.
func (q *quay) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l := q.Landing
	go func() { defer close(done); l.Run(ctx) }()
	q.stopRun = func() { cancel(); <-done }
}

// leave stops everything in order.
func (q *quay) leave() error {
	if q.stopRun != nil {
		q.stopRun()
		q.stopRun = nil
	}
	if q.Landing == nil {
		return nil
	}
	err := q.Close()
	q.Landing = nil
	return err
}

func (q *quay) message() *doppelboden.Message {
	id := q.ids.New(q.now)
	return &doppelboden.Message{ID: id, Tenant: 1, Received: q.now, Door: "mx", Recipients: 1,
		Body:       doppelboden.Body{Segment: "20260314/0001.seg", Size: 12, Key: []byte("key")},
		Deliveries: []doppelboden.Delivery{{Message: id, Tenant: 1, Mailbox: 7, Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}}}}
}

func (q *quay) accept(t testing.TB) *doppelboden.Message {
	t.Helper()
	m := q.message()
	if copies, err := q.Accept(t.Context(), m); err != nil || copies != 1 {
		t.Fatalf("Accept: %d copies, %v; want 1", copies, err)
	}
	return m
}

func (q *quay) caughtUp(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := q.CatchUp(ctx); err != nil {
		t.Fatalf("CatchUp: %v", err)
	}
}

func TestWhatLandedComesIntoTheStoreOnceAndInItsOrder(t *testing.T) {
	q := newQuay(t)
	var want []doppelboden.ID
	for range 20 {
		want = append(want, q.accept(t).ID)
	}
	q.run()
	for range 20 {
		want = append(want, q.accept(t).ID)
	}
	q.caughtUp(t)
	if !slices.Equal(q.base.order, want) {
		t.Errorf("the store got %d messages, want %d in the order of Accept", len(q.base.order), len(want))
	}
	if len(q.told) != len(want) || q.told[0].Deliveries[0].Seq == 0 {
		t.Errorf("%d messages were told, want %d with their Seq", len(q.told), len(want))
	}
}

func TestManyAtTheSameMomentShareALink(t *testing.T) {
	q := newQuay(t)
	var all sync.WaitGroup
	const callers, each = 16, 30
	for range callers {
		all.Go(func() {
			for range each {
				if _, err := q.Accept(t.Context(), q.message()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	q.run()
	all.Wait()
	q.caughtUp(t)
	if got := len(q.base.order); got != callers*each {
		t.Errorf("%d messages in the store, want %d", got, callers*each)
	}
	for _, links := range q.base.links {
		for i, l := range links {
			if l.Number != int64(i+1) {
				t.Fatalf("link %d has number %d", i+1, l.Number)
			}
		}
	}
}

func TestMailIsTakenWhileTheStoreIsDeadAndComesInAfterwards(t *testing.T) {
	q := newQuay(t)
	q.base.die(errors.New("no route to host"))
	q.run()
	m := q.accept(t)
	if err := q.CatchUp(t.Context()); err == nil {
		t.Error("CatchUp with a dead store: nil, want its error")
	}
	if err := q.Ready(); err != nil {
		t.Errorf("Ready with a dead store: %v, want nil", err)
	}
	if s := q.Status(); s.Messages != 1 || s.Trouble.Err == nil {
		t.Errorf("Status: %+v, want one message that waits and why", s)
	}
	q.base.die(nil)
	for !q.base.has(m.ID) {
		if err := q.CatchUp(t.Context()); err != nil && t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatDoesNotFitIntoMemoryIsReadFromTheJournal(t *testing.T) {
	q := newQuay(t)
	q.drainer.room = 1000 // three messages or so
	var want []doppelboden.ID
	for i := range 60 {
		if i == 30 {
			q.mu.Lock()
			q.now = q.now.Add(24 * time.Hour) // into the next day's log
			q.mu.Unlock()
		}
		want = append(want, q.accept(t).ID)
	}
	if s := q.Status(); s.Messages != 60 {
		t.Errorf("%d messages wait, want 60", s.Messages)
	}
	q.run()
	q.caughtUp(t)
	if !slices.Equal(q.base.order, want) {
		t.Errorf("the store got %d messages, want %d in the order of Accept", len(q.base.order), len(want))
	}
	if s := q.Status(); s.Messages != 0 {
		t.Errorf("%d messages wait, want none", s.Messages)
	}
}

func TestTheNextRunDrainsWhatThisOneLeft(t *testing.T) {
	q := newQuay(t)
	first := q.accept(t)
	q.run()
	q.caughtUp(t)
	q.stopRun()
	q.stopRun = nil
	left := q.accept(t)
	if err := q.leave(); err != nil {
		t.Fatal(err)
	}
	q.open(t)
	q.run()
	q.caughtUp(t)
	if !q.base.has(left.ID) || q.base.messages[first.ID] != 1 || len(q.base.order) != 2 {
		t.Errorf("the store has %d messages, want the two that landed, once each", len(q.base.order))
	}
}

func TestAMessageThatTheStoreRefusesHoldsUpNothingElseAndIsKept(t *testing.T) {
	q := newQuay(t)
	bad := q.message()
	q.base.refused[bad.ID] = true
	var all sync.WaitGroup
	for _, m := range []*doppelboden.Message{q.message(), bad, q.message()} {
		all.Go(func() {
			if _, err := q.Accept(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	q.run()
	q.caughtUp(t)
	if len(q.base.order) != 2 || q.base.has(bad.ID) {
		t.Errorf("%d messages in the store, want the two good ones", len(q.base.order))
	}
	if s := q.Status(); s.Aside != 1 {
		t.Errorf("%d messages aside, want 1", s.Aside)
	}
	if err := q.leave(); err != nil {
		t.Fatal(err)
	}
	q.open(t)
	if s := q.Status(); s.Aside != 1 {
		t.Errorf("%d messages aside right after the start, want 1", s.Aside)
	}
	q.run()
	q.accept(t)
	q.caughtUp(t)
	if s := q.Status(); s.Aside != 1 {
		t.Errorf("%d messages aside after another try, want 1", s.Aside)
	}
	if err := q.leave(); err != nil {
		t.Fatal(err)
	}
	delete(q.base.refused, bad.ID)
	q.open(t)
	q.run()
	q.caughtUp(t)
	last := q.accept(t) // drained after what lay aside was tried
	q.caughtUp(t)
	if !q.base.has(bad.ID) || !q.base.has(last.ID) || q.Status().Aside != 0 {
		t.Errorf("after a restart %d lie aside, want the message in the store", q.Status().Aside)
	}
}

func TestAMessageThatIsAcceptedAgainAfterAFailedSyncIsWrittenOnce(t *testing.T) {
	q := newQuay(t)
	broken := errors.New("the disk hangs")
	q.sync = func() error { return broken }
	m := q.message()
	if _, err := q.Accept(t.Context(), m); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Fatalf("Accept on a disk that does not sync: %v, want a temporary error", err)
	}
	if err := q.Ready(); err == nil {
		t.Error("Ready after a failed sync: nil, want why not")
	}
	if _, err := q.Accept(t.Context(), m); err == nil {
		t.Fatal("the second try on the same disk: nil")
	}
	q.sync = func() error { return nil }
	if _, err := q.Accept(t.Context(), m); err != nil {
		t.Fatalf("on a good disk: %v", err)
	}
	if err := q.Ready(); err != nil {
		t.Errorf("Ready on a good disk: %v", err)
	}
	q.run()
	q.caughtUp(t)
	accepted := 0
	for _, links := range q.base.links {
		for _, l := range links {
			accepted += entriesOf(t, l)
		}
	}
	if accepted != 1 || q.base.messages[m.ID] != 1 {
		t.Errorf("the ledger has %d entries of the message, want 1", accepted)
	}
}

// entriesOf counts what a link records.
func entriesOf(t testing.TB, l doppelboden.Link) int {
	list, err := ledger.Decode(l)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestAMessageThatBecameSureWithoutItsCallerIsNotWrittenAgain(t *testing.T) {
	q := newQuay(t)
	q.sync = func() error { return errors.New("the disk hangs") }
	m := q.message()
	if _, err := q.Accept(t.Context(), m); err == nil {
		t.Fatal("Accept on a disk that does not sync: nil")
	}
	q.sync = func() error { return nil }
	q.accept(t) // another one's round sees both through
	if _, err := q.Accept(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	q.run()
	q.caughtUp(t)
	entries := 0
	for _, links := range q.base.links {
		for _, l := range links {
			entries += entriesOf(t, l)
		}
	}
	if entries != 2 || len(q.base.order) != 2 {
		t.Errorf("%d entries and %d messages, want 2 and 2", entries, len(q.base.order))
	}
}

func TestAfterARewindTheStoreGetsBackWhatItLost(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprint("all ", all), func(t *testing.T) {
			q := newQuay(t)
			q.run()
			for range 10 {
				q.accept(t)
				q.caughtUp(t)
			}
			q.base.mu.Lock()
			lost := q.base.order[6:] // restored from an older backup
			if all {
				lost = append(slices.Clone(lost), q.base.order[2]) // and a row is gone
			}
			for _, id := range lost {
				delete(q.base.messages, id)
			}
			for chain := range q.base.links {
				q.base.links[chain] = q.base.links[chain][:6]
			}
			q.base.mu.Unlock()
			q.Rewind(q.now, all)
			q.caughtUp(t)
			for _, id := range lost {
				if !q.base.has(id) {
					t.Errorf("%v is not back", id)
				}
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			if last := q.told[len(q.told)-1]; all && last.Deliveries[0].Seq != 0 {
				t.Errorf("what the store may have had before was told with Seq %d, want 0", last.Deliveries[0].Seq)
			}
		})
	}
}

func TestAGapIsNoticedBeforeNewerMailHidesIt(t *testing.T) {
	q := newQuay(t)
	q.run()
	for range 10 {
		q.accept(t)
		q.caughtUp(t)
	}
	lost := q.base.lose(6)
	next := q.accept(t)
	if err := q.CatchUp(t.Context()); err == nil {
		t.Fatal("CatchUp behind a gap: nil, want that the database has lost what it had")
	}
	if !q.Status().Lost || q.base.has(next.ID) {
		t.Fatalf("status %+v, want Lost, and nothing drained behind the gap", q.Status())
	}
	q.Rewind(time.Time{}, false)
	q.caughtUp(t)
	for _, id := range append(lost, next.ID) {
		if !q.base.has(id) {
			t.Errorf("%v is not back", id)
		}
	}
	if s := q.Status(); s.Lost || s.Trouble.Err != nil {
		t.Errorf("status %+v, want no trouble", s)
	}
}

func TestOldLogsGoOnlyWhenTheyAreDrained(t *testing.T) {
	q := newQuay(t)
	q.accept(t)
	q.mu.Lock()
	q.now = q.now.Add(30 * 24 * time.Hour)
	q.mu.Unlock()
	q.accept(t)
	q.drainer.prune()
	if n := logsOf(t, q); n != 2 {
		t.Fatalf("%d logs before anything is drained, want 2", n)
	}
	q.run()
	q.caughtUp(t)
	q.drainer.prune()
	if n := logsOf(t, q); n != 1 {
		t.Errorf("%d logs when all is drained, want the one of today", n)
	}
}

func logsOf(t testing.TB, q *quay) int {
	t.Helper()
	entries, err := q.disk.List(q.dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(disk.Parts(entries, ext))
}

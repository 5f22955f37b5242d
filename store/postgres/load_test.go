package postgres

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A load is doors and couriers that work on a store through all its troubles: each repeats
// a call until it is answered, as they do, and now and then gives up.
type load struct {
	t        testing.TB
	s        *Store
	acceptor store.Acceptor // takes messages; s itself, or one with a fault that must be found
	lease    store.Lease
	stop     chan struct{}
	workers  sync.WaitGroup
	answered atomic.Int64 // calls that got nil

	mu      sync.Mutex
	fates   map[doppelboden.ID]fate
	refused int // calls that got an error
}

// A fate is what the doors know of a message.
type fate struct {
	kept    bool // Accept has returned nil
	settled bool // so has Settle, to Delivered
	tried   bool // a Settle was called
}

// loadWorkers is how many doors work at once, so that commits are shared.
const loadWorkers = 8

// patience is how often a door repeats a call until it gives up.
const patience = 200

// startLoad starts the work.
func startLoad(t testing.TB, s *Store, acceptor store.Acceptor) *load {
	t.Helper()
	lease, err := s.Join(ctx, "node", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l := &load{t: t, s: s, acceptor: acceptor, lease: lease, stop: make(chan struct{}), fates: map[doppelboden.ID]fate{}}
	for n := range loadWorkers {
		l.workers.Go(func() { l.work(rand.New(rand.NewPCG(1, uint64(n)))) })
	}
	return l
}

// work accepts and settles until the load is stopped.
func (l *load) work(dice *rand.Rand) {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		m := message(1, doppelboden.MailboxID(1+dice.IntN(20)))
		f := fate{kept: l.insist(dice, func() error { _, err := l.acceptor.Accept(ctx, m); return err })}
		l.note(m.ID, f)
		if !f.kept || dice.IntN(2) == 0 {
			continue
		}
		f.tried = true
		l.note(m.ID, f)
		list := []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: doppelboden.Delivered, By: "courier",
			Attempt: true, Reply: "250 ok", At: time.Now()}}
		f.settled = l.insist(dice, func() error { return l.s.Settle(ctx, l.lease, list) })
		l.note(m.ID, f)
	}
}

// insist repeats a call until it gets nil, or patience has ended.
func (l *load) insist(dice *rand.Rand, call func() error) bool {
	for range patience {
		err := call()
		if err == nil {
			l.answered.Add(1)
			return true
		}
		if code := doppelboden.CodeOf(err); code != doppelboden.Temporary && code != doppelboden.StorageFull {
			l.t.Errorf("a call got %v, code %v", err, code)
			return false
		}
		l.mu.Lock()
		l.refused++
		l.mu.Unlock()
		if dice.IntN(20) == 0 {
			return false // the sender went away: nobody knows now
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-l.stop:
			return false
		}
	}
	return false
}

func (l *load) note(id doppelboden.ID, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fates[id] = f
}

// more waits until n more calls have got nil.
func (l *load) more(n int64) {
	l.t.Helper()
	want := l.answered.Load() + n
	eventually(l.t, "the store answers again", func() bool { return l.answered.Load() >= want })
}

// end stops the work.
func (l *load) end() {
	close(l.stop)
	l.workers.Wait()
}

// check compares what the doors know with what is in the store, and returns how many
// messages are missing that got nil.
func (l *load) check(s *Store) (missing int) {
	l.t.Helper()
	there := map[doppelboden.ID]doppelboden.State{}
	counts := map[doppelboden.State]int64{}
	for _, it := range rowsOf(l.t, s) {
		id := it.Delivery.Message
		if _, twice := there[id]; twice {
			l.t.Errorf("message %s is there twice", id)
		}
		if _, ours := l.fates[id]; !ours {
			l.t.Errorf("message %s is there, and nobody sent it", id)
		}
		there[id] = it.Delivery.State
		counts[it.Delivery.State]++
	}
	for id, f := range l.fates {
		state, found := there[id]
		switch {
		case f.kept && !found:
			missing++
		case f.settled && found && state != doppelboden.Delivered:
			l.t.Errorf("message %s is %v although its settlement got nil", id, state)
		case found && state == doppelboden.Delivered && !f.tried:
			l.t.Errorf("message %s is delivered, and nobody settled it", id)
		}
	}
	l.checkLedger(s, there)
	got, err := s.Counts(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range got {
		counts[c.State] -= c.Deliveries
	}
	for state, n := range counts {
		if n != 0 {
			l.t.Errorf("counts of %v are wrong by %d", state, n)
		}
	}
	return missing
}

// checkLedger checks that links are whole chains which tell of every message and every end
// once.
func (l *load) checkLedger(s *Store, there map[doppelboden.ID]doppelboden.State) {
	l.t.Helper()
	told := map[doppelboden.ID]map[doppelboden.EntryKind]int{}
	for _, link := range links(l.t, s) {
		for e := link.Entries; len(e) >= entrySize; e = e[entrySize:] {
			id := asID(e[1:entrySize])
			if told[id] == nil {
				told[id] = map[doppelboden.EntryKind]int{}
			}
			told[id][doppelboden.EntryKind(e[0])]++
		}
	}
	for id, state := range there {
		ends := 0
		if state == doppelboden.Delivered {
			ends = 1
		}
		if told[id][doppelboden.EntryAccepted] != 1 || told[id][doppelboden.EntrySettled] != ends {
			l.t.Errorf("message %s is %v, and the ledger tells of it: %v", id, state, told[id])
		}
		delete(told, id)
	}
	if len(told) > 0 {
		l.t.Errorf("the ledger tells of %d messages that are not there", len(told))
	}
}

// A credulous acceptor takes every error for success: a fault that the tests must find.
type credulous struct{ s store.Acceptor }

func (c credulous) Accept(ctx context.Context, m *doppelboden.Message) (int, error) {
	c.s.Accept(ctx, m)
	return 1, nil
}

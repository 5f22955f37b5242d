package queue

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeStore is a store in memory.
type fakeStore struct {
	mu       sync.Mutex
	seq      int64
	items    []store.Item // in the order of Seq
	failures int          // so many Settles fail
	settled  int          // calls of Settle that worked
	loaded   int          // the most items that one Heads returned
	holds    map[doppelboden.Ref]doppelboden.Hold
}

// accept keeps a message to the mailboxes and returns it as intake tells the queue.
func (s *fakeStore) accept(at time.Time, boxes ...doppelboden.BoxID) *doppelboden.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &doppelboden.Message{ID: doppelboden.ID{15: byte(s.seq), 14: byte(s.seq >> 8), 13: byte(s.seq >> 16)}, Received: at, Recipients: len(boxes)}
	for n, b := range boxes {
		s.seq++
		d := doppelboden.Delivery{Seq: s.seq, Message: m.ID, N: n, Tenant: 1, Box: b}
		m.Deliveries = append(m.Deliveries, d)
		s.items = append(s.items, store.Item{Delivery: d, Message: m})
	}
	return m
}

func (s *fakeStore) Settle(_ context.Context, _ store.Lease, all []doppelboden.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		s.failures--
		return errors.New("the disk is full")
	}
	s.settled++
	for _, x := range all {
		for i := range s.items {
			d := &s.items[i].Delivery
			if refOf(s.items[i]) != x.Ref || d.State.Ended() && x.State != doppelboden.Delivered {
				continue
			}
			d.State, d.Next, d.Reply = x.State, x.Next, x.Reply
			if s.holds == nil {
				s.holds = map[doppelboden.Ref]doppelboden.Hold{}
			}
			s.holds[x.Ref] = x.Hold
			if x.Attempt {
				d.Attempts++
			}
		}
	}
	return nil
}

func (s *fakeStore) HeldWhy(_ context.Context, seqs []int64) (map[int64]store.HeldWhy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := map[int64]store.HeldWhy{}
	for _, it := range s.items {
		if slices.Contains(seqs, it.Delivery.Seq) && it.Delivery.State == doppelboden.Held {
			why[it.Delivery.Seq] = store.HeldWhy{Hold: s.holds[refOf(it)]}
		}
	}
	return why, nil
}

func (s *fakeStore) Boxes(_ context.Context, yield func(store.Box) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	boxes := map[doppelboden.BoxID]*store.Box{}
	for _, it := range s.items {
		d := it.Delivery
		if d.State != doppelboden.Queued {
			continue
		}
		if boxes[d.Box] == nil {
			boxes[d.Box] = &store.Box{Tenant: 1, Box: d.Box, Oldest: d.Seq, Since: it.Message.Received, Next: d.Next}
		}
		boxes[d.Box].Queued++
	}
	for _, b := range boxes {
		if err := yield(*b); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeStore) Heads(_ context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]store.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []store.Item
	for i, b := range boxes {
		n := 0
		for _, it := range s.items {
			if d := it.Delivery; d.Box == b && d.State == doppelboden.Queued && d.Seq > after[i] && n < limit {
				got = append(got, it)
				n++
			}
		}
	}
	s.loaded = max(s.loaded, len(got))
	return got, nil
}

func (s *fakeStore) Deliveries(_ context.Context, f store.Filter, yield func(store.Item) error) error {
	s.mu.Lock()
	items := slices.Clone(s.items)
	s.mu.Unlock()
	n := 0
	for _, it := range items {
		d := it.Delivery
		if d.Seq <= f.AfterSeq || f.Box != 0 && d.Box != f.Box ||
			!f.Message.IsZero() && d.Message != f.Message ||
			len(f.States) > 0 && !slices.Contains(f.States, d.State) {
			continue
		}
		if err := yield(it); err != nil {
			return err
		}
		if n++; n == f.Limit {
			return nil
		}
	}
	return nil
}

func (s *fakeStore) Rebox(_ context.Context, _ store.Lease, refs []doppelboden.Ref, box doppelboden.BoxID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.items {
		if d := &s.items[i].Delivery; slices.Contains(refs, refOf(s.items[i])) && !d.State.Ended() {
			d.Box = box
		}
	}
	return nil
}

// states returns how many deliveries are in each state.
func (s *fakeStore) states() map[doppelboden.State]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := map[doppelboden.State]int{}
	for _, it := range s.items {
		got[it.Delivery.State]++
	}
	return got
}

// groupware answers as say decides and notes what it took.
type groupware struct {
	mu     sync.Mutex
	say    func(d doppelboden.Delivery) doppelboden.Outcome // nil: takes everything
	takes  time.Duration                                    // how long a transaction takes
	taken  []doppelboden.Delivery                           // in the order of the answers
	tried  int                                              // transactions
	now    map[doppelboden.BoxID]int                        // in flight
	most   int                                              // transactions at once
	at     int
	broken []string // rules that were broken
}

type agent struct{ g *groupware }

func (a agent) Close() {}

func (a agent) Hand(ctx context.Context, j courier.Job) []doppelboden.Outcome {
	g := a.g
	g.mu.Lock()
	g.tried++
	g.at++
	g.most = max(g.most, g.at)
	for _, d := range j.Deliveries {
		if g.now[d.Box]++; g.now[d.Box] > 1 {
			g.broken = append(g.broken, "two transactions at once for one mailbox")
		}
	}
	takes := g.takes
	g.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at--
	outcomes := make([]doppelboden.Outcome, len(j.Deliveries))
	for i, d := range j.Deliveries {
		g.now[d.Box]--
		o := doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
		if ctx.Err() != nil {
			o = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "mail"}
		} else if g.say != nil {
			o = g.say(d)
		}
		o.Ref = doppelboden.Ref{Message: d.Message, N: d.N}
		if o.Verdict == doppelboden.Took {
			g.taken = append(g.taken, d)
		}
		outcomes[i] = o
	}
	return outcomes
}

// oneLane sends every mailbox down one lane; its id modulo 10 is its priority.
type oneLane struct{ connections int }

func (r oneLane) Place(m doppelboden.BoxID) (string, int, bool) {
	return "groupware", int(m % 10), m != 0
}
func (r oneLane) Here(doppelboden.BoxID) bool         { return false }
func (r oneLane) Twins(doppelboden.BoxID) []Twin      { return nil }
func (r oneLane) Crossed() (none []doppelboden.BoxID) { return nil }
func (r oneLane) Lanes() []LaneConfig {
	return []LaneConfig{{Route: courier.Route{Name: "groupware"}, Connections: r.connections}}
}

// newQueue returns a queue that is not started, its store and its groupware.
func newQueue(t *testing.T, connections int) (*Queue, *fakeStore, *groupware) {
	t.Helper()
	s, g := &fakeStore{}, &groupware{now: map[doppelboden.BoxID]int{}, takes: time.Millisecond}
	q, err := New(Options{
		Store: s, Router: oneLane{connections}, NewAgent: func(courier.Route) Agent { return agent{g} },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return q, s, g
}

// start starts q and stops it at the end of the test.
func start(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if err := q.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); q.Wait() })
}

// check fails the test unless every mailbox got its mail in the order of Seq.
func (g *groupware) check(t testing.TB) {
	t.Helper()
	byBox := map[doppelboden.BoxID][]int64{}
	for _, d := range g.taken {
		byBox[d.Box] = append(byBox[d.Box], d.Seq)
	}
	for b, seqs := range byBox {
		if !slices.IsSortedFunc(seqs, cmp.Compare[int64]) {
			t.Errorf("mailbox %d got its mail in the order %v, want first in, first out", b, seqs)
		}
	}
	if len(g.broken) > 0 {
		t.Errorf("broken rules: %s", strings.Join(g.broken, "; "))
	}
}

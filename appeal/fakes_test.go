package appeal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/queue"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// memory is a store in memory, as far as queue and appeals use it.
type memory struct {
	mu       sync.Mutex
	items    []store.Item // in the order of Seq
	holds    map[int64]store.HeldWhy
	failures int // so many Settles fail
	log      []doppelboden.Settlement
}

func address(b doppelboden.BoxID) doppelboden.Address {
	return doppelboden.Address{Local: fmt.Sprintf("u%d", b), Domain: "stadt.example"}
}

// accept keeps a message for a mailbox.
func (s *memory) accept(b doppelboden.BoxID) *doppelboden.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := int64(len(s.items) + 1)
	m := &doppelboden.Message{ID: doppelboden.ID{14: byte(seq >> 8), 15: byte(seq)}, Tenant: 1, Received: time.Now(), Recipients: 1}
	d := doppelboden.Delivery{Seq: seq, Message: m.ID, Tenant: 1, Mailbox: doppelboden.MailboxID(b), Box: b, Recipient: address(b)}
	m.Deliveries = []doppelboden.Delivery{d}
	s.items = append(s.items, store.Item{Delivery: d, Message: m})
	return m
}

func (s *memory) Settle(_ context.Context, _ store.Lease, all []doppelboden.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		s.failures--
		return errors.New("the disk is full")
	}
	for _, x := range all {
		i := slices.IndexFunc(s.items, func(it store.Item) bool { return it.Delivery.Message == x.Ref.Message })
		d := &s.items[i].Delivery
		if d.State.Ended() {
			continue
		}
		d.State, d.Next, d.Reply, d.Changed = x.State, x.Next, x.Reply, x.At
		delete(s.holds, d.Seq)
		if x.State == doppelboden.Held {
			s.holds[d.Seq] = store.HeldWhy{Hold: x.Hold, Group: x.Hold.Group(1, x.Reply, d.Recipient), At: x.At}
		}
		s.log = append(s.log, x)
	}
	return nil
}

// find returns what is selected, in the order of Seq.
func (s *memory) find(is func(d *doppelboden.Delivery) bool, limit int) (got []store.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.items {
		if is(&it.Delivery) && (limit == 0 || len(got) < limit) {
			got = append(got, it)
		}
	}
	return got
}

// why returns for which reason a delivery is held.
func (s *memory) why(seq int64) store.HeldWhy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds[seq]
}

func (s *memory) Boxes(_ context.Context, yield func(store.Box) error) error {
	boxes := map[doppelboden.BoxID]*store.Box{}
	for _, it := range s.find(func(d *doppelboden.Delivery) bool { return d.State == doppelboden.Queued }, 0) {
		d := it.Delivery
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

func (s *memory) Heads(_ context.Context, boxes []doppelboden.BoxID, after []int64, limit int) (got []store.Item, _ error) {
	for i, b := range boxes {
		got = append(got, s.find(func(d *doppelboden.Delivery) bool {
			return d.Box == b && d.State == doppelboden.Queued && d.Seq > after[i]
		}, limit)...)
	}
	return got, nil
}

func (s *memory) Due(context.Context, []doppelboden.BoxID, time.Time, int) ([]store.Item, error) {
	return nil, nil
}
func (s *memory) Rebox(context.Context, store.Lease, []doppelboden.Ref, doppelboden.BoxID) error {
	return nil
}

func (s *memory) Deliveries(_ context.Context, f store.Filter, yield func(store.Item) error) error {
	for _, it := range s.find(func(d *doppelboden.Delivery) bool {
		return d.Seq > f.AfterSeq && (f.Box == 0 || d.Box == f.Box) && slices.Contains(f.States, d.State) &&
			(f.Group == "" || s.holds[d.Seq].Group == f.Group)
	}, f.Limit) {
		if err := yield(it); err != nil {
			return err
		}
	}
	return nil
}

func (s *memory) HeldWhy(_ context.Context, seqs []int64) (map[int64]store.HeldWhy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := map[int64]store.HeldWhy{}
	for _, seq := range seqs {
		if h, ok := s.holds[seq]; ok {
			why[seq] = h
		}
	}
	return why, nil
}

func (s *memory) RefusedBoxes(_ context.Context, yield func(store.RefusedBox) error) error {
	for _, it := range s.find(func(d *doppelboden.Delivery) bool { return s.holds[d.Seq].Reason.TriedAgain() }, 0) {
		d := it.Delivery
		s.mu.Lock()
		h := s.holds[d.Seq]
		s.mu.Unlock()
		if err := yield(store.RefusedBox{Hold: h.Hold, Group: h.Group, Tenant: 1, Box: d.Box, Mailbox: d.Mailbox, Recipient: d.Recipient, Last: h.At}); err != nil {
			return err
		}
	}
	return nil
}

// states counts deliveries by state.
func (s *memory) states() map[doppelboden.State]int {
	got := map[doppelboden.State]int{}
	for _, it := range s.find(func(*doppelboden.Delivery) bool { return true }, 0) {
		got[it.Delivery.State]++
	}
	return got
}

// An event is one word of the groupware about one delivery.
type event struct {
	at   time.Time
	seq  int64
	box  doppelboden.BoxID
	took bool
}

// groupware answers as say decides.
type groupware struct {
	mu   sync.Mutex
	say  func(d doppelboden.Delivery) doppelboden.Outcome
	said []event
}

// set changes what it says.
func (g *groupware) set(say func(d doppelboden.Delivery) doppelboden.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.say = say
}

// tries returns how often it was asked.
func (g *groupware) tries() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.said)
}

func (g *groupware) Close() {}

func (g *groupware) Hand(_ context.Context, j courier.Job) []doppelboden.Outcome {
	time.Sleep(time.Millisecond)
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]doppelboden.Outcome, len(j.Deliveries))
	for i, d := range j.Deliveries {
		out[i] = g.say(d)
		out[i].Ref, out[i].At = doppelboden.Ref{Message: d.Message, N: d.N}, time.Now()
		if v := out[i].Verdict; v == doppelboden.Took || v == doppelboden.Refused {
			g.said = append(g.said, event{out[i].At, d.Seq, d.Box, v == doppelboden.Took})
		}
	}
	return out
}

func takes(doppelboden.Delivery) doppelboden.Outcome {
	return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot", Reply: doppelboden.Reply{Code: 250}}
}

func refuses(d doppelboden.Delivery) doppelboden.Outcome {
	return doppelboden.Outcome{Verdict: doppelboden.Refused, Scope: doppelboden.AboutRecipient, Phase: "rcpt",
		Reply: doppelboden.Reply{Code: 550, Enhanced: "5.1.1", Text: fmt.Sprintf("5.1.1 <%s> User doesn't exist: %s", d.Recipient, d.Recipient)}}
}

// relay refuses as one that does not know us.
func relay(doppelboden.Delivery) doppelboden.Outcome {
	return doppelboden.Outcome{Verdict: doppelboden.Refused, Scope: doppelboden.AboutRecipient, Phase: "rcpt",
		Reply: doppelboden.Reply{Code: 554, Enhanced: "5.7.1", Text: "5.7.1 Relay access denied"}}
}

func later(doppelboden.Delivery) doppelboden.Outcome {
	return doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Reply: doppelboden.Reply{Code: 451}}
}

func broken(doppelboden.Delivery) doppelboden.Outcome {
	return doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "connect"}
}

// oneRoute sends every mailbox down one lane.
type oneRoute struct{}

func (oneRoute) Place(b doppelboden.BoxID) (string, int, bool) { return "stadt/gw", 5, b > 0 }
func (oneRoute) Here(doppelboden.BoxID) bool                   { return false }
func (oneRoute) Twins(doppelboden.BoxID) []queue.Twin          { return nil }
func (oneRoute) Crossed() (none []doppelboden.BoxID)           { return nil }
func (oneRoute) Lanes() []queue.LaneConfig {
	return []queue.LaneConfig{{Route: courier.Route{Name: "stadt/gw"}, Connections: 8}}
}

// returner lets everything go back.
type returner struct{}

func (returner) Return(_ context.Context, ends []doppelboden.Ending) ([]doppelboden.Settlement, error) {
	list := make([]doppelboden.Settlement, len(ends))
	for i, e := range ends {
		list[i] = e.Settlement
	}
	return list, nil
}

// A world is a queue with its appeals, a groupware and a directory.
type world struct {
	t     testing.TB
	store *memory
	gw    *groupware
	queue *queue.Queue
	a     *Appeals
	end   func()

	mu       sync.Mutex
	read     time.Time // when the directory was read last; zero: there is none
	unlisted map[doppelboden.BoxID]bool
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: &memory{holds: map[int64]store.HeldWhy{}}, gw: &groupware{say: takes}, unlisted: map[doppelboden.BoxID]bool{}}
	w.start()
	return w
}

// start starts a node over what the store has.
func (w *world) start() {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	w.a, err = New(Options{
		Store: w.store, Queue: func() Queue { return w.queue }, Log: log, Registry: prometheus.NewRegistry(),
		Lane: func(b doppelboden.BoxID) string { return "stadt/gw" },
		Unlisted: func(_ doppelboden.TenantID, m doppelboden.MailboxID, _ doppelboden.Address) (time.Time, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.read, !w.read.IsZero() && w.unlisted[doppelboden.BoxID(m)]
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.queue, err = queue.New(queue.Options{
		Store: w.store, Router: oneRoute{}, NewAgent: func(courier.Route) queue.Agent { return w.gw },
		Log: log, Registry: prometheus.NewRegistry(), Appeals: w.a, Returner: returner{},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	if err := w.queue.Start(ctx); err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { w.a.Run(ctx) })
	w.end = func() {
		cancel()
		running.Wait()
		w.queue.Wait()
	}
}

// mail lets mail come in for mailboxes.
func (w *world) mail(boxes ...doppelboden.BoxID) {
	for _, b := range boxes {
		w.queue.Notify(w.store.accept(b))
	}
}

// directory has the directory read, without some mailboxes.
func (w *world) directory(without ...doppelboden.BoxID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = time.Now()
	clear(w.unlisted)
	for _, b := range without {
		w.unlisted[b] = true
	}
}

// want compares how many deliveries are in a state.
func (w *world) want(what string, state doppelboden.State, n int) {
	w.t.Helper()
	if got := w.store.states(); got[state] != n {
		w.t.Errorf("%s: %v, want %d %v", what, got, n, state)
	}
}

// ordered fails the test unless what was taken of every mailbox was taken in its order.
func (w *world) ordered() {
	w.t.Helper()
	last := map[doppelboden.BoxID]int64{}
	seen := map[int64]bool{}
	for _, e := range w.gw.said {
		if !e.took {
			continue
		}
		if e.seq < last[e.box] {
			w.t.Errorf("mailbox %d got %d after %d", e.box, e.seq, last[e.box])
		}
		if seen[e.seq] {
			w.t.Errorf("%d was taken twice", e.seq)
		}
		last[e.box], seen[e.seq] = e.seq, true
	}
}

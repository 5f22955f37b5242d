package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/tally"
)

func TestAMessageBelongsToThePeriodOfItsID(t *testing.T) {
	w := newTown()
	w.hand(ref(w.take(1))) // before
	from := w.tick()
	late := ref(w.take(1)) // inside, handed over later
	w.take(2)
	to := w.tick()
	w.take(3) // after
	w.hand(late)
	b, err := Balance(context.Background(), w.sources(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	adds(t, b)
	if b.Accepted != 3 || b.Delivered != 1 || b.Queued != 2 || b.Difference != 0 {
		t.Errorf("balance = %+v, want 3 accepted, 1 delivered, 2 queued", b)
	}
	if !b.From.Equal(from) || !b.To.Equal(to) {
		t.Errorf("period = %v to %v, want %v to %v", b.From, b.To, from, to)
	}
}

func TestAPeriodInTheFutureEndsNow(t *testing.T) {
	w := newTown()
	w.take(1)
	s := w.sources()
	b, err := Balance(context.Background(), s, time.Time{}, w.now.Add(time.Hour))
	if err != nil || !b.To.Equal(s.Clock()) {
		t.Errorf("to = %v, %v, want now (%v)", b.To, err, s.Clock())
	}
}

// busy plays some messages with everything that may happen to them.
func busy(w *town, messages int, r *rand.Rand) {
	for range messages {
		id := w.take(1 + r.IntN(3))
		if r.IntN(2) == 0 {
			w.hand(ref(id))
		}
		if r.IntN(10) == 0 {
			w.fate(w.intent(1), tally.Withdrawn)
		}
		if r.IntN(20) == 0 {
			w.fate(w.intent(2), tally.Sent) // lost
		}
	}
}

func TestManyPassesGiveTheSameSheetAsOne(t *testing.T) {
	w := newTown()
	busy(w, 300, rand.New(rand.NewPCG(1, 2)))
	want := draw(t, w)
	if want.Difference == 0 {
		t.Fatal("the town lost nothing; the test needs findings")
	}
	for _, most := range []int{25, 100, 300} {
		s := w.sources()
		s.PerPass = most
		walks := 0
		s.Progress = func(Progress) { walks++ }
		got, err := Balance(context.Background(), s, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("with %d messages in a pass (-want +got):\n%s", most, d)
		}
	}
}

func TestOnlyAHundredFindingsAreNamedTheFirstOnes(t *testing.T) {
	w := newTown()
	var first doppelboden.ID
	for i := range 1000 {
		id := w.intent(1)
		w.fate(id, tally.Sent)
		if i == 0 {
			first = id
		}
	}
	b := draw(t, w)
	if b.Difference != 1000 || len(b.Findings) != maxFindings || b.Findings[0].Message != first {
		t.Errorf("difference %d, %d findings, first about %v; want 1000, %d, %v",
			b.Difference, len(b.Findings), b.Findings[0].Message, maxFindings, first)
	}
}

func TestASourceThatCannotBeReadIsAnErrorAndNoBalance(t *testing.T) {
	w := newTown()
	w.take(1)
	w.doorsErr = errBroken
	if b, err := Balance(context.Background(), w.sources(), time.Time{}, time.Time{}); !errors.Is(err, errBroken) {
		t.Errorf("balance = %+v, %v, want an error", b, err)
	}
	if _, err := Balance(context.Background(), Sources{}, time.Time{}, time.Time{}); err == nil {
		t.Error("a balance from no sources")
	}
}

func TestABalanceEndsWithItsContext(t *testing.T) {
	w := newTown()
	for range 2000 {
		w.take(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Balance(ctx, w.sources(), time.Time{}, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
}

// A settlement on another node's chain, which is read before the chain that accepted
// the message, counts like any other, and the newest wins.
func TestChainsOfTwoNodesMayBeReadInAnyOrder(t *testing.T) {
	w := newTown()
	w.chain = NewChain("node2", t0)
	r := ref(w.take(1))
	w.attempt(r)
	w.answer(r, doppelboden.Took)
	accepted := w.links
	w.links, w.chain = nil, NewChain("node1", t0)
	w.settle(r, doppelboden.Delivered, "courier")
	w.links = append(w.links, accepted...) // node1 comes first
	held := NewChain("node3", t0)
	w.links = append(w.links, held.Next(w.now.Add(-time.Second), []doppelboden.Entry{
		{Kind: doppelboden.EntrySettled, At: w.now.Add(-time.Second), Message: r.Message, State: doppelboden.Held, By: "courier"}}))
	if b := draw(t, w); b.Delivered != 1 || b.Difference != 0 {
		t.Errorf("balance = %+v, want 1 delivered and no difference", b)
	}
}

// The real logs, with a day that is damaged and a day that is gone.
func TestTheTalliesOnTheDiskAreRead(t *testing.T) {
	dir := t.TempDir()
	w := newTown()
	clock := func() time.Time { return w.now }
	doors, err := tally.OpenDoors(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	replies, err := tally.OpenReplies(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	one, two := w.take(1), w.take(1)
	w.hand(ref(one))
	w.now = w.now.Add(24 * time.Hour)
	w.hand(ref(w.take(1)))
	for _, r := range w.doors {
		if r.Kind == tally.Intent {
			doors.Intent(r.ID, r.Recipients, r.At)
		} else {
			doors.Sent(r.ID, r.At)
		}
	}
	for _, r := range w.replies {
		if r.Kind == tally.Attempt {
			replies.Attempt([]doppelboden.Ref{r.Ref}, "groupware", r.At)
		} else {
			replies.Answer(doppelboden.Outcome{Ref: r.Ref, Verdict: r.Verdict, At: r.At})
		}
	}
	balance := func() doppelboden.Balance {
		s := w.sources()
		s.Doors, s.Replies = Tally{Dir: dir, Flush: doors.Flush}, Tally{Dir: dir, Flush: replies.Flush}
		b, err := Balance(context.Background(), s, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		adds(t, b)
		return b
	}
	if b := balance(); b.Delivered != 2 || b.Queued != 1 || b.Difference != 0 {
		t.Fatalf("balance = %+v, want 2 delivered, 1 queued", b)
	}
	if err := errors.Join(doors.Close(), replies.Close()); err != nil {
		t.Fatal(err)
	}

	spoil(t, dir, "doors-2026-11-20", 40) // in the second of its records
	b := balance()
	if b.Difference == 0 || !strings.Contains(b.Findings[0].What, "the doors of 2026-11-20 is damaged") {
		t.Errorf("with a damaged record: %+v, want it found", b)
	}
	remove(t, dir, "replies-2026-11-21")
	b = balance()
	if b.Difference == 0 || !strings.Contains(b.Findings[0].What+b.Findings[1].What, "the replies of 2026-11-21 is missing") {
		t.Errorf("without a day of replies: %+v, want it found", b)
	}
	_ = two
}

// spoil flips a bit of the one file whose name begins with name.
func spoil(t *testing.T, dir, name string, offset int64) {
	t.Helper()
	path := theFile(t, dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[offset] ^= 0x10
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(theFile(t, dir, name)); err != nil {
		t.Fatal(err)
	}
}

func theFile(t *testing.T, dir, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, name+"*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files %v of %s, %v; want one", found, name, err)
	}
	return found[0]
}

// A flow is mail that moves a step whenever something is read: some messages, each
// with the steps that are left of its life.
type flow struct {
	*town
	rand  *rand.Rand
	lives [][]func()
	moved int
}

// live appends the life of a message, in the order that Sources demands.
func (f *flow) live() {
	n := 1 + f.rand.IntN(3)
	var id doppelboden.ID
	steps := []func(){
		func() { id = f.ids.New(f.tick()) },
		func() { f.announce(id, n) },
		func() { f.keep(f.entryFor(id, n)) },
		func() { f.fate(id, tally.Sent) },
	}
	for i := range n {
		at := func() doppelboden.Ref { return doppelboden.Ref{Message: id, N: i} }
		for f.rand.IntN(3) == 0 {
			steps = append(steps,
				func() { f.attempt(at()) },
				func() { f.answer(at(), doppelboden.Later) },
				func() { f.settle(at(), doppelboden.Held, "courier") },
				func() { f.settle(at(), doppelboden.Queued, "anna") })
		}
		steps = append(steps,
			func() { f.attempt(at()) },
			func() { f.answer(at(), doppelboden.Took) },
			func() { f.settle(at(), doppelboden.Delivered, "courier") })
	}
	if f.rand.IntN(2) == 0 {
		steps = append(steps, func() { f.expire(id) })
	}
	f.lives = append(f.lives, steps)
}

// step lets one message move, and sometimes one more begin.
func (f *flow) step() {
	if f.rand.IntN(20) == 0 {
		f.live()
	}
	if len(f.lives) == 0 {
		return
	}
	i := f.rand.IntN(len(f.lives))
	f.lives[i][0]()
	f.moved++
	if f.lives[i] = f.lives[i][1:]; len(f.lives[i]) == 0 {
		f.lives = slices.Delete(f.lives, i, i+1)
	}
}

func TestRunningMailNeverLooksLikeADifference(t *testing.T) {
	moved, inFlight := 0, int64(0)
	for seed := range uint64(400) {
		f := &flow{town: newTown(), rand: rand.New(rand.NewPCG(seed, 1))}
		for range 12 {
			f.live()
		}
		for range f.rand.IntN(120) {
			f.step()
		}
		f.moved = 0
		f.during = func() {
			if f.rand.IntN(2) == 0 && f.moved < 200 { // so that a reading ends
				f.step()
			}
		}
		s := f.sources()
		if seed%2 == 0 {
			s.PerPass = 8
		}
		b, err := Balance(context.Background(), s, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		adds(t, b)
		if b.Difference != 0 {
			t.Fatalf("seed %d: difference %d while mail flows: %+v", seed, b.Difference, b.Findings)
		}
		moved += f.moved
		inFlight += b.Queued + b.Held + b.Unacknowledged + b.InDoubt

		f.during = nil
		for len(f.lives) > 0 {
			f.step()
		}
		end := draw(t, f.town)
		if end.Difference != 0 || end.InDoubt != 0 || end.Queued != 0 || end.Unacknowledged != 0 {
			t.Fatalf("seed %d: after everything has ended: %+v", seed, end)
		}
	}
	if moved < 4000 || inFlight < 400 {
		t.Errorf("only %d steps and %d deliveries in flight: the test shows nothing", moved, inFlight)
	}
}

// slowRows changes a delivery before or after a reading of rows, as mail that flows does.
type slowRows struct {
	*town
	reads         int
	before, after map[int]func() // by the number of the reading, from 1
}

// Deliveries implements Rows.
func (s *slowRows) Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error {
	s.reads++
	if move := s.before[s.reads]; move != nil {
		move()
	}
	err := s.town.Deliveries(ctx, f, yield)
	if move := s.after[s.reads]; move != nil {
		move()
	}
	return err
}

func TestADeliveryThatMovesBetweenTwoLooksIsLookedAtAgain(t *testing.T) {
	cases := []struct {
		name      string
		moves     func(s *slowRows, held, queued, handed func())
		reads     int
		delivered int64
	}{
		{"it moves after every look", func(s *slowRows, held, queued, handed func()) {
			s.after = map[int]func(){1: held, 2: queued, 3: handed}
		}, 4, 1},
		{"it moves and is back at the second look", func(s *slowRows, held, queued, _ func()) {
			s.after = map[int]func(){1: held}
			s.before = map[int]func(){2: queued}
		}, 2, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newTown()
			r := ref(w.take(1))
			rows := &slowRows{town: w}
			c.moves(rows,
				func() { w.tick(); w.settle(r, doppelboden.Held, "courier") },
				func() { w.tick(); w.settle(r, doppelboden.Queued, "anna") },
				func() { w.hand(r) })
			s := w.sources()
			s.Rows = rows
			b, err := Balance(context.Background(), s, time.Time{}, time.Time{})
			if err != nil || b.Difference != 0 || b.Delivered != c.delivered {
				t.Errorf("balance = %+v, %v, want %d delivered and no difference", b, err, c.delivered)
			}
			if rows.reads != c.reads {
				t.Errorf("rows were read %d times, want %d", rows.reads, c.reads)
			}
		})
	}
}

package search

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// A patience records for how long the worker wanted to wait, and lets no time pass.
type patience struct {
	mu    sync.Mutex
	waits []time.Duration
}

func (p *patience) timer(d time.Duration) (<-chan time.Time, func() bool) {
	p.mu.Lock()
	p.waits = append(p.waits, d)
	p.mu.Unlock()
	fired := make(chan time.Time, 1)
	fired <- time.Time{}
	return fired, func() bool { return true }
}

func TestTheWorkerStepsAsideWhileMailPoursIn(t *testing.T) {
	w := newTown(t)
	w.fill()
	rested := func(arrived int) time.Duration {
		p := &patience{}
		worker := NewWorker(w.room, p.timer)
		worker.Arrived(arrived)
		worker.rest(ctx, 10*time.Millisecond)
		return p.waits[0]
	}
	if got := rested(busyRate - 1); got != restIdle*10*time.Millisecond {
		t.Errorf("on a quiet day the worker rests for %v after 10 ms", got)
	}
	if got := rested(busyRate); got != restBusy*10*time.Millisecond {
		t.Errorf("while mail pours in the worker rests for %v after 10 ms", got)
	}
	worker := NewWorker(w.room, nil)
	worker.Arrived(busyRate)
	if w.pass(time.Second); !worker.busy() {
		t.Error("a second later the burst is forgotten, wanted it to count")
	}
	if w.pass(time.Second); worker.busy() {
		t.Error("two seconds later the worker still steps aside")
	}
}

func TestTheWorkerReadsWhatComesAndEndsWithItsContext(t *testing.T) {
	w := newTown(t)
	worker := NewWorker(w.room, nil)
	run, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { worker.Run(run) })
	id := w.accept(mail("a@b.example", "anna@stadt.example", "neu", "x"), w.anna)
	worker.Arrived(1)
	deadline := time.Now().Add(time.Minute)
	for has := 0; has == 0; {
		w.must(w.db.Extracts(ctx, w.anna.Tenant, []doppelboden.ID{id}, 0, func(e store.Extracted) error { has = e.Format; return nil }))
		if time.Now().After(deadline) {
			t.Fatal("after a minute there is no extract")
		}
	}
	cancel()
	work.Wait()
}

func TestOneMailThatCannotBeReadStopsNobody(t *testing.T) {
	w := newTown(t)
	lost := w.message(mail("a@b.example", "anna@stadt.example", "verloren", "antrag"), w.anna)
	lost.Body.Offset += 1 << 20
	_, err := w.db.Accept(ctx, lost)
	w.must(err)
	at := w.fill()
	w.extractAll()
	if got := w.find("antrag", at); got != "Öffnungszeiten | Bauantragsformular" {
		t.Errorf("found %q", got)
	}
	sums, err := w.room.Summaries(ctx, w.anna.Tenant, []doppelboden.ID{lost.ID})
	if err != nil || len(sums) != 0 {
		t.Errorf("a summary of what cannot be read: %v, %v", sums, err)
	}
}

// A trap is mails that nobody can read: some make the reader fail, others never come to an end.
type trap struct {
	fire    chan time.Time // the time is up for who waits
	release chan struct{}  // closed: what never ended ends
	tries   atomic.Int32
}

// setTrap has a room meet such mails: those with "FAIL" and "HANG" in their text.
func setTrap(w *town) *trap {
	p := &trap{fire: make(chan time.Time), release: make(chan struct{})}
	w.t.Cleanup(sync.OnceFunc(func() { p.free(w) }))
	w.room.timer = func(time.Duration) (<-chan time.Time, func() bool) { return p.fire, func() bool { return true } }
	w.room.parse = func(text []byte, limits letter.Limits) *letter.Letter {
		switch {
		case bytes.Contains(text, []byte("FAIL")):
			p.tries.Add(1)
			panic("the reader has a mistake")
		case bytes.Contains(text, []byte("HANG")):
			p.tries.Add(1)
			p.fire <- time.Time{}
			<-p.release
		}
		return letter.ParseBytes(text, limits)
	}
	return p
}

// free lets what never ended end, and waits for that.
func (p *trap) free(w *town) {
	select {
	case <-p.release:
	default:
		close(p.release)
	}
	for w.room.strays.Load() > 0 {
		runtime.Gosched()
	}
}

func TestMailsThatNobodyCanReadStopNobodyAndAreNotReadAgain(t *testing.T) {
	w := newTown(t)
	p := setTrap(w)
	far := strings.Repeat("x\r\n", briefSize)
	hang := w.accept(mail("a@b.example", "anna@stadt.example", "ohne Ende", "anfang\r\n"+far+"HANG"), w.anna)
	fail := w.accept(mail("a@b.example", "anna@stadt.example", "mit Fehler", "FAIL"), w.anna)
	w.accept(mail("a@b.example", "anna@stadt.example", "später", "antrag"), w.anna)
	at := w.inbox(w.anna)
	w.extractAll()
	if got := w.find("antrag", at); got != "später" {
		t.Errorf("behind mails that nobody can read is found %q", got)
	}
	if got := w.find("anfang", at); got != "ohne Ende" {
		t.Errorf("by its beginning is found %q", got)
	}
	sums, err := w.room.Summaries(ctx, w.anna.Tenant, []doppelboden.ID{hang, fail})
	if err != nil || len(sums) != 2 || sums[hang].Subject != "ohne Ende" {
		t.Errorf("lists show %+v, %v; wanted both, and of one its subject", sums, err)
	}
	w.extractAll() // as after a start
	w.must(w.room.Holds(ctx, w.anna.Tenant, []doppelboden.ID{hang, fail}, []Probe{{Field: AnyText, Value: "nirgends"}}, func(doppelboden.ID, []bool) error { return nil }))
	if got := p.tries.Load(); got != 2 {
		t.Errorf("they were read %d times, wanted each once", got)
	}
}

func TestWhileAMailNeverEndsLargeOnesWaitUntilItDoes(t *testing.T) {
	w := newTown(t)
	p := setTrap(w)
	w.accept(mail("a@b.example", "anna@stadt.example", "ohne Ende", strings.Repeat("x\r\n", briefSize)+"HANG"), w.anna)
	large := w.accept(mail("a@b.example", "anna@stadt.example", "groß", strings.Repeat("x\r\n", briefSize)+"HANG"+strings.Repeat("x\r\n", straySize/3)), w.anna)
	at := w.inbox(w.anna)
	w.extractAll()
	if got := p.tries.Load(); got != 1 {
		t.Errorf("%d mails that never end were begun, wanted one", got)
	}
	if sums, err := w.room.Summaries(ctx, w.anna.Tenant, []doppelboden.ID{large}); err != nil || sums[large].Subject != "groß" {
		t.Errorf("meanwhile a list shows %+v, %v", sums, err)
	}
	p.free(w)
	w.room.parse = letter.ParseBytes
	w.extractAll()
	if got := w.find("hang", at); got != "groß" {
		t.Errorf("afterwards is found %q, wanted the mail that was left for later", got)
	}
}

func TestAMailThatGrowsAsItIsFoldedIsReadOnce(t *testing.T) {
	w := newTown(t)
	w.accept(mail("a@b.example", "anna@stadt.example", "Segen", strings.Repeat("\ufdfa", textLimit/3)), w.anna)
	at := w.inbox(w.anna)
	w.extractAll()
	counted := &countingBodies{Bodies: w.room.opts.Bodies}
	w.room.opts.Bodies = counted
	if got := w.find("\ufdfa", at); got != "Segen" || counted.opened > 0 {
		t.Errorf("found %q, and the mail was read %d times more", got, counted.opened)
	}
}

// brokenStore fails to keep extracts.
type brokenStore struct {
	Store
	err error
}

func (b brokenStore) PutExtracts(context.Context, []store.Extract) error { return b.err }

func TestWhatCannotBeKeptIsMadeAgainLater(t *testing.T) {
	w := newTown(t)
	w.fill()
	whole := w.room.opts.Store
	w.room.opts.Store = brokenStore{whole, errors.New("the disk is full")}
	if next, err := NewWorker(w.room, nil).step(ctx, 0); err == nil || next != 0 {
		t.Errorf("went on to %d, %v; wanted to stay where it is", next, err)
	}
	if sums, err := w.room.Summaries(ctx, w.anna.Tenant, messagesIn(t, w, w.inbox(w.anna))); err != nil || len(sums) != 4 {
		t.Errorf("while nothing can be kept a list has %d mails, %v; wanted 4", len(sums), err)
	}
	w.room.opts.Store = whole
	w.extractAll()
	if list, _, err := w.db.Unextracted(ctx, format, 0, 100); err != nil || len(list) > 0 {
		t.Errorf("%d mails are without an extract, %v", len(list), err)
	}
}

// awayStore does not answer.
type awayStore struct{ Store }

func (awayStore) Message(context.Context, doppelboden.ID) (*doppelboden.Message, error) {
	return nil, errors.New("the database is away")
}

func TestNothingIsPassedOverWhileTheDatabaseIsAway(t *testing.T) {
	w := newTown(t)
	w.fill()
	w.room.opts.Store = awayStore{w.db}
	if next, err := NewWorker(w.room, nil).step(ctx, 0); err == nil || next != 0 {
		t.Errorf("went on to %d, %v; wanted to stay where it is", next, err)
	}
}

// messagesIn returns the messages in a folder.
func messagesIn(t testing.TB, w *town, at store.Place) (ids []doppelboden.ID) {
	t.Helper()
	w.must(w.db.Shown(ctx, at, store.ShownFilter{}, func(s store.Shown) error { ids = append(ids, s.Message); return nil }))
	return ids
}

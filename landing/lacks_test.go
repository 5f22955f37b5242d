package landing

import (
	"errors"
	"testing"
	"time"
)

// lacks asks whether the store has lost what it had.
func (q *quay) lacks(t testing.TB, when string, want bool) {
	t.Helper()
	if err := q.CatchUp(t.Context()); err != nil {
		t.Fatalf("%s: CatchUp: %v", when, err)
	}
	if got, err := q.Lacks(t.Context()); got != want || err != nil {
		t.Errorf("%s: Lacks says %v, %v; want %v", when, got, err, want)
	}
}

// A link is written before it is on the disk, and it is on the disk before it is drained. The
// test turns red when what was written is taken for what the store had.
func TestAStoreThatGetsMailJustNowHasLostNothing(t *testing.T) {
	q := newQuay(t)
	syncing, gate := make(chan struct{}), make(chan struct{})
	first := true
	q.sync = func() error {
		if first { // the goroutine that commits is the only one here
			first = false
			close(syncing)
			<-gate
		}
		return nil
	}
	q.run()
	m, done := q.message(), make(chan error)
	go func() { _, err := q.Accept(t.Context(), m); done <- err }()
	<-syncing
	q.lacks(t, "while a mail is being synced", false)
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	q.lacks(t, "with the mail in the store", false)
	q.base.lose(0)
	q.lacks(t, "after the store has lost it", true)
}

// TestWhatTheStoreHadOfAnEarlierRunIsMissedToo turns red when only the chain of this run is
// looked at.
func TestWhatTheStoreHadOfAnEarlierRunIsMissedToo(t *testing.T) {
	q := newQuay(t)
	q.run()
	for range 3 {
		q.accept(t)
		q.caughtUp(t)
	}
	if err := q.leave(); err != nil {
		t.Fatal(err)
	}
	q.now = q.now.Add(time.Hour)
	q.open(t)
	q.run()
	q.lacks(t, "after a restart", false)
	q.base.lose(2)
	q.lacks(t, "with a link of the run before gone", true)
	q.accept(t) // begins a chain of its own and hides nothing
	q.lacks(t, "with a new chain", true)
	q.Rewind(time.Time{}, false)
	q.lacks(t, "after all was drained again", false)
	q.base.die(errors.New("gone"))
	if _, err := q.Lacks(t.Context()); err == nil {
		t.Error("a store that does not answer: no error, want that nobody knows")
	}
}

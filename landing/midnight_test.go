package landing

import (
	"errors"
	"testing"
	"time"

	"doppelboden/disk/diskfault"
)

// A disk that is full, or broken, while a day ends must not keep the doors closed after it
// works again: the log of the day cannot be ended any more, and the next one begins.
func TestADiskThatFailsAtMidnightIsForgottenWhenItWorksAgain(t *testing.T) {
	for _, op := range []string{diskfault.OpWrite, diskfault.OpSync, diskfault.OpCreate} {
		t.Run(op, func(t *testing.T) {
			q := newQuay(t)
			broken := false
			q.disk.Fault = func(asked, _ string) error {
				q.mu.Lock()
				defer q.mu.Unlock()
				if broken && asked == op {
					return errors.New("the disk breaks at " + op)
				}
				return nil
			}
			q.run()
			before := q.accept(t)
			q.mu.Lock()
			broken = true
			q.now = q.now.Add(24 * time.Hour)
			q.mu.Unlock()
			for range 3 {
				if _, err := q.Accept(t.Context(), q.message()); err == nil {
					t.Fatal("a message was acknowledged on a broken disk")
				}
			}
			q.mu.Lock()
			broken = false
			q.mu.Unlock()
			var err error
			after := q.message()
			for range 3 { // what was not sure is seen through first
				if _, err = q.Accept(t.Context(), after); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatalf("Accept on a disk that works again: %v", err)
			}
			q.caughtUp(t)
			if !q.base.has(before.ID) || !q.base.has(after.ID) {
				t.Fatal("a message is missing in the store")
			}
			if err := q.leave(); err != nil {
				t.Fatal(err)
			}
			q.base = newBase()
			q.open(t)
			q.run()
			q.caughtUp(t)
			if !q.base.has(before.ID) || !q.base.has(after.ID) {
				t.Fatal("a message is missing after the next start")
			}
		})
	}
}

// A read that fails once is tried again although no mail comes, and meanwhile is told of.
func TestAJournalThatCannotBeReadForAMomentIsReadAgain(t *testing.T) {
	q := newQuay(t)
	m := q.accept(t)
	q.drainer.mu.Lock()
	q.drainer.memory, q.drainer.bytes = nil, 0
	q.drainer.mu.Unlock()
	<-q.drainer.kick
	failed := false
	q.disk.Fault = func(op, _ string) error {
		q.mu.Lock()
		defer q.mu.Unlock()
		if op != diskfault.OpRead || failed {
			return nil
		}
		failed = true
		return errors.New("the disk breaks at read")
	}
	q.run()
	for q.CatchUp(t.Context()) != nil { // it tells of the failure
	}
	if !q.base.has(m.ID) {
		t.Error("the message is missing in the store")
	}
}

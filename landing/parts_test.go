package landing

import (
	"errors"
	"syscall"
	"testing"

	"doppelboden/disk/diskfault"
)

// Whoever reads the journal, or copies it, does so while a failed sync has a new part
// begin: go test -race.
func TestThePartsOfALogAreReadWhileAFailedSyncBeginsAnother(t *testing.T) {
	q := newQuay(t)
	q.drainer.room = 0 // everything is read from the journal
	var n int
	q.disk.Fault = func(op, _ string) error {
		if op == diskfault.OpAllocate {
			return syscall.EOPNOTSUPP // else every part fills memory with zeros
		}
		if op != diskfault.OpSync {
			return nil
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if n++; n%2 == 0 {
			return errors.New("the disk breaks at sync")
		}
		return nil
	}
	q.run()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			q.Accept(t.Context(), q.message())
		}
	}()
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
		}
		if _, err := q.Files(); err != nil {
			t.Fatal(err)
		}
	}
	q.caughtUp(t)
}

package landing

import (
	"context"
	"testing"
	"time"
)

func TestWhoWaitsForTheDatabaseDoesNotWaitForALargerBatch(t *testing.T) {
	q := newQuay(t)
	q.drainer.pace = time.Hour // in which a batch would grow
	q.drainer.mu.Lock()
	drained := q.drainer.changed
	q.drainer.mu.Unlock()
	q.run()
	q.accept(t) // what comes alone is drained at once, and the hour begins
	<-drained
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 3 {
		m := q.accept(t)
		if err := q.CatchUp(ctx); err != nil {
			t.Fatalf("waiting for message %d, while batches are an hour apart: %v", i+1, err)
		}
		if !q.base.has(m.ID) {
			t.Errorf("message %d is not in the store, and nobody waits for it any more", i+1)
		}
	}
}

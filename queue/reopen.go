package queue

import (
	"context"
	"fmt"

	"doppelboden"
)

// Reopen writes settlements that open deliveries again which have ended (see
// store.Effective), and has them handed over in their order. It may be repeated after an
// error. Who opens many says so with Recount when all are.
func (q *Queue) Reopen(ctx context.Context, batch []doppelboden.Settlement) error {
	if err := q.carryOut(ctx, batch, doppelboden.Queued); err != nil {
		return fmt.Errorf("open deliveries again: %w", err)
	}
	return nil
}

// Recount makes the lanes know how much waits in them, after Reopen.
func (q *Queue) Recount(ctx context.Context) error { return q.recount(ctx) }

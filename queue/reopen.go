package queue

import (
	"context"
	"fmt"

	"doppelboden"
)

// Reopen writes settlements that open deliveries again which have ended (see
// store.Effective), and has them handed over in their order. It may be repeated after an
// error.
func (q *Queue) Reopen(ctx context.Context, batch []doppelboden.Settlement) error {
	if err := q.carryOut(ctx, batch, doppelboden.Queued); err != nil {
		return fmt.Errorf("open deliveries again: %w", err)
	}
	return q.recount(ctx)
}

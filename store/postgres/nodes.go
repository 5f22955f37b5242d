package postgres

import (
	"context"
	"fmt"
	"time"

	"doppelboden/store"
)

// Join registers a node for a new run. Epochs grow over all nodes.
func (s *Store) Join(ctx context.Context, node string, at time.Time) (lease store.Lease, err error) {
	err = s.write(ctx, func(t *tx) error {
		r, err := t.one(`WITH given AS (UPDATE sequence SET next = next + 1 WHERE name = 'epoch' RETURNING next - 1 AS epoch)
			INSERT INTO node (name, epoch, joined, beat) SELECT $1, epoch, $2, $2 FROM given
			ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, joined = excluded.joined, beat = excluded.beat
			RETURNING epoch`, node, micros(at))
		if err != nil {
			return fmt.Errorf("join node: %w", err)
		}
		lease = store.Lease{Node: node, Epoch: asInt(r[0])}
		return nil
	})
	if err != nil {
		return store.Lease{}, err
	}
	return lease, nil
}

// Beat says that a node lives.
func (s *Store) Beat(ctx context.Context, l store.Lease, at time.Time) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(l); err != nil {
			return err
		}
		if _, err := t.exec("UPDATE node SET beat = $1 WHERE name = $2", micros(at), l.Node); err != nil {
			return fmt.Errorf("beat: %w", err)
		}
		return nil
	})
}

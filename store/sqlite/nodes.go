package sqlite

import (
	"context"
	"fmt"
	"time"

	"doppelboden/store"
)

// Join registers a node for a new run. Epochs grow over all nodes.
func (s *Store) Join(ctx context.Context, node string, at time.Time) (lease store.Lease, err error) {
	err = s.write(ctx, func(t *tx) error {
		row, err := t.c.one(background, `INSERT INTO node (name, epoch, joined, beat)
			SELECT ?1, ifnull(max(epoch), 0) + 1, ?2, ?2 FROM node WHERE true
			ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, joined = excluded.joined, beat = excluded.beat
			RETURNING epoch`, node, micros(at))
		if err != nil {
			return fmt.Errorf("join node: %w", err)
		}
		lease = store.Lease{Node: node, Epoch: asInt(row[0])}
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
		if _, err := t.c.exec(background, "UPDATE node SET beat = ? WHERE name = ?", micros(at), l.Node); err != nil {
			return fmt.Errorf("beat: %w", err)
		}
		return nil
	})
}

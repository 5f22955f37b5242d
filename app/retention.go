package app

import (
	"context"
	"time"

	"doppelboden/keyring"
	"doppelboden/retention"
)

// retention returns the job that removes what has outlived its time.
func (n *Node) retention() *retention.Job {
	return retention.New(retention.Options{
		Store: n.store, Bodies: n.bodies, Logs: []retention.Log{n.doors, n.replies}, Log: n.log, Clock: n.clock,
		Days: func() int { return n.house.Directory().City().RetentionDays },
		Here: n.house.hereMailboxes, Guard: &n.moving,
	})
}

// rotation is how this node changes keys.
func (n *Node) rotation() keyring.Rotation {
	return keyring.Rotation{Grace: keyring.Grace, Guard: &n.moving}
}

// finishKeys ends changes of keys that a crash or an error stopped, and removes old
// versions when nothing needs them any more.
func (n *Node) finishKeys(ctx context.Context) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		if err := n.ring.Finish(ctx, n.rotation()); err != nil && ctx.Err() == nil {
			n.log.Error("a change of keys stopped half-way and will go on", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

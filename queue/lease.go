package queue

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

const (
	// LeaseTime is how long a node may hand over mail after its last heartbeat. A rival
	// takes over only after it has itself read no heartbeat for this long.
	LeaseTime = 30 * time.Second
	// beatEvery leaves room for several heartbeats that fail. Each is a commit, so it
	// is also what an idle node costs.
	beatEvery = 10 * time.Second
	// shortLease is the rest below which no final dot is sent any more: a server may
	// need that long to answer it.
	shortLease = 10 * time.Second
)

// Beater writes a node's heartbeat; see store.Nodes.
type Beater interface {
	Beat(ctx context.Context, l store.Lease, at time.Time) error
}

// A Keeper keeps a node's lease fresh and knows how long it lasts.
type Keeper struct {
	store Beater
	lease store.Lease // of Take; not changed while Run runs
	clock func() time.Time
	timer clock.Timer
	log   *slog.Logger
	last  atomic.Pointer[time.Time] // begin of the last heartbeat that was written
}

// NewKeeper returns a keeper without a lease: no final dot may be sent.
func NewKeeper(s Beater, now func() time.Time, timer clock.Timer, log *slog.Logger) *Keeper {
	k := &Keeper{store: s, clock: now, timer: timer, log: log}
	k.last.Store(&time.Time{})
	return k
}

// Take makes l, which was taken at the time joined, the lease that is kept. It must not be
// called while Run runs.
func (k *Keeper) Take(l store.Lease, joined time.Time) {
	k.lease = l
	k.last.Store(&joined)
}

// MayDot reports whether the lease lasts long enough to send a final dot (promise 4).
func (k *Keeper) MayDot() bool {
	return k.clock().Sub(*k.last.Load()) < LeaseTime-shortLease
}

// Run beats until ctx ends, or returns the error when another node has taken over.
func (k *Keeper) Run(ctx context.Context) error {
	for clock.Sleep(ctx, k.timer, beatEvery) {
		now := k.clock()
		err := k.store.Beat(ctx, k.lease, now)
		switch {
		case err == nil:
			k.last.Store(&now)
		case doppelboden.CodeOf(err) == doppelboden.Fenced:
			return err
		case ctx.Err() == nil:
			k.log.Error("the heartbeat cannot be written", "err", err)
		}
	}
	return nil
}

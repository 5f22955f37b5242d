package app

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// startWork starts what needs the database, or, while that does not answer, what waits for
// it: then the doors open without.
func (n *Node) startWork(ctx context.Context) error {
	n.onStop("what needs the database", n.working.stop)
	if n.db.start == nil {
		err := n.work(ctx)
		if err == nil || n.db.late == nil {
			return err
		}
		n.log.Error("the database went away while the node started", "err", err)
	}
	n.background(ctx, "the return of the database", n.awaitDatabase)
	return nil
}

// awaitDatabase asks for the database until it answers and everything that needs it runs.
func (n *Node) awaitDatabase(ctx context.Context) {
	told := ""
	ticker := time.NewTicker(returnEvery)
	defer ticker.Stop()
	for {
		err := n.resume(ctx)
		if err == nil {
			n.log.Info("the database answers; the node works with it")
			return
		}
		if ctx.Err() != nil {
			return
		}
		if err.Error() != told { // it says the same every second
			told = err.Error()
			n.log.Error("the node does not work with the database yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// resume does with the database what a start with it would have done, and starts what
// needs it. It may be repeated after any error.
func (n *Node) resume(ctx context.Context) error {
	if err := n.enter(ctx); err != nil {
		return err
	}
	n.house.people.changing.Lock()
	defer n.house.people.changing.Unlock()
	// What the ring knows was used meanwhile, so that it comes before all that can fail.
	if err := n.ring.Reload(ctx); err != nil {
		return fmt.Errorf("join the tenants' keys: %w", err)
	}
	tenants, configured, err := n.readCity(ctx, n.store)
	if err != nil {
		return err
	}
	if err := n.ring.Ensure(ctx, idsOf(tenants)); err != nil {
		return fmt.Errorf("make keys for tenants: %w", err)
	}
	d, err := readDirectory(ctx, n.store, tenants, configured)
	if err != nil {
		return err
	}
	if err := n.internet.destinations.Read(ctx); err != nil {
		return err
	}
	if err := errors.Join(n.house.Listed(ctx), n.house.count(ctx)); err != nil {
		return err
	}
	// What is wrong with them keeps nobody from getting mail; alarms tell it.
	if err := errors.Join(n.scanning.follow(d), n.own.follow(d), n.groupwares.follow(d)); err != nil {
		n.log.Error("not all of the configuration can be used", "err", err)
	}
	n.house.use(d)
	return n.work(ctx)
}

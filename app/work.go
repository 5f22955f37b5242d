package app

import (
	"context"
	"errors"
	"fmt"

	"doppelboden/city"
)

// work starts everything that needs the working database, and returns when it runs. After
// an error nothing of it runs, and it may be called again.
func (n *Node) work(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			n.db.working.Store(false)
			err = errors.Join(err, n.working.stop(context.WithoutCancel(ctx)))
		}
	}()
	w := &n.working
	if err := n.events.Lead(ctx, n.lease); err != nil {
		return err
	}
	if err := n.settleKnown(ctx); err != nil {
		return err
	}
	if err := n.renumberRestored(ctx); err != nil {
		return err
	}
	w.background(ctx, "knots", n.tieKnots)
	if n.opts.Node.Has(city.RoleQueue) {
		if err := n.handback.Load(ctx); err != nil {
			return err
		}
		if err := n.runQueue(ctx); err != nil {
			return fmt.Errorf("start the queue: %w", err)
		}
		w.background(ctx, "the events", n.events.Run)
		w.background(ctx, "the crisis team", n.runCrisis)
		w.background(ctx, "SMS", n.sms.Run)
		w.background(ctx, "the delay notices", n.delays.Run)
		w.background(ctx, "the accounts", n.careForAccounts)
		w.background(ctx, "appeals", n.appeals.Run)
		w.background(ctx, "reading back", n.reader.Run)
		w.background(ctx, "what people did", n.handback.Run)
		w.background(ctx, "replays", n.runReplays)
		w.background(ctx, "the filling of mailboxes", n.harvest.Run)
		w.background(ctx, "scanning again", n.scanning.again.Run)
	}
	if err := n.workFolders(ctx); err != nil {
		return err
	}
	w.background(ctx, "the extracts of mails", n.extracts.Run)
	n.workAbsence(ctx)
	w.background(ctx, "what people leave with mailboxes", n.careForSlips)
	w.background(ctx, "the directories", n.house.people.refresher.Run)
	w.background(ctx, "the count of mail for nobody", n.countKept)
	w.background(ctx, "retention", n.retention().Run)
	w.background(ctx, "the keys", n.vault.run)
	if n.db.keeper != nil {
		w.background(ctx, "the mirror of the database", n.db.keeper.Run)
	}
	n.db.working.Store(true)
	return nil
}

package app

import (
	"context"
	"crypto/ed25519"
	"io"
	"time"

	"doppelboden"
	"doppelboden/ledger"
	"doppelboden/retention"
)

// A proof answers the questions about what can be proved. It fulfils control.Ledger.
type proof struct{ n *Node }

// Balance implements control.Ledger.
func (p proof) Balance(ctx context.Context, from, to time.Time, progress func(ledger.Progress)) (doppelboden.Balance, error) {
	n := p.n
	// Before that the logs are gone, and what is not known must not look like a loss.
	if kept := retention.LogsSince(n.clock(), n.house.Directory().City().RetentionDays); from.Before(kept) {
		from = kept
	}
	logs := ledger.Tally{Dir: n.tallyDir(), Flush: n.flushTallies}
	rows := view{n.store, n.landing}
	return ledger.Balance(ctx, ledger.Sources{
		Doors: logs, Replies: logs, Ledger: rows, Rows: rows,
		Clock: n.clock, Started: n.started, Progress: progress,
	}, from, to)
}

// Verify implements control.Ledger. Who has seen a whole report knows also that the database
// was rolled back.
func (p proof) Verify(ctx context.Context, progress func(ledger.Progress)) (ledger.Report, error) {
	report, err := ledger.Verify(ctx, view{p.n.store, p.n.landing}, ledger.VerifyOptions{
		Keys:    []ed25519.PublicKey{ledger.PublicKey(p.n.signer)},
		Folders: []string{ledger.Folder(p.n.opts.Node.Data)},
	}, progress)
	if err == nil {
		p.seen(ctx)
	}
	return report, err
}

// seen ends the alarm about a database that was rolled back.
func (p proof) seen(ctx context.Context) {
	n := p.n
	if !n.cellar.ledger.rolledBack() {
		return
	}
	if err := n.knotter.Seen(ctx); err != nil {
		n.log.Error("that somebody has seen what the database lost cannot be noted; its alarm stays", "err", err)
		return
	}
	n.cellar.ledger.seen()
	n.log.Info("what the database lost was seen by somebody; its alarm ends")
	n.lookNow()
}

// Export implements control.Ledger.
func (p proof) Export(ctx context.Context, w io.Writer, from, to time.Time) error {
	return ledger.Export(ctx, view{p.n.store, p.n.landing}, w, from, to)
}

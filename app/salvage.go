package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"doppelboden/backup"
	"doppelboden/clock"
	"doppelboden/disk"
	"doppelboden/ledger"
	"doppelboden/salvage"
)

// landingKept is how long the landing keeps what was drained, and so how far back a
// database can be made whole again.
const landingKept = 7 * 24 * time.Hour

// openSalvage makes what stands between the landing and the database.
func (n *Node) openSalvage() (err error) {
	n.salvager, err = salvage.New(salvage.Options{
		Store: n.store, Drainer: numbering{n.store, n}, Replies: ledger.Tally{Dir: n.tallyDir(), Flush: n.flushTallies}, Clock: n.clock, Log: n.log,
		Back: landingKept + 24*time.Hour,
		Kept: func() time.Time { return n.clock().AddDate(0, 0, -n.house.Directory().City().RetentionDays) },
	})
	return err
}

// settleKnown ends what waits in the database although a next server took it, before
// anything is handed over: the database may have been restored from an older state.
func (n *Node) settleKnown(ctx context.Context) error {
	n.salvager.Lead(n.lease)
	if _, err := n.salvager.Delivered(ctx); err != nil {
		return fmt.Errorf("settle what was delivered: %w", err)
	}
	return nil
}

// olderFile lies in the data folder of a node whose database came back older than it was, and
// says when that was last.
const olderFile = "older"

// cameBack returns when the database last came back older than it was, or the zero time.
func (n *Node) cameBack() time.Time {
	text, err := os.ReadFile(filepath.Join(n.opts.Node.Data, olderFile))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}
	}
	at, wrong := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(text)))
	if err := errors.Join(err, wrong); err != nil {
		n.log.Warn("it is not known when the database came back older; everything is compared", "err", err)
		return n.clock()
	}
	return at
}

// noteOlder notes that the database has just come back older than it was.
func (n *Node) noteOlder() error {
	text := n.clock().UTC().Format(time.RFC3339Nano) + "\n"
	return disk.Replace(disk.OS{}, filepath.Join(n.opts.Node.Data, olderFile), []byte(text))
}

// renumberRestored gives the folders of all mailboxes other UIDVALIDITYs when the database
// was restored: clients may have been told UIDs since the backup that come again for
// other mail (RFC 9051, section 2.3.1.1).
func (n *Node) renumberRestored(ctx context.Context) error {
	mark := filepath.Join(n.opts.Node.Data, backup.RestoredFile)
	if _, err := os.Lstat(mark); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := n.noteOlder(); err != nil {
		return fmt.Errorf("note that the database was restored: %w", err)
	}
	if err := n.store.Renumber(ctx, 0); err != nil {
		return fmt.Errorf("number mailboxes anew: %w", err)
	}
	n.log.Info("the database was restored; all mailboxes are numbered anew")
	if err := os.Remove(mark); err != nil {
		return fmt.Errorf("number mailboxes anew: %w", err)
	}
	return nil
}

// A rescue brings back what the database has lost. It fulfils control.Salvage.
type rescue struct{ n *Node }

// Salvage implements control.Salvage.
func (r rescue) Salvage(ctx context.Context, from time.Time, all bool, progress func(waiting int64)) (salvage.Report, error) {
	n := r.n
	end := n.salvager.Begin()
	n.landing.Rewind(from, all)
	err := r.wait(ctx, progress)
	if err == nil {
		_, err = n.salvager.Delivered(ctx)
		n.house.queue.Refresh()
	}
	report := end()
	n.log.Info("salvage", "from", from, "all", all, "seen", report.Seen, "back", report.Back, "delivered", report.Delivered, "again", report.Again, "err", err)
	return report, err
}

// wait waits until the landing has offered everything again.
func (r rescue) wait(ctx context.Context, progress func(waiting int64)) error {
	done := make(chan error, 1)
	go func() { done <- r.n.landing.CatchUp(ctx) }()
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
			progress(r.n.landing.Status().Messages)
		}
	}
}

// wholeEvery is how long to wait before what the database lost is asked for once more.
const wholeEvery = time.Second

// A loss is what is known of a database that came back older, and what is done about it.
type loss struct {
	known bool // it has lost something
	noted bool // in the data folder
	back  bool // the landing has offered it everything again
}

// makeWhole brings back what a database has lost that came back older than it was: after a
// promotion that lost commits, or restored from a backup. A database that has just returned
// may fail again at the first question, so all is repeated until it is done or ctx ends.
func (n *Node) makeWhole(ctx context.Context) {
	var is loss
	told := ""
	for {
		err := n.wholeNow(ctx, &is)
		if err == nil || ctx.Err() != nil {
			return
		}
		if err.Error() != told { // it may say the same every second
			told = err.Error()
			n.log.Error("what the database may have lost is not back yet; it is tried again", "err", err)
		}
		if !clock.Sleep(ctx, clock.Real, wholeEvery) {
			return
		}
	}
}

// wholeNow looks whether the database has lost something and does what is still to be done.
func (n *Node) wholeNow(ctx context.Context, is *loss) error {
	if !is.known {
		lost, err := n.hasLost(ctx)
		if err != nil || !lost {
			return err
		}
		is.known = true
		n.log.Error("the database has lost mail that it had; it is brought back from the landing")
	}
	// Each is done also while the others cannot be.
	var errs []error
	if !is.noted {
		err := backup.MarkOlder(n.opts.Node.Data, n.clock())
		is.noted = err == nil
		errs = append(errs, err)
	}
	errs = append(errs, n.renumberRestored(ctx))
	if !is.back || n.landing.Status().Lost {
		_, err := (rescue{n}).Salvage(ctx, time.Time{}, false, func(int64) {})
		is.back = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// hasLost reports whether the database lacks what was drained into it.
func (n *Node) hasLost(ctx context.Context) (bool, error) {
	err := n.landing.CatchUp(ctx)
	if n.landing.Status().Lost {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return n.landing.Lacks(ctx)
}

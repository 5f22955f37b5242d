package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/landing"
	"doppelboden/ledger"
	"doppelboden/queue"
	"doppelboden/segment"
	"doppelboden/store"
	"doppelboden/tally"
)

// landingFolder holds the journal of what the doors accepted, within the data folder.
const landingFolder = "landing"

// catchUp bounds how long a question of people waits for what landed a moment ago.
const catchUp = 5 * time.Second

// openLanding opens the journal. Doors may accept from then on.
func (n *Node) openLanding(context.Context) error {
	n.landed = ledger.NewChain(n.opts.Node.Name, n.clock())
	if err := n.openSalvage(); err != nil {
		return err
	}
	l, err := landing.Open(landing.Options{
		Dir: filepath.Join(n.opts.Node.Data, landingFolder), Store: n.salvager, Chain: n.landed, Keep: landingKept,
		Sync:    []func() error{n.bodies.Sync, n.doors.Sync, n.replies.Sync},
		Whole:   (&lastWords{n: n}).whole,
		Drained: n.drained,
		FS:      n.landingDisk(),
		Clock:   n.clock, Log: n.log, Registry: n.registry, MinFree: n.opts.Node.Limits.MinFreeMB << 20,
	})
	if err != nil {
		return err
	}
	n.landing = l
	n.onStop("the landing", func(context.Context) error { return l.Close() })
	for _, d := range l.Damage() {
		n.log.Error("damage in the landing", "err", d)
	}
	return nil
}

// landingDisk is the disk under the landing.
func (n *Node) landingDisk() disk.FS {
	if n.opts.Synchronous == "OFF" {
		return unsynced{}
	}
	return disk.OS{}
}

// An unsynced disk leaves to the kernel when it writes. It exists for the power-cut test,
// which must show that it finds a node that does not sync.
type unsynced struct{ disk.OS }

func (u unsynced) Create(name string) (disk.File, error) {
	f, err := u.OS.Create(name)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ disk.File }

func (unsyncedFile) Sync() error { return nil }

// startDraining brings what landed into the database.
func (n *Node) startDraining(ctx context.Context) {
	n.background(ctx, "the drainer", n.landing.Run)
	n.onStop("what landed", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, catchUp)
		defer cancel()
		if err := n.landing.CatchUp(ctx); err != nil {
			n.log.Warn("what landed waits for the next start", "messages", n.landing.Status().Messages, "err", err)
		}
		return nil
	})
}

// drained tells of messages that the database has now.
func (n *Node) drained(all []*doppelboden.Message) {
	for _, m := range all {
		n.house.queue.Notify(m)
		n.house.keptOne(m)
		if m.Scan == doppelboden.Unscanned {
			n.scanning.again.Noted(m)
		}
	}
	n.folders.Arrived(all)
	n.extracts.Arrived(len(all))
	n.absence.Arrived(all)
	n.harvest.Arrived(all)
}

// lastWords answers for messages that landed right before a crash whether they may have
// been acknowledged.
type lastWords struct {
	n       *Node
	seen    map[doppelboden.ID]tally.DoorKind // read at the first question
	damaged bool                              // the tally could not be read as a whole
}

// whole reports whether a message's body and its intent are on the disk, or its 250 was
// sent whatever became of them. What cannot be read for another reason than that it was
// never written proves nothing: then the message may have been acknowledged.
func (w *lastWords) whole(m *doppelboden.Message) bool {
	if w.seen == nil {
		w.seen = map[doppelboden.ID]tally.DoorKind{}
		// The clock of this start may be years behind that of the run before: what landed last
		// says when it was.
		at := m.ID.Time()
		to := at
		if now := w.n.clock(); now.After(to) {
			to = now
		}
		err := tally.ReadDoors(w.n.tallyDir(), at.Add(-24*time.Hour), to.Add(24*time.Hour), func(r tally.DoorRecord) error {
			w.seen[r.ID] = max(w.seen[r.ID], r.Kind)
			return nil
		})
		if err != nil {
			w.n.log.Warn("the doors' tally is damaged", "err", err)
			w.damaged = true
		}
	}
	kind, logged := w.seen[m.ID]
	if kind == tally.Sent || kind == tally.Unsent {
		return true
	}
	if !logged && !w.damaged && m.Door != "generated" {
		return false
	}
	err := w.read(m)
	var damage *segment.Damage
	if errors.As(err, &damage) {
		w.n.log.Warn("a message that was about to land when the node ended has no body; its sender was not told 250", "message", m.ID.String(), "err", err)
		return false
	}
	return true
}

// read reads a message's body, which is verified by that.
func (w *lastWords) read(m *doppelboden.Message) error {
	body, err := w.n.bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

// A view is the database as people see it: with what landed a moment ago.
type view struct {
	store.Store
	landing *landing.Landing
}

// fresh waits until everything that was accepted before is in the database.
func (v view) fresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	return v.landing.CatchUp(ctx)
}

// Ready says whether a message could be taken now.
func (v view) Ready() error { return v.landing.Ready() }

// Message implements store.Store.
func (v view) Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error) {
	m, err := v.Store.Message(ctx, id)
	if doppelboden.CodeOf(err) != doppelboden.NotFound || err == nil {
		return m, err
	}
	if err := v.fresh(ctx); err != nil {
		return nil, err
	}
	return v.Store.Message(ctx, id)
}

// ByReceipt implements store.Store.
func (v view) ByReceipt(ctx context.Context, r doppelboden.Receipt) (doppelboden.ID, error) {
	if err := v.fresh(ctx); err != nil {
		return doppelboden.ID{}, err
	}
	return v.Store.ByReceipt(ctx, r)
}

// Copies implements store.Store.
func (v view) Copies(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, yield func(doppelboden.Copy) error) error {
	if err := v.fresh(ctx); err != nil {
		return err
	}
	return v.Store.Copies(ctx, t, m, yield)
}

// Deliveries implements store.Store.
func (v view) Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error {
	if err := v.fresh(ctx); err != nil {
		return err
	}
	return v.Store.Deliveries(ctx, f, yield)
}

// Links implements store.Store.
func (v view) Links(ctx context.Context, from time.Time, yield func(doppelboden.Link) error) error {
	if err := v.fresh(ctx); err != nil {
		return err
	}
	return v.Store.Links(ctx, from, yield)
}

// decisions are the queue's as people take them: about what was accepted a moment ago, too.
type decisions struct {
	*queue.Queue
	view view
}

// Decide implements control.Queue.
func (d decisions) Decide(ctx context.Context, one queue.Decision) (int, error) {
	if err := d.view.fresh(ctx); err != nil {
		return 0, err
	}
	return d.Queue.Decide(ctx, one)
}

// landedFirst is asked before anything is removed for good: what is not in the database yet
// may need it.
func (n *Node) landedFirst(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := n.landing.CatchUp(ctx); err != nil {
		return errors.Join(errors.New("what landed is not in the database yet"), err)
	}
	if aside := n.landing.Status().Aside; aside > 0 {
		return fmt.Errorf("%d mails that landed lie aside, because the database refuses them: nothing that they may need is removed", aside)
	}
	return nil
}

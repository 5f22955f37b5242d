package mirror

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"doppelboden"
	"doppelboden/disk"
)

const (
	// least is the shortest time between two writings: an import of a list changes
	// something a hundred times a second.
	least = 2 * time.Second
	// share bounds what the mirror costs: after a writing that took some time it rests
	// this many times as long. 100,000 mailboxes are read and written in a second.
	share = 30
	// renewEvery is how often a mirror is written although nothing changed here: other
	// nodes change the database as well, and the mirror's age tells how much it proves.
	renewEvery = time.Hour
	// again is the time to the next try after one that failed.
	again = 5 * time.Second
)

// Options say what a Keeper works with. All must be set.
type Options struct {
	FS       disk.FS
	Dir      string // of the mirror; it is made
	Node     string // whose mirror it is
	From     Directory
	Clock    func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer

	// Refuse is asked before each change; its error is the answer, and the change does not
	// begin. So a database that is known to be away leaves no marker behind.
	Refuse func() error
}

func (o *Options) validate() error {
	if o.FS == nil || o.Dir == "" || o.Node == "" || o.From == nil || o.Clock == nil || o.Log == nil || o.Registry == nil || o.Refuse == nil {
		return errors.New("mirror: an option is not set")
	}
	return nil
}

// A Keeper writes the mirror of a database. It may be used by several goroutines.
type Keeper struct {
	opts    Options
	wake    chan struct{} // something changed; has room for one
	writing sync.Mutex    // held by who writes
	marking sync.Mutex    // held by who makes or removes the marker
	written prometheus.Gauge
	failed  prometheus.Counter

	mu      sync.Mutex
	running int   // changes that have begun and not ended
	changes int64 // that have begun, of any kind
	boxes   int64 // of these, those of mailboxes
	has     int64 // changes of mailboxes that the mirror has
	whole   bool  // whether this run has written both files
	marked  bool  // whether the marker is on the disk
	err     error // of the last writing
}

// NewKeeper returns a keeper. Nothing is written yet.
func NewKeeper(o Options) (*Keeper, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := o.FS.Mkdir(o.Dir); err != nil {
		return nil, fmt.Errorf("make the mirror's folder: %w", err)
	}
	marked, err := exists(o.FS, filepath.Join(o.Dir, behindFile))
	if err != nil {
		return nil, err
	}
	f := promauto.With(o.Registry)
	return &Keeper{
		opts: o, wake: make(chan struct{}, 1), marked: marked,
		written: f.NewGauge(prometheus.GaugeOpts{Name: "doppelboden_mirror_written_timestamp_seconds", Help: "When the mirror of the database was written last; 0: not in this run."}),
		failed:  f.NewCounter(prometheus.CounterOpts{Name: "doppelboden_mirror_failures_total", Help: "How often the mirror of the database could not be written."}),
	}, nil
}

// Err returns why the last writing led to nothing, or nil.
func (k *Keeper) Err() error { k.mu.Lock(); defer k.mu.Unlock(); return k.err }

// begin notes that a change goes to the database. mailboxes says that mailboxes change;
// then it is on the disk before it does: who exists must not be forgotten. After an error
// the change must not begin.
func (k *Keeper) begin(mailboxes bool) error {
	k.mu.Lock()
	k.running++
	k.changes++
	if mailboxes {
		k.boxes++
	}
	k.mu.Unlock()
	if !mailboxes {
		return nil
	}
	if err := k.mark(); err != nil {
		k.end()
		return fmt.Errorf("note that mailboxes change: %w", err)
	}
	return nil
}

// end notes that a change has ended, whether it took effect or not.
func (k *Keeper) end() {
	k.mu.Lock()
	k.running--
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// mark makes the marker.
func (k *Keeper) mark() error {
	k.marking.Lock()
	defer k.marking.Unlock()
	k.mu.Lock()
	marked := k.marked
	k.mu.Unlock()
	if marked {
		return nil
	}
	err := disk.Replace(k.opts.FS, filepath.Join(k.opts.Dir, behindFile), []byte("A change went to the database after the mirror was written.\n"))
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.marked = true
	k.mu.Unlock()
	return nil
}

// unmark removes the marker, unless a change has begun since.
func (k *Keeper) unmark(upto int64) error {
	k.marking.Lock()
	defer k.marking.Unlock()
	k.mu.Lock()
	stays := k.running > 0 || k.changes != upto || !k.marked
	k.mu.Unlock()
	if stays {
		return nil
	}
	if err := k.opts.FS.Remove(filepath.Join(k.opts.Dir, behindFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("say that the mirror has every change: %w", err)
	}
	k.mu.Lock()
	k.marked = false
	k.mu.Unlock()
	return k.opts.FS.SyncDir(k.opts.Dir)
}

// Run writes the mirror at once, after changes, and every hour, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	for {
		begun := time.Now()
		err := k.Write(ctx)
		rest := max(least, share*time.Since(begun))
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			k.opts.Log.Error("the mirror of the database cannot be written", "err", err)
			rest = again
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		if err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-renew.C:
			k.mu.Lock()
			k.whole = false
			k.mu.Unlock()
		}
	}
}

// Write writes what the database says now, as far as the mirror may lack it.
func (k *Keeper) Write(ctx context.Context) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	changes, boxes := k.changes, k.boxes
	running := k.running
	all := !k.whole || k.boxes != k.has
	k.mu.Unlock()
	err := k.write(ctx, all)
	if err == nil {
		k.mu.Lock()
		k.whole = true
		if running == 0 { // what runs may come after what was read
			k.has = boxes
		}
		k.mu.Unlock()
		if running == 0 {
			err = k.unmark(changes)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	if err != nil {
		k.failed.Inc()
		return err
	}
	k.written.Set(float64(k.opts.Clock().Unix()))
	return nil
}

// write reads the database and writes the files; all says that mailboxes are among it.
func (k *Keeper) write(ctx context.Context, all bool) error {
	r, err := k.gather(ctx)
	if err != nil {
		return fmt.Errorf("read what the mirror holds: %w", err)
	}
	if all {
		err := write(k.opts.FS, filepath.Join(k.opts.Dir, mailboxesFile), func(enc *gob.Encoder) error {
			err := k.opts.From.Mailboxes(ctx, func(m doppelboden.Mailbox) error { return enc.Encode(m) })
			if err != nil {
				return fmt.Errorf("read the mailboxes: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	// Last: its time is that of the whole.
	return write(k.opts.FS, filepath.Join(k.opts.Dir, restFile), func(enc *gob.Encoder) error { return enc.Encode(r) })
}

// gather reads everything but the mailboxes.
func (k *Keeper) gather(ctx context.Context) (r rest, err error) {
	from := k.opts.From
	r.At, r.Node = k.opts.Clock(), k.opts.Node
	pinned, err := from.Pinned(ctx, k.opts.Node)
	if err != nil {
		return r, err
	}
	if r.Config, err = from.Config(ctx, pinned); err != nil {
		return r, err
	}
	if r.Tenants, err = from.Tenants(ctx); err != nil {
		return r, err
	}
	if r.Standings, err = from.Standings(ctx); err != nil {
		return r, err
	}
	if r.Listings, err = from.Listings(ctx); err != nil {
		return r, err
	}
	if r.Keys, err = from.TenantKeys(ctx); err != nil {
		return r, err
	}
	if r.Ways, err = collect(ctx, from.Ways); err != nil {
		return r, err
	}
	to, err := collect(ctx, from.Destinations)
	for _, d := range to {
		if d.Mailbox != 0 {
			r.Destinations = append(r.Destinations, d)
		}
	}
	return r, err
}

// collect returns what a walk yields.
func collect[T any](ctx context.Context, walk func(context.Context, func(T) error) error) (all []T, err error) {
	err = walk(ctx, func(one T) error {
		all = append(all, one)
		return nil
	})
	return all, err
}

package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
)

// A KnotStore is what a Knotter needs of the store; see store.Ledger.
type KnotStore interface {
	ChainHeads(ctx context.Context) ([]doppelboden.Head, error)
	PutKnot(ctx context.Context, k doppelboden.Knot) error
	Knots(ctx context.Context, yield func(doppelboden.Knot) error) error
	LastKnot(ctx context.Context) (doppelboden.Knot, error)
}

// DefaultEvery is how often heads are tied. What happened since the last knot can be
// cut off without a trace, so it is short; a knot costs one small commit and one file.
const DefaultEvery = 10 * time.Second

// exportsPerTie bounds how many missed exports one round writes, each with two syncs,
// so that making knots goes on beside it.
const exportsPerTie = 100

// KnotterOptions say what a Knotter works with.
type KnotterOptions struct {
	Store KnotStore          // where heads are and knots go
	Key   ed25519.PrivateKey // signs
	Dir   string             // where knots are exported; made when its parent exists
	Every time.Duration      // between two rounds; 0: DefaultEvery
	Clock func() time.Time   // nil: time.Now
	Timer clock.Timer        // waits by it; nil: real time
	Log   *slog.Logger       // nil: nothing is logged

	// Own are the node's own chains, or nil. With them an idle node does not even read the
	// heads from the store; they may be given where no other node writes to the store.
	Own []*Chain

	// Report is told how each round went, so that an alarm can open and end. An error
	// that is ErrRolledBack comes once for each reason, and once in each run until
	// somebody has seen it; see Seen. Report may be nil.
	Report func(error)

	Registry prometheus.Registerer // nil: no metrics
}

// A Knotter ties the heads of all chains into signed knots and exports these as files.
//
// The first knot of a run and of a day names the heads of all chains; the others name
// those that moved since, because a chain is born with every start of a node and the
// knots of a day must not grow with the age of the installation. Prev ties the rest.
type Knotter struct {
	opts KnotterOptions

	mu       sync.Mutex                  // held during a round, and by Seen
	ready    bool                        // whether what follows was read from the store and the folder
	last     doppelboden.Knot            // the newest knot; Number 0: none
	exported int64                       // knots up to this number have their file
	tied     map[string]doppelboden.Head // the heads as knots of this run have named them
	day      string                      // of the newest knot of this run
	pending  *doppelboden.Knot           // a knot whose PutKnot had an unknown end
	older    older                       // what is known of a database that was rolled back

	knots    prometheus.Counter
	failures prometheus.Counter
}

// NewKnotter returns a Knotter that has not started.
func NewKnotter(o KnotterOptions) (*Knotter, error) {
	if o.Store == nil || o.Dir == "" || len(o.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("make knotter: store, folder or key is missing")
	}
	if o.Every <= 0 {
		o.Every = DefaultEvery
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Timer = clock.Or(o.Timer)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Knotter{
		opts: o,
		tied: map[string]doppelboden.Head{},
		knots: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_ledger_knots_total", Help: "Knots that were signed and stored."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_ledger_knot_failures_total", Help: "Rounds of the knotter that failed."}),
	}
	if o.Registry == nil {
		return k, nil
	}
	return k, errors.Join(o.Registry.Register(k.knots), o.Registry.Register(k.failures))
}

// Run makes a knot in every interval in which a head moved, until ctx ends. It makes
// none at the end: who has stopped the writers calls Tie.
func (k *Knotter) Run(ctx context.Context) {
	for clock.Sleep(ctx, k.opts.Timer, k.opts.Every) {
		k.round(ctx)
	}
}

// round makes a knot and reports how that went.
func (k *Knotter) round(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.tie(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		k.failures.Inc()
		k.opts.Log.Error("knot failed", "error", err)
	}
	if k.opts.Report != nil {
		k.opts.Report(err)
	}
}

// Tie makes a knot when a head moved since the last one, and writes exports that are
// missing. It reports whether it made a knot. After an error it is called again.
func (k *Knotter) Tie(ctx context.Context) (made bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tie(ctx)
}

// tie is Tie. The caller holds mu.
func (k *Knotter) tie(ctx context.Context) (made bool, err error) {
	if err := k.prepare(ctx); err != nil {
		return false, err
	}
	if k.pending == nil {
		if err := k.make(ctx); err != nil {
			return false, err
		}
	}
	if k.pending != nil {
		if err := k.put(ctx); err != nil {
			return false, err
		}
		made = true
	}
	return made, k.export(ctx)
}

// prepare reads where the knots stand, once.
func (k *Knotter) prepare(ctx context.Context) error {
	if k.ready {
		return nil
	}
	last, err := k.opts.Store.LastKnot(ctx)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		return fmt.Errorf("read last knot: %w", err)
	}
	if err := makeFolder(k.opts.Dir); err != nil {
		return fmt.Errorf("make folder of knots: %w", err)
	}
	exported, err := lastExported(k.opts.Dir)
	if err != nil {
		return fmt.Errorf("read folder of knots: %w", err)
	}
	k.last = last
	k.exported = min(exported, last.Number)
	k.tied = map[string]doppelboden.Head{}
	k.day = ""
	k.ready = true
	return k.compare(exported, last.Number)
}

// make makes the next knot and keeps it as pending, when a head moved.
func (k *Knotter) make(ctx context.Context) error {
	if k.idle() {
		return nil
	}
	heads, err := k.opts.Store.ChainHeads(ctx)
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	// After the heads were read, so that a knot is never older than what it names.
	now := time.UnixMicro(micros(k.opts.Clock())).UTC()
	if k.day == "" && k.last.Number > 0 && slices.Equal(heads, k.last.Heads) {
		k.remember(&k.last)
		return nil
	}
	var moved []doppelboden.Head
	for _, h := range heads {
		if k.tied[h.Chain] != h {
			moved = append(moved, h)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	if dayOf(now) != k.day {
		moved = heads
	}
	knot := doppelboden.Knot{Number: k.last.Number + 1, Prev: k.last.Hash, Heads: moved, At: now}
	knot.Hash = hashKnot(&knot)
	knot.Signature = ed25519.Sign(k.opts.Key, knot.Hash[:])
	k.pending = &knot
	return nil
}

// idle reports whether the own chains alone show that no head moved.
func (k *Knotter) idle() bool {
	if k.opts.Own == nil || k.day == "" {
		return false
	}
	for _, own := range k.opts.Own {
		if head := own.Head(); head.Number != k.tied[head.Chain].Number {
			return false
		}
	}
	return true
}

// remember notes what a knot of this run, or one that says the same, has tied.
func (k *Knotter) remember(knot *doppelboden.Knot) {
	k.day = dayOf(knot.At)
	for _, h := range knot.Heads {
		k.tied[h.Chain] = h
	}
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// put stores the pending knot. When the end of an earlier try is unknown, it repeats
// it; when the number is taken by another knot, it begins again.
func (k *Knotter) put(ctx context.Context) error {
	err := k.opts.Store.PutKnot(ctx, *k.pending)
	if doppelboden.CodeOf(err) == doppelboden.Invalid {
		k.ready, k.pending = false, nil
	}
	if err != nil {
		return fmt.Errorf("store knot: %w", err)
	}
	k.last, k.pending = *k.pending, nil
	k.remember(&k.last)
	k.knots.Inc()
	return nil
}

// errEnough ends a walk that has found what it needs.
var errEnough = errors.New("enough")

// export writes the files of knots that have none yet, oldest first.
func (k *Knotter) export(ctx context.Context) error {
	if k.exported == k.last.Number {
		return nil
	}
	if k.exported == k.last.Number-1 {
		return k.exportOne(&k.last)
	}
	var missing []doppelboden.Knot
	err := k.opts.Store.Knots(ctx, func(one doppelboden.Knot) error {
		if one.Number > k.exported {
			missing = append(missing, one)
		}
		if len(missing) == exportsPerTie {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read knots: %w", err)
	}
	for i := range missing {
		if err := k.exportOne(&missing[i]); err != nil {
			return err
		}
	}
	return nil
}

// exportOne writes one file. A knot that stands beside an older one of its number
// counts as exported; what that means is said once for each, until somebody has seen it.
func (k *Knotter) exportOne(one *doppelboden.Knot) error {
	err := writeKnot(k.opts.Dir, one)
	if err == nil || errors.Is(err, ErrRolledBack) {
		k.exported = one.Number
	}
	if errors.Is(err, ErrRolledBack) && k.older.Seen && one.Number <= k.older.Exported {
		return nil
	}
	return err
}

// PublicKey returns the key with which others check the knots that key signs.
func PublicKey(key ed25519.PrivateKey) ed25519.PublicKey {
	return key.Public().(ed25519.PublicKey)
}

// Folder returns where a node keeps its exported knots below its data folder.
func Folder(data string) string { return filepath.Join(data, "knots") }

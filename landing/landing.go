package landing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what a landing works with. All fields must be set unless a default is named.
type Options struct {
	Dir   string         // the journal's folder; made when missing
	Store store.Drainer  // the working store
	Chain store.Chain    // makes the links; nobody else uses it
	Sync  []func() error // run side by side with the journal's sync; must be durable when they return

	// Whole says at Open, of a message that nobody may have been told of, whether
	// everything that it refers to is on the disk.
	Whole func(*doppelboden.Message) bool
	// Drained is called with messages that the working store has, with their Seq; where
	// that is 0, it may have had them before. It must not wait.
	Drained func([]*doppelboden.Message)

	Clock    func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
	MinFree  int64         // bytes that must be free on the file system for Ready; 0: not asked
	Keep     time.Duration // how long what was drained stays; default a week
	FS       disk.FS       // default: that of the machine
}

func (o *Options) validate() error {
	if o.Dir == "" || o.Store == nil || o.Chain == nil || o.Whole == nil || o.Drained == nil || o.Clock == nil || o.Log == nil || o.Registry == nil {
		return errors.New("landing: Dir, Store, Chain, Whole, Drained, Clock, Log and Registry must be set")
	}
	if o.Keep <= 0 {
		o.Keep = 7 * 24 * time.Hour
	}
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	return nil
}

// A Landing takes messages into its journal and drains them into the working store.
type Landing struct {
	opts    Options
	metrics *metrics
	journal *journal
	damage  []*Damage
	health  health
	drainer drainer

	mu      sync.Mutex
	next    *round                    // what gathers now; nil: nothing
	pending map[doppelboden.ID]*round // what is being written, or was and is not sure yet
	late    lateIDs
	closed  bool
	kick    chan struct{} // wakes commits; holds one
	awaited int           // so many messages the next round waits for, when full is set
	full    chan struct{} // closed when they are there

	// Of the goroutine that commits alone.
	unsure []landed // in the journal, not known to be on the disk
	buf    []byte   // for payloads

	stop context.CancelFunc
	work sync.WaitGroup
}

// A round is the messages that share a commit.
type round struct {
	messages []*doppelboden.Message
	encoded  [][]byte
	probe    bool          // somebody asks whether the disk takes writes
	done     chan struct{} // closed when err is set
	err      error
}

// Open opens the journal, puts in order what a crash left, and starts to take messages. Run
// drains them.
func Open(o Options) (*Landing, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	j, damage, err := recoverJournal(o.FS, o.Dir, o.Whole)
	if err != nil {
		return nil, disk.Fail("open the landing", err)
	}
	l := &Landing{
		opts: o, journal: j, damage: damage, metrics: newMetrics(o.Registry),
		pending: map[doppelboden.ID]*round{}, late: lateIDs{}, kick: make(chan struct{}, 1),
	}
	l.drainer.init(l)
	if err := l.drainer.findAside(); err != nil {
		return nil, disk.Fail("open the landing", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.measure()
	l.work.Go(func() { l.commits(ctx) })
	l.work.Go(func() { l.monitor(ctx) })
	return l, nil
}

// Damage returns what was wrong with the journal at Open.
func (l *Landing) Damage() []*Damage { return l.damage }

// Accept implements store.Acceptor. Deliveries keep Seq 0: they get theirs when the message
// is drained. The caller must not change m afterwards.
func (l *Landing) Accept(ctx context.Context, m *doppelboden.Message) (copies int, err error) {
	return l.AcceptAll(ctx, []*doppelboden.Message{m})
}

// AcceptAll does for several messages what Accept does for one, in one commit: a crash
// leaves all of them or none. After an error the caller comes again with the same ones.
func (l *Landing) AcceptAll(ctx context.Context, list []*doppelboden.Message) (copies int, err error) {
	encoded := make([][]byte, len(list))
	for i, m := range list {
		if err := store.Acceptable(m); err != nil {
			return 0, &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage,
				Cause: fmt.Errorf("message %s: %w", m.ID, err)}
		}
		encoded[i] = appendMessage(make([]byte, 0, usualLength+len(m.Prefix)), m)
	}
	r, err := l.join(list, encoded)
	if err != nil {
		return 0, err
	}
	if r == nil {
		return 1, nil
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return 0, &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage, Cause: ctx.Err()}
	}
	if r.err != nil {
		return 0, r.err
	}
	return 1, nil
}

// join puts messages into the round that gathers. What is in the journal already, and was
// not sure, waits for the next round without being written again; what has become sure
// meanwhile needs no round. All of a list went the same way: the first one tells.
func (l *Landing) join(list []*doppelboden.Message, encoded [][]byte) (*round, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, &doppelboden.Error{Code: doppelboden.Temporary, Public: publicClosed}
	}
	first := list[0].ID
	if before := l.pending[first]; before != nil {
		select {
		case <-before.done:
			return l.gather(), nil // it waits for a round that succeeds
		default:
			return before, nil // it is being written
		}
	}
	if l.late.has(first) {
		return nil, nil
	}
	r := l.gather()
	for i, m := range list {
		r.messages, r.encoded = append(r.messages, m), append(r.encoded, encoded[i])
		l.pending[m.ID] = r
	}
	l.joined()
	return r, nil
}

// A lateIDs holds messages that became sure after their callers had been told otherwise:
// one of them that comes again must not be written again.
type lateIDs map[doppelboden.ID]time.Time

// lateFor is how long a caller may take to come again; doors have less patience.
const lateFor = time.Hour

func (l lateIDs) has(id doppelboden.ID) bool { _, ok := l[id]; return ok }

func (l lateIDs) put(id doppelboden.ID, now time.Time) {
	for old, at := range l {
		if now.Sub(at) > lateFor {
			delete(l, old)
		}
	}
	l[id] = now
}

// gather returns the round that gathers now. The caller holds mu.
func (l *Landing) gather() *round {
	if l.next == nil {
		l.next = &round{done: make(chan struct{})}
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	return l.next
}

// Close sees the last round through and ends the journal. Run must have ended. What is not
// drained waits for the next start.
func (l *Landing) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.work.Wait()
	l.drainer.writeMark()
	l.metrics.unregister()
	return disk.Fail("close the landing", l.journal.close())
}

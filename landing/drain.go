package landing

import (
	"context"
	"errors"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	// drainEvery is the least time between two commits of the drainer while mail comes
	// fast, so that they are large. What comes alone is drained at once.
	drainEvery = 50 * time.Millisecond
	// drainMessages is how many messages one commit takes, so that others who write into
	// the store need not wait long.
	drainMessages = 500
	// memoryBytes bounds what waits in memory. Beyond, the journal is read again.
	memoryBytes = 16 << 20
	// retryFirst and retryMost are the pauses after the working store has failed.
	retryFirst = 50 * time.Millisecond
	retryMost  = 5 * time.Second
)

// A drainer brings what landed into the working store, in the order of the journal.
type drainer struct {
	l *Landing

	mu      sync.Mutex
	memory  []landed         // what is sure and not drained, without gaps; may be empty
	bytes   int              // of memory
	end     place            // of what is sure
	at      place            // everything before it is drained
	before  int64            // messages in the log of at before it
	mark    mark             // what is noted of the two; of the run before until this one has come as far
	rewound int64            // counts Rewind, which makes a batch under way void
	anew    bool             // of the last Rewind: nothing is taken to be in the store
	lost    bool             // the store has lost what it had: nothing is drained before a Rewind
	has     map[string]int64 // by chain: the last link of which the store said that it has it
	trouble Trouble
	changed chan struct{} // closed and made anew when something above changed
	waiting int           // callers of CatchUp

	kick  chan struct{}            // wakes run; holds one
	hurry chan struct{}            // cuts its pause short; holds one
	pace  time.Duration            // drainEvery; tests have another one
	room  int                      // memoryBytes; the same
	most  time.Duration            // retryMost; the same
	aside map[doppelboden.ID]error // what the store refused for its own sake

	// Of run alone.
	done map[string]int64 // by chain: the last link that the store has
	seen int64            // rewound for which done holds
	read reader
}

// Trouble says why nothing is drained; its zero value says that nothing is wrong.
type Trouble struct {
	Since time.Time
	Err   error
}

func (d *drainer) init(l *Landing) {
	d.l, d.kick, d.hurry, d.changed = l, make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	d.pace, d.most, d.room = drainEvery, retryMost, memoryBytes
	d.done, d.has, d.aside = map[string]int64{}, map[string]int64{}, map[doppelboden.ID]error{}
	d.at, d.end = l.journal.first(), l.journal.last()
	d.read.journal = l.journal
	d.mark = readMark(l.opts.FS, l.opts.Dir)
}

// Run drains until ctx ends, beginning with what earlier runs left. It is called once.
func (l *Landing) Run(ctx context.Context) {
	defer l.drainer.read.close()
	l.drainer.run(ctx)
}

// give takes commits that are sure; end is where the journal ends now.
func (d *drainer) give(all []landed, end place) {
	d.mu.Lock()
	for _, r := range all {
		last := d.at
		if n := len(d.memory); n > 0 {
			last = d.memory[n-1].next
		}
		// What does not follow, because there was no room for what came before, is read
		// from the journal in its turn.
		if last == r.at && d.bytes+len(r.payload) <= d.room {
			d.memory = append(d.memory, r)
			d.bytes += len(r.payload)
		}
	}
	d.end = end
	d.mu.Unlock()
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// run drains until ctx ends.
func (d *drainer) run(ctx context.Context) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	tidy := func() {
		d.tryAside(ctx)
		d.prune()
	}
	tidy()
	for ctx.Err() == nil {
		select {
		case <-hourly.C: // also while mail comes without a pause
			tidy()
		default:
		}
		began := time.Now()
		n, err := d.some(ctx)
		if errors.Is(err, errLost) {
			d.fails(err)
			select {
			case <-ctx.Done():
			case <-d.kick: // of Rewind, or of mail that waits as well
			}
			continue
		}
		if err != nil && ctx.Err() == nil {
			d.l.opts.Log.Error("what landed cannot be read, or not be kept aside", "err", err)
			d.fails(err)
			sleep(ctx, d.most)
			continue
		}
		if n >= drainMessages {
			continue // more waits, and the next commit will be large
		}
		if n == 0 {
			select {
			case <-ctx.Done():
			case <-hourly.C:
				tidy()
			case <-d.kick:
			}
			continue
		}
		d.rest(ctx, began)
	}
}

// some drains one batch and returns how many messages and marks of the journal it had.
func (d *drainer) some(ctx context.Context) (n int64, err error) {
	if d.isLost() {
		return 0, errLost
	}
	batch, void, err := d.take()
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	for i := range batch {
		n += max(1, batch[i].messages)
	}
	return n, d.bring(ctx, batch, void)
}

// take returns what is to be drained next, in the order of the journal, and the count of
// rewinds at which that was so.
func (d *drainer) take() ([]landed, int64, error) {
	d.mu.Lock()
	void, at, before := d.rewound, d.at, d.before
	var batch []landed
	n := int64(0)
	for i := 0; i < len(d.memory) && n < drainMessages; i++ {
		batch, n = append(batch, d.memory[i]), n+d.memory[i].messages
	}
	end := d.end
	d.mu.Unlock()
	if len(batch) > 0 {
		return batch, void, nil
	}
	for n < drainMessages && at.before(end) {
		r, more, err := d.read.next(at, before)
		if err != nil {
			return nil, void, err
		}
		if !more {
			break
		}
		batch, n, at, before = append(batch, r), n+r.messages, r.next, r.before+r.messages
		if r.next.day != r.at.day {
			before = 0
		}
	}
	return batch, void, nil
}

// errLost says that the store does not have any more what was drained into it. What comes
// next would hide the gap, so it waits until somebody has the journal read again.
var errLost = errors.New("the database has lost mail that it had")

func (d *drainer) isLost() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// bring drains a batch, again and again while the store does not take it.
func (d *drainer) bring(ctx context.Context, batch []landed, void int64) error {
	list, err := d.missing(ctx, batch, void)
	if err != nil {
		return err
	}
	if err := d.persist(ctx, list); err != nil {
		return err
	}
	d.advance(batch, void)
	return nil
}

// drained notes what the store has now, and tells of it.
func (d *drainer) drained(list []store.Landed) {
	for _, l := range list {
		d.done[l.Link.Chain] = max(d.done[l.Link.Chain], l.Link.Number)
		if d.isAnew() {
			inDoubt(l.Messages)
		}
		if len(l.Messages) > 0 {
			d.l.opts.Drained(l.Messages)
		}
	}
}

func (d *drainer) isAnew() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.anew
}

// inDoubt takes the Seq of messages away: the store may have had them before.
func inDoubt(messages []*doppelboden.Message) {
	for _, m := range messages {
		for i := range m.Deliveries {
			m.Deliveries[i].Seq = 0
		}
	}
}

// missing decodes a batch and leaves out what the store has, as far as that is known.
func (d *drainer) missing(ctx context.Context, batch []landed, void int64) ([]store.Landed, error) {
	anew := d.isAnew()
	if d.seen != void {
		clear(d.done)
		d.seen = void
	}
	var list []store.Landed
	for _, r := range batch {
		if len(r.payload) == 0 {
			continue
		}
		link, _, dec := decodeLink(r.payload)
		if dec.err != nil {
			return nil, dec.err
		}
		last, err := d.last(ctx, link.Chain, anew)
		if err != nil {
			return nil, err
		}
		if link.Number <= last {
			continue
		}
		one, err := decodeLanded(r.payload)
		if err != nil {
			return nil, err
		}
		one.Follows = link.Number > 1 && last == link.Number-1
		list = append(list, one)
	}
	return list, nil
}

// last returns the last link of a chain that the store has.
func (d *drainer) last(ctx context.Context, chain string, anew bool) (last int64, err error) {
	last, known := d.done[chain]
	if known || anew {
		return last, nil
	}
	err = d.again(ctx, func() (err error) {
		last, err = d.l.opts.Store.Drained(ctx, chain)
		return err
	})
	if err == nil {
		d.done[chain] = last
		d.said(chain, last)
	}
	return last, err
}

// persist drains a list whose links may be of several chains. What the store refuses for
// its own sake is put aside, so that it holds up nothing else.
func (d *drainer) persist(ctx context.Context, list []store.Landed) error {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Link.Chain == list[0].Link.Chain {
			n++
		}
		err := d.again(ctx, func() error { return d.l.opts.Store.Drain(ctx, list[:n]) })
		if doppelboden.CodeOf(err) == doppelboden.NotFound {
			d.mu.Lock()
			d.lost = true
			d.mu.Unlock()
			return errLost
		}
		if err == nil {
			d.said(list[0].Link.Chain, list[n-1].Link.Number)
		}
		if doppelboden.CodeOf(err).Permanent() {
			err = d.singly(ctx, list[:n])
		}
		if err != nil {
			return err
		}
		d.drained(list[:n])
		list = list[n:]
	}
	return nil
}

// singly drains link by link. A link with a message that is refused is kept aside as a
// whole before anything of it is in the store: once that has the link, nobody would look
// for the messages beside it any more.
func (d *drainer) singly(ctx context.Context, list []store.Landed) error {
	for i := range list {
		drain := func(one store.Landed) error {
			return d.again(ctx, func() error { return d.l.opts.Store.Drain(ctx, []store.Landed{one}) })
		}
		err := drain(list[i])
		if err == nil {
			continue
		}
		if !doppelboden.CodeOf(err).Permanent() {
			return err
		}
		if len(list[i].Messages) == 0 {
			continue // nothing is lost with it
		}
		name, err := d.putAside(&list[i])
		if err == nil {
			_, err = d.pieces(name, list[i], drain)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// again repeats do while its error is temporary. It returns nil, a permanent error, or that
// of ctx.
func (d *drainer) again(ctx context.Context, do func() error) error {
	for pause := min(retryFirst, d.most); ; pause = min(2*pause, d.most) {
		err := do()
		if err == nil || doppelboden.CodeOf(err).Permanent() {
			d.works()
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.fails(err)
		sleep(ctx, pause)
	}
}

// works notes that the store answers.
func (d *drainer) works() {
	d.mu.Lock()
	was := d.trouble
	d.trouble = Trouble{}
	d.mu.Unlock()
	if was.Err != nil {
		d.l.opts.Log.Info("what landed is drained again", "seconds", time.Since(was.Since).Seconds())
	}
}

// fails notes that the store does not answer, and tells those who wait for it.
func (d *drainer) fails(err error) {
	d.mu.Lock()
	first := d.trouble.Err == nil
	if first {
		d.trouble.Since = time.Now()
	}
	d.trouble.Err = err
	d.tell()
	d.mu.Unlock()
	if first {
		d.l.opts.Log.Error("the working database takes nothing; mail is taken all the same and waits", "err", err)
	}
}

// tell wakes those who wait for a change. The caller holds mu.
func (d *drainer) tell() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// advance notes that a batch is drained.
func (d *drainer) advance(batch []landed, void int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rewound != void {
		return
	}
	last := batch[len(batch)-1]
	d.at, d.before = last.next, last.before+last.messages
	if last.next.day != last.at.day {
		d.before = 0
	}
	drop := 0
	for drop < len(d.memory) && d.memory[drop].at.before(d.at) {
		d.bytes -= len(d.memory[drop].payload)
		drop++
	}
	d.memory = append(d.memory[:0:0], d.memory[drop:]...)
	d.tell()
}

// prune removes what was drained long ago.
func (d *drainer) prune() {
	d.mu.Lock()
	at := d.at
	d.mu.Unlock()
	if err := d.l.journal.prune(d.l.opts.Clock().Add(-d.l.opts.Keep), at); err != nil {
		d.l.opts.Log.Error("old parts of the landing cannot be removed", "err", err)
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Status is what waits for the working store.
type Status struct {
	Messages int64 // that are not drained
	Aside    int   // that the store refused for their own sake; they are tried again
	Lost     bool  // the store has lost what it had, and waits for Rewind
	Trouble  Trouble
}

// Status returns what waits.
func (l *Landing) Status() Status {
	d := &l.drainer
	d.mu.Lock()
	at, before, s := d.at, d.before, Status{Trouble: d.trouble, Aside: len(d.aside), Lost: d.lost}
	if at.before(d.mark.at) { // an earlier run had come further
		at, before = d.mark.at, d.mark.before
	}
	d.mu.Unlock()
	s.Messages = l.journal.messagesAfter(at, before)
	return s
}

// Rewind has the journal read again from the day of t on, and what the working store does
// not have drained again: after it was restored to an older state. all says to offer it
// everything, also what lies before the last link that it has.
func (l *Landing) Rewind(t time.Time, all bool) {
	d := &l.drainer
	d.mu.Lock()
	d.rewound++
	d.anew = all
	d.mark = mark{}
	if d.lost {
		d.lost, d.trouble = false, Trouble{}
	}
	d.at, d.before, d.memory, d.bytes = l.journal.since(t), 0, nil, 0
	clear(d.has)
	d.mu.Unlock()
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

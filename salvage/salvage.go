// Package salvage brings back what a working database has lost: one that was restored from
// yesterday's backup, or promoted without its last commits.
//
// It stands between the landing, which offers again what it keeps, and the store. It
// promises that what comes back and was surely delivered before, by the log of the next
// servers' replies, is not handed over again, and that nothing is called delivered of which
// no next server has said so last; in doubt a mail goes again. It never brings back what
// retention would have removed, and never changes a delivery that has ended.
package salvage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/ledger"
	"doppelboden/store"
)

// Store is what salvage needs of the working database.
type Store interface {
	Settle(ctx context.Context, lease store.Lease, s []doppelboden.Settlement) error
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
}

// Options say what a Salvager works with. All fields must be set.
type Options struct {
	Store   Store
	Drainer store.Drainer // takes what landed: the store, or what stands before it
	Replies ledger.Replies
	Clock   func() time.Time
	Log     *slog.Logger
	Back    time.Duration    // how far back replies are asked for: as long as the landing keeps mail
	Kept    func() time.Time // retention's cut: what was received before and has ended is removed
}

// A Report says what came of a run.
type Report struct {
	Seen      int64 `json:"seen"`      // mails that the landing offered
	Back      int64 `json:"back"`      // of these, that the database did not have
	Expired   int64 `json:"expired"`   // mails that retention has removed, or would have; they stayed away
	Delivered int64 `json:"delivered"` // deliveries that a next server had taken before: they do not go again
	Again     int64 `json:"again"`     // deliveries that came back and will be handed over
}

const (
	// young is the age of a mail up to which nobody can have tried it before it was
	// drained; draining takes milliseconds.
	young = time.Minute
	// fresh is how long what was read of the replies is used.
	fresh = time.Minute
	// pause keeps what came back from the queue until it is settled.
	pause = 5 * time.Minute
	// batch is how many settlements go into one call.
	batch = 500
)

// A Salvager brings back what was lost. It implements store.Drainer for the landing.
type Salvager struct {
	o       Options
	started time.Time // what landed or was answered before is of an earlier run

	mu     sync.Mutex
	lease  store.Lease // zero until Lead: nothing ends
	begun  time.Time   // of the last run: what landed before comes back also after its end
	owed   owed        // what came back and was taken before, and could not be ended yet
	report *Report     // of the run that is on; nil: none
	known  replies     // nil: must be read
	read   time.Time   // when known was read
}

// owed are deliveries that must end before they are handed over again.
type owed map[doppelboden.Ref]bool

// replies is what next servers said last about deliveries. Nobody changes it.
type replies map[doppelboden.Ref]answer

// An answer is what a next server said last about a delivery.
type answer struct {
	took bool
	at   time.Time
}

// New returns a Salvager.
func New(o Options) (*Salvager, error) {
	if o.Store == nil || o.Drainer == nil || o.Replies == nil || o.Clock == nil || o.Log == nil || o.Back <= 0 || o.Kept == nil {
		return nil, errors.New("salvage: an option is not set")
	}
	return &Salvager{o: o, started: o.Clock(), owed: owed{}}, nil
}

// Lead says under which lease deliveries end from now on.
func (s *Salvager) Lead(l store.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = l
}

func (s *Salvager) leaseNow() store.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}

// Drained implements store.Drainer.
func (s *Salvager) Drained(ctx context.Context, chain string) (int64, error) {
	return s.o.Drainer.Drained(ctx, chain)
}

// Drain implements store.Drainer. Mail of the moment goes straight through. What is older
// may have been in the database before it lost it: what a next server has taken ends as
// delivered right after it came back, and waits until then.
func (s *Salvager) Drain(ctx context.Context, landed []store.Landed) error {
	old := s.old(landed)
	if len(old) == 0 {
		s.forget()
		return s.o.Drainer.Drain(ctx, landed)
	}
	known := s.replies()
	landed, old, err := s.withoutExpired(ctx, landed, old, known)
	if err != nil {
		return err
	}
	absent, err := s.absent(ctx, old)
	if err != nil {
		return err
	}
	before := make(map[doppelboden.Ref]time.Time) // Next of what waits
	for _, m := range old {
		for i := range m.Deliveries {
			d := &m.Deliveries[i]
			if known.taken(m, i) && d.State == doppelboden.Queued {
				before[doppelboden.Ref{Message: m.ID, N: i}] = d.Next
				d.Next = s.o.Clock().Add(pause)
			}
		}
	}
	if err := s.o.Drainer.Drain(ctx, landed); err != nil {
		for _, m := range old { // the landing calls again with the same
			for i := range m.Deliveries {
				if next, ok := before[doppelboden.Ref{Message: m.ID, N: i}]; ok {
					m.Deliveries[i].Next = next
				}
			}
		}
		return err
	}
	s.settle(ctx, old, known)
	s.count(old, absent)
	return nil
}

// old returns the messages that are not of the moment: of an earlier run of the node, of
// some time ago, or of before the database was found older. The last may be seconds old, and
// come back when the run that began then has ended with an error.
func (s *Salvager) old(landed []store.Landed) (old []*doppelboden.Message) {
	cut := s.before()
	s.mu.Lock()
	all := s.report != nil
	if s.begun.After(cut) {
		cut = s.begun
	}
	s.mu.Unlock()
	for i := range landed {
		for _, m := range landed[i].Messages {
			if all || m.Received.Before(cut) {
				old = append(old, m)
			}
		}
	}
	return old
}

// before returns the time before which nothing is of the moment.
func (s *Salvager) before() time.Time {
	if cut := s.o.Clock().Add(-young); cut.After(s.started) {
		return cut
	}
	return s.started
}

// withoutExpired leaves out what retention has removed, or would have: mail of before its
// cut whose link the database has, or which next servers have taken as a whole. Links stay.
func (s *Salvager) withoutExpired(ctx context.Context, landed []store.Landed, old []*doppelboden.Message, known replies) ([]store.Landed, []*doppelboden.Message, error) {
	cut := s.o.Kept()
	expired := map[doppelboden.ID]bool{}
	for _, l := range landed {
		had := int64(-1) // not asked yet
		for _, m := range l.Messages {
			if !m.Received.Before(cut) || l.Aside {
				continue
			}
			if had < 0 {
				var err error
				if had, err = s.o.Drainer.Drained(ctx, l.Link.Chain); err != nil {
					return nil, nil, err
				}
			}
			expired[m.ID] = l.Link.Number <= had || known.allTaken(m)
		}
	}
	keep := func(all []*doppelboden.Message) (left []*doppelboden.Message) {
		for _, m := range all {
			if !expired[m.ID] {
				left = append(left, m)
			}
		}
		return left
	}
	var list []store.Landed
	n := int64(0)
	for _, l := range landed {
		list = append(list, store.Landed{Link: l.Link, Messages: keep(l.Messages), Aside: l.Aside})
		n += int64(len(l.Messages) - len(list[len(list)-1].Messages))
	}
	s.note(func(r *Report) { r.Seen += n; r.Expired += n })
	return list, keep(old), nil
}

// allTaken reports whether next servers have taken every delivery of a message.
func (r replies) allTaken(m *doppelboden.Message) bool {
	for i := range m.Deliveries {
		if !r.taken(m, i) {
			return false
		}
	}
	return true
}

// absent returns which of the messages the database does not have, while a run is on.
func (s *Salvager) absent(ctx context.Context, old []*doppelboden.Message) (map[doppelboden.ID]bool, error) {
	s.mu.Lock()
	on := s.report != nil
	s.mu.Unlock()
	if !on {
		return nil, nil
	}
	absent := map[doppelboden.ID]bool{}
	for _, m := range old {
		_, err := s.o.Store.Message(ctx, m.ID)
		switch {
		case err == nil:
		case doppelboden.CodeOf(err) == doppelboden.NotFound:
			absent[m.ID] = true
		default:
			return nil, fmt.Errorf("look for %s: %w", m.ID, err)
		}
	}
	return absent, nil
}

// note adds to the report of the run that is on.
func (s *Salvager) note(add func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report != nil {
		add(s.report)
	}
}

// count adds what was drained to the report.
func (s *Salvager) count(old []*doppelboden.Message, absent map[doppelboden.ID]bool) {
	s.note(func(r *Report) {
		r.Seen += int64(len(old))
		for _, m := range old {
			if !absent[m.ID] {
				continue
			}
			r.Back++
			for i := range m.Deliveries {
				if !m.Deliveries[i].State.Ended() {
					r.Again++
				}
			}
		}
	})
}

// taken reports whether the last thing that a next server said about a delivery is that it
// has it.
func (r replies) taken(m *doppelboden.Message, n int) bool {
	return r[doppelboden.Ref{Message: m.ID, N: n}].took
}

// settle ends what next servers have taken, and not what was opened again since. What cannot
// be written now is found by Delivered later; until then it waits.
func (s *Salvager) settle(ctx context.Context, drained []*doppelboden.Message, known replies) {
	var list []doppelboden.Settlement
	var ended []*doppelboden.Delivery
	for _, m := range drained {
		for i := range m.Deliveries {
			d := &m.Deliveries[i]
			a := known[doppelboden.Ref{Message: m.ID, N: i}]
			if !a.took || d.State.Ended() || a.at.Before(d.Changed) {
				continue
			}
			list = append(list, delivered(doppelboden.Ref{Message: m.ID, N: i}, d.Box, a.at))
			ended = append(ended, d)
		}
	}
	if len(list) == 0 {
		return
	}
	if err := s.o.Store.Settle(ctx, s.leaseNow(), list); err != nil {
		s.o.Log.Warn("deliveries that came back and were taken before cannot be ended yet", "deliveries", len(list), "err", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, one := range list {
			s.owed[one.Ref] = true
		}
		return
	}
	for _, d := range ended {
		d.State = doppelboden.Delivered
	}
	s.note(func(r *Report) { r.Delivered += int64(len(list)) })
	s.o.Log.Info("deliveries that came back had been taken before", "deliveries", len(list))
}

// delivered is the settlement of a delivery that a next server took at a time.
func delivered(ref doppelboden.Ref, box doppelboden.BoxID, at time.Time) doppelboden.Settlement {
	return doppelboden.Settlement{Ref: ref, Box: box, State: doppelboden.Delivered, By: "courier", Attempt: true, At: at,
		Reply: "taken before, as the log of the replies says"}
}

// Delivered ends what waits in the database although a next server took it: the database
// has lost that, or a crash came between. It returns how many there were. What was taken
// before it last changed in the database, such as a delivery that a replay has opened
// again, goes again. It is called before the queue starts, or with a queue that asks the
// store again afterwards.
func (s *Salvager) Delivered(ctx context.Context) (int, error) {
	s.forget()
	known := s.replies()
	defer s.forget()
	under := s.before() // what was answered later the queue has under way, but for what is owed
	s.mu.Lock()
	late := maps.Clone(s.owed)
	s.mu.Unlock()
	n := 0
	for after := int64(0); ; {
		var list []doppelboden.Settlement
		f := store.Filter{States: []doppelboden.State{doppelboden.Queued, doppelboden.Held}, AfterSeq: after, Limit: 20 * batch}
		seen := 0
		err := s.o.Store.Deliveries(ctx, f, func(it store.Item) error {
			seen++
			after = it.Delivery.Seq
			ref := doppelboden.Ref{Message: it.Delivery.Message, N: it.Delivery.N}
			a := known[ref]
			if a.took && (late[ref] || a.at.Before(under)) && !a.at.Before(it.Delivery.Changed) {
				list = append(list, delivered(ref, it.Delivery.Box, a.at))
			}
			return ctx.Err()
		})
		if err != nil {
			return n, fmt.Errorf("read what waits: %w", err)
		}
		for len(list) > 0 {
			some := list[:min(batch, len(list))]
			if err := s.o.Store.Settle(ctx, s.leaseNow(), some); err != nil {
				return n, fmt.Errorf("end what was delivered: %w", err)
			}
			n += len(some)
			list = list[len(some):]
		}
		if seen < f.Limit {
			break
		}
	}
	s.paid(late)
	if n > 0 {
		s.note(func(r *Report) { r.Delivered += int64(n) })
		s.o.Log.Warn("deliveries waited that next servers had taken; they have ended", "deliveries", n)
	}
	return n, nil
}

// paid forgets what was owed: it has ended, or is not in the database any more.
func (s *Salvager) paid(list owed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := range list {
		delete(s.owed, ref)
	}
}

// Begin begins a run; end ends it and returns what came of it.
func (s *Salvager) Begin() (end func() Report) {
	report := &Report{}
	s.mu.Lock()
	s.report, s.begun = report, s.o.Clock()
	s.mu.Unlock()
	s.forget()
	return func() Report {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.report == report {
			s.report = nil
		}
		return *report
	}
}

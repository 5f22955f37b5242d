package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/tally"
)

// A town is a mail system in memory, as far as the ledger sees one: doors and couriers
// that log, and a store that commits rows together with entries.
type town struct {
	now     time.Time
	ids     doppelboden.IDs
	chain   *Chain
	doors   []tally.DoorRecord
	replies []tally.ReplyRecord
	links   []doppelboden.Link
	knots   []doppelboden.Knot
	rows    map[doppelboden.Ref]doppelboden.State
	order   []doppelboden.Ref // of rows, by Seq
	started time.Time

	doorsErr, repliesErr error  // what reading the logs ends with
	during               func() // what happens before each thing that is read
}

func newTown() *town {
	return &town{now: t0, started: t0, chain: NewChain("node1", t0), rows: map[doppelboden.Ref]doppelboden.State{}}
}

// tick lets some time pass.
func (w *town) tick() time.Time {
	w.now = w.now.Add(time.Second)
	return w.now
}

// restart ends a run of the node and begins the next.
func (w *town) restart() {
	w.started = w.tick()
	w.chain = NewChain("node1", w.started)
}

// commit writes entries as one link.
func (w *town) commit(entries ...doppelboden.Entry) {
	l := w.chain.Next(w.now, entries)
	w.links = append(w.links, l)
	w.chain.Advance(l)
}

// intent logs that a message comes, and returns its id.
func (w *town) intent(recipients int) doppelboden.ID {
	id := w.ids.New(w.tick())
	w.announce(id, recipients)
	return id
}

// announce logs the intent for a message that has its id.
func (w *town) announce(id doppelboden.ID, recipients int) {
	w.doors = append(w.doors, tally.DoorRecord{Kind: tally.Intent, ID: id, At: w.now, Recipients: recipients})
}

// fate logs what became of a message at the door.
func (w *town) fate(id doppelboden.ID, kind tally.DoorKind) {
	w.doors = append(w.doors, tally.DoorRecord{Kind: kind, ID: id, At: w.tick()})
}

// entryFor is the entry of a message with as many deliveries as recipients.
func (w *town) entryFor(id doppelboden.ID, recipients int) doppelboden.Entry {
	return doppelboden.Entry{Kind: doppelboden.EntryAccepted, At: w.now, Tenant: 1, Message: id,
		Recipients: recipients, Deliveries: recipients}
}

// keep commits a message with its rows.
func (w *town) keep(e doppelboden.Entry) {
	w.commit(e)
	for n := range e.Deliveries {
		ref := doppelboden.Ref{Message: e.Message, N: n}
		w.rows[ref] = doppelboden.Queued
		if slices.Contains(e.Here, n) {
			w.rows[ref] = doppelboden.Delivered
		}
		w.order = append(w.order, ref)
	}
}

// take lets a message come in as it should.
func (w *town) take(recipients int) doppelboden.ID {
	id := w.intent(recipients)
	w.keep(w.entryFor(id, recipients))
	w.fate(id, tally.Sent)
	return id
}

// attempt logs that the final dot is sent.
func (w *town) attempt(refs ...doppelboden.Ref) {
	for _, ref := range refs {
		w.replies = append(w.replies, tally.ReplyRecord{Kind: tally.Attempt, Ref: ref, At: w.tick()})
	}
}

// answer logs what the next server said.
func (w *town) answer(ref doppelboden.Ref, v doppelboden.Verdict) {
	w.replies = append(w.replies, tally.ReplyRecord{Kind: tally.Answer, Ref: ref, Verdict: v, At: w.tick()})
}

// settle commits a new state with its row.
func (w *town) settle(ref doppelboden.Ref, state doppelboden.State, by string) {
	w.rows[ref] = state
	w.commit(doppelboden.Entry{Kind: doppelboden.EntrySettled, At: w.now, Tenant: 1, Message: ref.Message, N: ref.N, State: state, By: by})
}

// hand hands a delivery over as it should be.
func (w *town) hand(ref doppelboden.Ref) {
	w.attempt(ref)
	w.answer(ref, doppelboden.Took)
	w.settle(ref, doppelboden.Delivered, "courier")
}

// expire removes a message as retention does.
func (w *town) expire(id doppelboden.ID) {
	w.commit(doppelboden.Entry{Kind: doppelboden.EntryExpired, At: w.tick(), Tenant: 1, Message: id})
	for _, ref := range w.order {
		if ref.Message == id {
			delete(w.rows, ref)
		}
	}
}

// ref names the first delivery of a message.
func ref(id doppelboden.ID) doppelboden.Ref { return doppelboden.Ref{Message: id} }

// sources are what a balance of the town is drawn from.
func (w *town) sources() Sources {
	now := w.now.Add(time.Second)
	return Sources{Doors: w, Ledger: w, Replies: w, Rows: w, Started: w.started, Clock: func() time.Time { return now }}
}

// each yields what is in a list, also what is added meanwhile, as a file or an engine
// that is read a part at a time does.
func each[T any](w *town, list *[]T, yield func(T) error) error {
	for i := 0; i < len(*list); i++ {
		if w.during != nil {
			w.during()
		}
		if err := yield((*list)[i]); err != nil {
			return err
		}
	}
	return nil
}

func within(t, from, to time.Time) bool { return !t.Before(from) && t.Before(to) }

// ReadDoors implements Doors.
func (w *town) ReadDoors(from, to time.Time, yield func(tally.DoorRecord) error) error {
	err := each(w, &w.doors, func(r tally.DoorRecord) error {
		if !within(r.At, from, to) {
			return nil
		}
		return yield(r)
	})
	if err != nil {
		return err
	}
	return w.doorsErr
}

// ReadReplies implements Replies.
func (w *town) ReadReplies(from, to time.Time, yield func(tally.ReplyRecord) error) error {
	err := each(w, &w.replies, func(r tally.ReplyRecord) error {
		if !within(r.At, from, to) {
			return nil
		}
		return yield(r)
	})
	if err != nil {
		return err
	}
	return w.repliesErr
}

// Links implements LinkReader. The links of a town's runs are written one after the
// other, and the names of runs sort by time.
func (w *town) Links(_ context.Context, from time.Time, yield func(doppelboden.Link) error) error {
	return each(w, &w.links, func(l doppelboden.Link) error {
		if l.At.Before(from) {
			return nil
		}
		return yield(l)
	})
}

// Deliveries implements Rows.
func (w *town) Deliveries(_ context.Context, f store.Filter, yield func(store.Item) error) error {
	return each(w, &w.order, func(one doppelboden.Ref) error {
		state, there := w.rows[one]
		if !there || !f.Message.IsZero() && one.Message != f.Message {
			return nil
		}
		return yield(store.Item{Delivery: doppelboden.Delivery{Message: one.Message, N: one.N, State: state}})
	})
}

// ChainHeads implements KnotStore.
func (w *town) ChainHeads(context.Context) ([]doppelboden.Head, error) {
	last := map[string]doppelboden.Head{}
	for _, l := range w.links {
		last[l.Chain] = doppelboden.Head{Chain: l.Chain, Number: l.Number, Hash: l.Hash}
	}
	heads := make([]doppelboden.Head, 0, len(last))
	for _, h := range last {
		heads = append(heads, h)
	}
	slices.SortFunc(heads, func(a, b doppelboden.Head) int {
		if a.Chain < b.Chain {
			return -1
		}
		return 1
	})
	return heads, nil
}

// PutKnot implements KnotStore.
func (w *town) PutKnot(_ context.Context, k doppelboden.Knot) error {
	n := int64(len(w.knots))
	switch {
	case k.Number == n+1:
		w.knots = append(w.knots, k)
		return nil
	case k.Number >= 1 && k.Number <= n && w.knots[k.Number-1].Hash == k.Hash:
		return nil
	}
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the number is taken"}
}

// Knots implements KnotStore.
func (w *town) Knots(_ context.Context, yield func(doppelboden.Knot) error) error {
	return each(w, &w.knots, yield)
}

// LastKnot implements KnotStore.
func (w *town) LastKnot(context.Context) (doppelboden.Knot, error) {
	if len(w.knots) == 0 {
		return doppelboden.Knot{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no knot"}
	}
	return w.knots[len(w.knots)-1], nil
}

// errBroken is what a broken source returns.
var errBroken = errors.New("broken")

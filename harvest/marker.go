package harvest

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A marker gives every message of a tenant its marks, in the order in which messages came,
// and sees which are doubles of earlier ones. It is used while tenant.deciding is held.
type marker struct {
	loaded bool
	key    key
	state  store.Marking
	fresh  map[doppelboden.ID]sums // of what was made a moment ago; its body need not be read again
}

const (
	// markAtOnce is how many messages get their marks in one commit.
	markAtOnce = 200
	// mostFresh bounds marker.fresh.
	mostFresh = 10_000
)

// catchUp gives marks to all messages of a tenant that are in the store.
func (r *Room) catchUp(ctx context.Context, t *tenant) error {
	t.deciding.Lock()
	defer t.deciding.Unlock()
	return r.advance(ctx, t)
}

// advance does so while t.deciding is held.
func (r *Room) advance(ctx context.Context, t *tenant) error {
	m := &t.marker
	if err := r.load(ctx, t); err != nil {
		return err
	}
	for {
		list, end, err := r.opts.Store.Unmarked(ctx, t.id, m.state.Number, markAtOnce)
		if err != nil {
			return fmt.Errorf("read messages without marks: %w", err)
		}
		if end == m.state.Number && !t.seenNews(&m.state) {
			return nil
		}
		if err := r.mark(ctx, t, list, end); err != nil {
			m.loaded = false // another node may have gone on
			return err
		}
		if len(list) == 0 && end == m.state.Number {
			return nil
		}
	}
}

// load reads how far the marks are. Without a key that can be read all begins anew.
func (r *Room) load(ctx context.Context, t *tenant) error {
	m := &t.marker
	if m.loaded {
		return nil
	}
	state, err := r.opts.Store.Marking(ctx, t.id)
	if err != nil {
		return fmt.Errorf("read how far the marks are: %w", err)
	}
	var plain [32]byte
	missing := state.Key == nil
	if !missing {
		plain, err = r.opts.Keys.Unwrap(t.id, state.KeyVersion, state.Key)
		missing = err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound // the tenant's key was changed
		if err != nil && !missing {
			return fmt.Errorf("unwrap the key of marks: %w", err)
		}
	}
	if missing {
		rand.Read(plain[:]) // never fails: crypto/rand ends the program instead
		state.Number = 0
		if state.Key, state.KeyVersion, err = r.opts.Keys.Wrap(t.id, &plain); err != nil {
			return fmt.Errorf("wrap the key of marks: %w", err)
		}
		clear(m.fresh)
		if err := r.opts.Store.PutMarking(ctx, r.opts.Lease(), t.id, state, nil); err != nil {
			return fmt.Errorf("keep the key of marks: %w", err)
		}
	}
	m.key, m.state, m.loaded = key(plain), state, true
	return nil
}

// mark gives marks to messages, and takes doubles out of mailboxes before that is noted, so
// that a crash in between repeats it.
func (r *Room) mark(ctx context.Context, t *tenant, list []store.Unmarked, end int64) error {
	m := &t.marker
	var marks []store.HarvestMark
	here := map[[16]byte][]doppelboden.ID{} // marks of this page, which the store does not have yet
	for i := range list {
		one := list[i].Message
		s, header, err := r.sumsOf(t, one)
		if err != nil {
			// It is found by nothing then. What damages bodies is told elsewhere.
			r.opts.Log.Warn("a message gets no marks, because its body cannot be read", "message", one.ID.String(), "err", err)
			continue
		}
		same, err := r.sameAs(ctx, t, one, s, header, here)
		if err == nil && len(same) > 0 {
			err = r.merge(ctx, t, one, same)
		}
		if err != nil {
			return err
		}
		for _, sum := range marksOf(one, s) {
			here[sum] = append(here[sum], one.ID)
			marks = append(marks, store.HarvestMark{Tenant: t.id, Sum: sum, Message: one.ID})
		}
	}
	state := m.state
	state.Number = end
	t.tellNews(&state)
	if err := r.opts.Store.PutMarking(ctx, r.opts.Lease(), t.id, state, marks); err != nil {
		return fmt.Errorf("keep marks: %w", err)
	}
	m.state = state
	r.metrics.marked.Add(float64(len(list)))
	for i := range list {
		delete(m.fresh, list[i].Message.ID)
	}
	return nil
}

// sumsOf returns the sums of a message, and its header where they had to be read.
func (r *Room) sumsOf(t *tenant, m *doppelboden.Message) (sums, []byte, error) {
	if s, ok := t.marker.fresh[m.ID]; ok {
		return s, nil, nil
	}
	body, err := r.opts.Bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		return sums{}, nil, err
	}
	defer body.Close() // it was only read
	return t.marker.key.read(body, m.Body.Size)
}

// remember keeps the sums of a message that was made a moment ago.
func (m *marker) remember(id doppelboden.ID, s sums) {
	if len(m.fresh) >= mostFresh {
		clear(m.fresh)
	}
	m.fresh[id] = s
}

// sameAs returns the messages that are the same mail as one, besides itself.
func (r *Room) sameAs(ctx context.Context, t *tenant, one *doppelboden.Message, s sums, header []byte, here map[[16]byte][]doppelboden.ID) ([]doppelboden.ID, error) {
	found := map[doppelboden.ID]bool{}
	var same []doppelboden.ID
	add := func(id doppelboden.ID) {
		if id != one.ID && !found[id] {
			found[id] = true
			same = append(same, id)
		}
	}
	asked := marksOf(one, s)
	for _, sum := range asked {
		for _, id := range here[sum] {
			add(id)
		}
	}
	known, err := r.opts.Store.Marked(ctx, t.id, asked)
	if err != nil {
		return nil, fmt.Errorf("look for doubles: %w", err)
	}
	for _, k := range known {
		add(k.Message)
	}
	if !harvested(one.Door) || header == nil {
		return same, nil
	}
	named, err := r.named(ctx, t, header, s)
	if err == nil && !named.IsZero() {
		add(named)
	}
	return same, err
}

// seenNews reports whether mail came by journal or hairpin that the state does not know yet.
func (t *tenant) seenNews(state *store.Marking) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A minute is exact enough.
	return t.journal.Sub(state.JournalLast) > time.Minute || t.hairpin.Sub(state.HairpinLast) > time.Minute
}

// tellNews writes such mail into the state.
func (t *tenant) tellNews(state *store.Marking) {
	t.mu.Lock()
	defer t.mu.Unlock()
	note := func(first, last *time.Time, at time.Time) {
		if at.IsZero() {
			return
		}
		if first.IsZero() {
			*first = at
		}
		if at.After(*last) {
			*last = at
		}
	}
	note(&state.JournalFirst, &state.JournalLast, t.journal)
	note(&state.HairpinFirst, &state.HairpinLast, t.hairpin)
}

// Arrived tells of messages that the store has now.
func (r *Room) Arrived(list []*doppelboden.Message) {
	for _, m := range list {
		var journal, hairpin bool
		switch m.Door {
		case DoorJournal:
			journal = true
		case doorSubmission:
			hairpin = r.internal(m)
		}
		if !journal && !hairpin {
			continue
		}
		t := r.tenant(m.Tenant)
		t.mu.Lock()
		if journal && m.Received.After(t.journal) {
			t.journal = m.Received
		}
		if hairpin && m.Received.After(t.hairpin) {
			t.hairpin = m.Received
		}
		t.mu.Unlock()
	}
}

// internal reports whether a mail is from one mailbox of a tenant to another.
func (r *Room) internal(m *doppelboden.Message) bool {
	if m.Sender.IsNull() {
		return false
	}
	from, _ := r.opts.Owners(m.Tenant, m.Sender)
	if len(from) != 1 {
		return false
	}
	for i := range m.Deliveries {
		if to := m.Deliveries[i].Mailbox; to != 0 && to != from[0] {
			return true
		}
	}
	return false
}

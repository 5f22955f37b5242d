package postgres

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Settle writes new states of deliveries, all of them or none.
func (s *Store) Settle(ctx context.Context, lease store.Lease, list []doppelboden.Settlement) error {
	o := &op{settles: list, lease: &lease}
	for i := range list {
		if st := list[i].State; st < doppelboden.Queued || st > doppelboden.Discarded {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf("there is no state %d", st)}
		}
		if m := list[i].Generated; m != nil {
			if err := store.Acceptable(m); err != nil {
				return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage,
					Cause: fmt.Errorf("generated message %s: %w", m.ID, err)}
			}
			o.messages = append(o.messages, m)
		}
	}
	var made map[*doppelboden.Message]int64
	o.run = func(t *tx) error {
		made = map[*doppelboden.Message]int64{} // anew when the commit is run again
		if err := t.holds(lease); err != nil {
			return err
		}
		last := lastOf(list)
		for i := range list {
			if err := t.settle(&list[i], &list[last[list[i].Ref]], made); err != nil {
				return fmt.Errorf("settle %s/%d: %w", list[i].Ref.Message, list[i].Ref.N, err)
			}
		}
		return nil
	}
	if err := s.do(ctx, o); err != nil {
		return err
	}
	for m, num := range made {
		placed(m, num)
	}
	return nil
}

// lastOf returns for every delivery the place of its last settlement in a list.
func lastOf(list []doppelboden.Settlement) map[doppelboden.Ref]int {
	last := make(map[doppelboden.Ref]int, len(list))
	for i := range list {
		last[list[i].Ref] = i
	}
	return last
}

// A current is what a transaction knows of a delivery.
type current struct {
	ref    doppelboden.Ref
	seq    int64
	tenant doppelboden.TenantID
	box    doppelboden.BoxID
	to     doppelboden.Address
	stood
	read  stood // as it was in the database
	anew  bool  // it was opened again: what was seen of it counts no more
	dirty bool  // it is among tx.changed
}

// stood is what a settlement changes.
type stood struct {
	state    doppelboden.State
	attempts int64
	next     time.Time // as the database keeps it
	reply    string
	changed  time.Time // likewise
	handed   time.Time // when a next server took it, likewise
}

// readCurrent reads what findStates gives.
func readCurrent(r row) *current {
	d := &current{ref: doppelboden.Ref{Message: asID(r[0]), N: int(asInt(r[1]))}, seq: asInt(r[2]),
		tenant: doppelboden.TenantID(asInt(r[3])), read: stood{state: doppelboden.State(asInt(r[4])), attempts: asInt(r[5]),
			next: asTime(r[6]), reply: asText(r[7]), changed: asTime(r[8]), handed: asTime(r[9])},
		box: doppelboden.BoxID(asInt(r[10])), to: asAddress(r[11])}
	d.stood = d.read
	return d
}

// delivery returns what is known of a delivery; nil: there is none.
func (t *tx) delivery(ref doppelboden.Ref) (*current, error) {
	if d, asked := t.states[ref]; asked {
		return d, nil
	}
	if err := t.flush(); err != nil {
		return nil, err
	}
	err := t.c.all([]statement{t.readStates([]doppelboden.Ref{ref})})
	return t.states[ref], err
}

// nextOf is the time before which nothing is to be done; only what is queued has one.
func nextOf(s *doppelboden.Settlement) time.Time {
	if s.State != doppelboden.Queued {
		return time.Time{}
	}
	return kept(s.Next)
}

// settle writes one settlement, if it has an effect. last is the last one of its call for
// this delivery, in most cases itself. made collects the messages that came with
// settlements, and their nums.
func (t *tx) settle(s, last *doppelboden.Settlement, made map[*doppelboden.Message]int64) error {
	d, err := t.delivery(s.Ref)
	if err != nil || d == nil {
		return err
	}
	was := d.state
	// A row that is as the last settlement leaves it shows the repetition of a call that
	// got no answer; its attempts are counted already.
	repeated := last.State == was && nextOf(last).Equal(d.next) && last.Reply == d.reply && kept(last.At).Equal(d.changed)
	if repeated || !store.Effective(was, d.changed, s) {
		return nil
	}
	d.state, d.next, d.reply, d.changed = s.State, nextOf(s), s.Reply, kept(s.At)
	if s.Attempt {
		d.attempts++
	}
	switch {
	case s.State == doppelboden.Delivered:
		d.handed = d.changed
	case s.State == doppelboden.Queued && was.Ended():
		d.handed, d.anew = time.Time{}, true
	}
	switch {
	case s.State == doppelboden.Held:
		t.hold(d.seq, d.tenant, d.box, s.Hold, s.Reply, d.to, s.At)
	case was == doppelboden.Held:
		t.unhold(d.seq)
	}
	if !d.dirty {
		d.dirty = true
		t.changed = append(t.changed, d)
	}
	if err := t.bring(s, d, made); err != nil || s.State == was {
		return err
	}
	t.count(d.tenant, was, -1)
	t.count(d.tenant, s.State, 1)
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: s.At, Tenant: d.tenant,
		Message: s.Ref.Message, N: s.Ref.N, State: s.State, By: s.By})
	return nil
}

// bring writes what comes together with a settlement.
func (t *tx) bring(s *doppelboden.Settlement, d *current, made map[*doppelboden.Message]int64) error {
	if g := s.Generated; g != nil && made[g] == 0 {
		num, _, err := t.accept(g, true)
		if err != nil {
			return err
		}
		made[g] = num
	}
	copies := make([]*doppelboden.Copy, len(s.Copies))
	for i := range s.Copies {
		copies[i] = &s.Copies[i]
	}
	return t.putCopies(d.tenant, d.seq-int64(s.Ref.N), copies)
}

// updateDeliveries changes only rows that are as they were read: another node may have
// been quicker, and then all is done again with what it wrote.
const updateDeliveries = `UPDATE delivery d SET state = u.state, attempts = u.attempts, next = u.next, reply = u.reply,
		changed = u.changed, handed = u.handed,
		seen_validity = CASE WHEN u.anew THEN NULL ELSE d.seen_validity END, seen_uid = CASE WHEN u.anew THEN NULL ELSE d.seen_uid END,
		seen_size = CASE WHEN u.anew THEN NULL ELSE d.seen_size END, seen_date = CASE WHEN u.anew THEN NULL ELSE d.seen_date END
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::boolean[],
		$9::bigint[], $10::bigint[], $11::bigint[])
		u (seq, state, attempts, next, reply, changed, handed, anew, was_state, was_attempts, was_changed)
	WHERE d.seq = u.seq AND d.state = u.was_state AND d.attempts = u.was_attempts AND d.changed IS NOT DISTINCT FROM u.was_changed`

// updates is the statement that writes the changed deliveries, if there are any.
func (t *tx) updates() []statement {
	if len(t.changed) == 0 {
		return nil
	}
	var columns []*column
	for _, d := range t.changed {
		put(&columns, []uint32{i, i, i, i, s, i, i, l, i, i, i}, d.seq, int64(d.state), d.attempts, micros(d.next), d.reply,
			micros(d.changed), micros(d.handed), d.anew, int64(d.read.state), d.read.attempts, micros(d.read.changed))
		d.read, d.anew, d.dirty = d.stood, false, false
	}
	list := insert(nil, updateDeliveries, columns)
	list[0].rows = int64(len(t.changed))
	return list
}

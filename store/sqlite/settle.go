package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// Settle writes new states of deliveries, all of them or none.
func (s *Store) Settle(ctx context.Context, lease store.Lease, list []doppelboden.Settlement) error {
	for i := range list {
		if st := list[i].State; st < doppelboden.Queued || st > doppelboden.Discarded {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf("there is no state %d", st)}
		}
		if m := list[i].Generated; m != nil {
			if err := store.Acceptable(m); err != nil {
				return &doppelboden.Error{Code: doppelboden.Temporary, Public: publicStorage,
					Cause: fmt.Errorf("generated message %s: %w", m.ID, err)}
			}
		}
	}
	var made map[*doppelboden.Message]int64
	err := s.write(ctx, func(t *tx) error {
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
	})
	if err != nil {
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

// holds refuses a lease that is not the node's newest.
func (t *tx) holds(lease store.Lease) error {
	row, err := t.c.one(background, "SELECT epoch FROM node WHERE name = ?", lease.Node)
	if err != nil && !errors.Is(err, errNoRow) {
		return fmt.Errorf("read lease: %w", err)
	}
	if err != nil || asInt(row[0]) != lease.Epoch {
		return refuse(doppelboden.Fenced, "another node or a later run of this node has taken over")
	}
	return nil
}

// settle writes one settlement, if it has an effect. last is the last one of its call for
// this delivery, in most cases itself.
// made collects the messages that came with settlements, and their nums.
func (t *tx) settle(s, last *doppelboden.Settlement, made map[*doppelboden.Message]int64) error {
	row, err := t.c.one(background, `SELECT d.seq, d.tenant, d.state, d.next, d.reply, d.changed, d.box, d.recipient
		FROM message m CROSS JOIN delivery d ON d.seq = m.num + ?2
		WHERE m.id = ?1 AND ?2 >= 0 AND ?2 < m.deliveries`, s.Ref.Message[:], int64(s.Ref.N))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	seq, tenant, was := asInt(row[0]), doppelboden.TenantID(asInt(row[1])), doppelboden.State(asInt(row[2]))
	// A row that is as the last settlement leaves it shows the repetition of a call that
	// got no answer; its attempts are counted already.
	repeated := last.State == was && nextOf(last) == row[3] && last.Reply == asText(row[4]) && micros(last.At) == row[5]
	if repeated || !store.Effective(was, asTime(row[5]), s) {
		return nil
	}
	attempts := int64(0)
	if s.Attempt {
		attempts = 1
	}
	_, err = t.c.exec(background, settleText(s, was), int64(s.State), attempts, nextOf(s), s.Reply, micros(s.At), seq)
	if err != nil {
		return err
	}
	if err := t.holdSettled(s, was, seq, tenant, row[6], row[7]); err != nil {
		return err
	}
	if err := t.bring(s, tenant, seq-int64(s.Ref.N), made); err != nil || s.State == was {
		return err
	}
	t.count(tenant, was, -1, seq)
	t.count(tenant, s.State, 1, seq)
	t.entries = append(t.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: s.At, Tenant: tenant,
		Message: s.Ref.Message, N: s.Ref.N, State: s.State, By: s.By})
	return nil
}

// Ways to write a settlement: what a next server took has a time at which it did, and what
// is opened again has none, and was not seen.
const (
	settleRow   = "UPDATE delivery SET state = ?1, attempts = attempts + ?2, next = ?3, reply = ?4, changed = ?5 WHERE seq = ?6"
	settleTaken = "UPDATE delivery SET state = ?1, attempts = attempts + ?2, next = ?3, reply = ?4, changed = ?5, handed = ?5 WHERE seq = ?6"
	settleAnew  = `UPDATE delivery SET state = ?1, attempts = attempts + ?2, next = ?3, reply = ?4, changed = ?5, handed = NULL,
		seen_validity = NULL, seen_uid = NULL, seen_size = NULL, seen_date = NULL WHERE seq = ?6`
)

// settleText chooses among them.
func settleText(s *doppelboden.Settlement, was doppelboden.State) string {
	switch {
	case s.State == doppelboden.Delivered:
		return settleTaken
	case s.State == doppelboden.Queued && was.Ended():
		return settleAnew
	}
	return settleRow
}

// bring writes what comes together with a settlement of the message num.
func (t *tx) bring(s *doppelboden.Settlement, tenant doppelboden.TenantID, num int64, made map[*doppelboden.Message]int64) error {
	if g := s.Generated; g != nil && made[g] == 0 {
		n, err := t.make(g)
		if err != nil {
			return err
		}
		made[g] = n
	}
	if len(s.Copies) == 0 {
		return nil
	}
	rows := make([]*doppelboden.Copy, len(s.Copies))
	for i := range s.Copies {
		rows[i] = &s.Copies[i]
	}
	return t.addCopies(&doppelboden.Message{ID: s.Ref.Message, Tenant: tenant}, num, rows)
}

// nextOf is the time before which nothing is to be done; only what is queued has one.
func nextOf(s *doppelboden.Settlement) driver.Value {
	if s.State != doppelboden.Queued {
		return nil
	}
	return micros(s.Next)
}

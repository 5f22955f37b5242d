package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// Drain takes over what a landing keeps.
func (s *Store) Drain(ctx context.Context, landed []store.Landed) error {
	var messages []*doppelboden.Message
	for i := range landed {
		for _, m := range landed[i].Messages {
			if err := store.Acceptable(m); err != nil {
				return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf("message %s cannot be kept", m.ID),
					Cause: fmt.Errorf("message %s: %w", m.ID, err)}
			}
			messages = append(messages, m)
		}
	}
	if len(landed) == 0 {
		return nil
	}
	var nums map[*doppelboden.Message]int64
	var stand map[doppelboden.Ref]doppelboden.Delivery
	err := s.do(ctx, &op{messages: messages, run: func(t *tx) (err error) {
		nums, stand, err = t.drain(landed)
		return err
	}})
	if err != nil {
		return refusedRows(err)
	}
	for _, m := range messages {
		placed(m, nums[m])
		for n := range m.Deliveries {
			if d, ok := stand[doppelboden.Ref{Message: m.ID, N: n}]; ok {
				to := &m.Deliveries[n]
				to.Seq, to.Box, to.State, to.Changed = d.Seq, d.Box, d.State, d.Changed
			}
		}
	}
	return nil
}

// refusedRows makes an error Invalid that says that the server does not take what it was
// given, however often.
func refusedRows(err error) error {
	state := stateOf(err)
	if strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") || strings.HasPrefix(state, "54") {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the database does not take what a landing keeps", Cause: err}
	}
	return err
}

// drain writes landed commits. It returns the nums of all messages, and how the deliveries
// stand of those that were there already.
func (t *tx) drain(landed []store.Landed) (map[*doppelboden.Message]int64, map[doppelboden.Ref]doppelboden.Delivery, error) {
	// Whoever else drains the same holds this lock until it can be seen.
	if err := t.sequence(); err != nil {
		return nil, nil, err
	}
	missing, err := t.missingLinks(landed)
	if err != nil {
		return nil, nil, err
	}
	nums := map[*doppelboden.Message]int64{}
	var there [][]byte
	for i := range landed {
		for _, m := range landed[i].Messages {
			num, added, err := t.accept(m, false)
			if err != nil {
				return nil, nil, err
			}
			if nums[m] = num; !added {
				there = append(there, m.ID[:])
			}
		}
	}
	for _, l := range missing {
		t.putLink(l)
	}
	if len(there) == 0 {
		return nums, nil, nil
	}
	if err := t.flush(); err != nil {
		return nil, nil, err
	}
	stand := map[doppelboden.Ref]doppelboden.Delivery{}
	err = t.c.query(background, func(r row) error {
		ref := doppelboden.Ref{Message: asID(r[0]), N: int(asInt(r[1]))}
		stand[ref] = doppelboden.Delivery{Seq: asInt(r[2]), Box: doppelboden.BoxID(asInt(r[3])), State: doppelboden.State(asInt(r[4])), Changed: asTime(r[5])}
		return nil
	}, `SELECT m.id, d.n, d.seq, d.box, d.state, d.changed FROM message m JOIN delivery d ON d.seq >= m.num AND d.seq < m.num + m.deliveries
		WHERE m.id = ANY ($1)`, there)
	return nums, stand, err
}

// missingLinks returns the links that are not there yet. It refuses a link with the number
// of another one, in the database or in the call, and one whose predecessor is gone.
func (t *tx) missingLinks(landed []store.Landed) ([]*doppelboden.Link, error) {
	chain, numbers := landed[0].Link.Chain, make([]int64, 0, 2*len(landed))
	for i := range landed {
		if landed[i].Link.Chain != chain {
			return nil, refuse(doppelboden.Invalid, "links of several chains cannot be drained at once")
		}
		numbers = append(numbers, landed[i].Link.Number)
		if landed[i].Follows {
			numbers = append(numbers, landed[i].Link.Number-1)
		}
	}
	if t.rows.links != nil { // of a call that shares the commit
		if err := t.flush(); err != nil {
			return nil, err
		}
	}
	there := map[int64][32]byte{}
	err := t.c.query(background, func(r row) error { there[asInt(r[0])] = asSum(r[1]); return nil },
		"SELECT number, hash FROM link WHERE chain = $1 AND number = ANY ($2)", chain, numbers)
	if err != nil {
		return nil, fmt.Errorf("find links: %w", err)
	}
	var missing []*doppelboden.Link
	for i := range landed {
		l := &landed[i].Link
		if _, before := there[l.Number-1]; landed[i].Follows && !before {
			return nil, refuse(doppelboden.NotFound, fmt.Sprintf("link %d of chain %s is gone", l.Number-1, chain))
		}
		hash, found := there[l.Number]
		switch {
		case !found:
			there[l.Number] = l.Hash
			missing = append(missing, l)
		case hash != l.Hash:
			return nil, refuse(doppelboden.Invalid, fmt.Sprintf("link %d of chain %s is there already and is another one", l.Number, chain))
		}
	}
	return missing, nil
}

// Drained returns the number of the last link of a chain.
func (s *Store) Drained(ctx context.Context, chain string) (number int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, "SELECT number FROM link WHERE chain = $1 ORDER BY number DESC LIMIT 1", chain)
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			number = asInt(r[0])
		}
		return err
	})
	return number, err
}

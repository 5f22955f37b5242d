package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	codes "modernc.org/sqlite/lib"

	"doppelboden"
	"doppelboden/store"
)

// Drain writes what a landing keeps.
func (s *Store) Drain(ctx context.Context, landed []store.Landed) error {
	for i := range landed {
		for _, m := range landed[i].Messages {
			if err := store.Acceptable(m); err != nil {
				return &doppelboden.Error{Code: doppelboden.Invalid, Public: publicStorage,
					Cause: fmt.Errorf("message %s: %w", m.ID, err)}
			}
		}
	}
	var places []drained
	err := s.do(ctx, &op{synced: true, run: func(t *tx) error {
		places = places[:0] // anew when the commit is run again
		for i := range landed {
			if landed[i].Follows {
				if err := t.follows(&landed[i].Link); err != nil {
					return err
				}
			}
			if err := t.landedLink(&landed[i].Link); err != nil {
				return err
			}
			for _, m := range landed[i].Messages {
				p, err := t.land(m)
				if err != nil {
					return itsOwn(err)
				}
				places = append(places, p)
			}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	for i := range places {
		places[i].tell()
	}
	return nil
}

// itsOwn makes an error Invalid when it is the message's own and will come again.
func itsOwn(err error) error {
	switch primary(err) {
	case codes.SQLITE_CONSTRAINT, codes.SQLITE_MISMATCH, codes.SQLITE_TOOBIG, codes.SQLITE_RANGE:
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: publicStorage, Cause: err}
	}
	return err
}

// A drained is a message with what the database says of its deliveries.
type drained struct {
	m   *doppelboden.Message
	num int64
	was []standing // of its deliveries; nil when it was not there before
}

// A standing is what a delivery has become.
type standing struct {
	box   doppelboden.BoxID
	state doppelboden.State
	since time.Time
}

// tell tells the message where its deliveries stand.
func (p *drained) tell() {
	placed(p.m, p.num)
	for i := range p.was {
		if i < len(p.m.Deliveries) {
			d := &p.m.Deliveries[i]
			d.Box, d.State, d.Changed = p.was[i].box, p.was[i].state, p.was[i].since
		}
	}
}

// land writes a message of a landing.
func (t *tx) land(m *doppelboden.Message) (drained, error) {
	num, added, err := t.accept(m)
	p := drained{m: m, num: num}
	if err != nil || added {
		return p, err
	}
	err = t.c.query(background, func(row []driver.Value) error {
		p.was = append(p.was, standing{doppelboden.BoxID(asInt(row[0])), doppelboden.State(asInt(row[1])), asTime(row[2])})
		return nil
	}, "SELECT box, state, changed FROM delivery WHERE seq >= ?1 AND seq < ?1 + (SELECT deliveries FROM message WHERE num = ?1) ORDER BY seq", num)
	if err != nil {
		return p, fmt.Errorf("read deliveries of %s: %w", m.ID, err)
	}
	return p, nil
}

// follows refuses a link whose predecessor is gone.
func (t *tx) follows(l *doppelboden.Link) error {
	_, err := t.c.one(background, `SELECT 1 FROM link WHERE chain = (SELECT id FROM chain WHERE name = ?) AND number = ?`, l.Chain, l.Number-1)
	if errors.Is(err, errNoRow) {
		return &doppelboden.Error{Code: doppelboden.NotFound, Public: publicStorage,
			Cause: fmt.Errorf("link %d of chain %s is gone", l.Number-1, l.Chain)}
	}
	return err
}

// landedLink writes a link of a landing's chain.
func (t *tx) landedLink(l *doppelboden.Link) error {
	chain, err := t.chain(l.Chain)
	if err != nil {
		return err
	}
	added, err := t.c.exec(background, `INSERT INTO link (chain, number, at, prev, root, hash, entries) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (chain, number) DO NOTHING`,
		chain, l.Number, l.At.UnixMicro(), l.Prev[:], l.Root[:], l.Hash[:], blob(l.Entries))
	if err != nil {
		return &storageError{fmt.Errorf("write link: %w", err)}
	}
	if added > 0 {
		return nil
	}
	row, err := t.c.one(background, "SELECT hash FROM link WHERE chain = ? AND number = ?", chain, l.Number)
	if err != nil {
		return fmt.Errorf("read link: %w", err)
	}
	if asSum(row[0]) != l.Hash {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: publicStorage,
			Cause: fmt.Errorf("link %d of chain %s is there already and is another one", l.Number, l.Chain)}
	}
	return nil
}

// Drained returns the number of the last link of a chain.
func (s *Store) Drained(ctx context.Context, chain string) (number int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT max(number) FROM link WHERE chain = (SELECT id FROM chain WHERE name = ?)", chain)
		if errors.Is(err, errNoRow) || err == nil && row[0] == nil {
			return nil
		}
		if err == nil {
			number = asInt(row[0])
		}
		return err
	})
	return number, err
}

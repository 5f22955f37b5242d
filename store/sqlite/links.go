package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"doppelboden"
)

// Note writes entries that belong to no message's change.
func (s *Store) Note(ctx context.Context, entries ...doppelboden.Entry) error {
	return s.do(ctx, &op{notOnItsOwn: true, run: func(t *tx) error {
		t.entries = append(t.entries, entries...)
		return nil
	}})
}

// Links yields the links whose time is not before from, by chain and number.
func (s *Store) Links(ctx context.Context, from time.Time, yield func(doppelboden.Link) error) error {
	chain, number := "", int64(0)
	at := int64(-1 << 63)
	if !from.IsZero() {
		// A link's time is cut to microseconds, so it is compared with a cut one.
		at = from.UnixMicro()
	}
	return walk(func() (page []doppelboden.Link, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				l := doppelboden.Link{Chain: asText(row[0]), Number: asInt(row[1]), At: asTime(row[2]),
					Prev: asSum(row[3]), Root: asSum(row[4]), Hash: asSum(row[5]), Entries: asBlob(row[6])}
				page, chain, number = append(page, l), l.Chain, l.Number
				return nil
			}, `SELECT c.name, l.number, l.at, l.prev, l.root, l.hash, l.entries
				FROM chain c CROSS JOIN link l INDEXED BY link_number ON l.chain = c.id
				WHERE c.name >= ?1 AND (c.name > ?1 OR l.number > ?2) AND l.at >= ?3
				ORDER BY c.name, l.number LIMIT ?4`, chain, number, at, int64(pageRows))
		})
		return page, err
	}, yield)
}

// ChainHeads returns the last link of every chain, by chain.
func (s *Store) ChainHeads(ctx context.Context) (heads []doppelboden.Head, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			heads = append(heads, doppelboden.Head{Chain: asText(row[0]), Number: asInt(row[1]), Hash: asSum(row[2])})
			return nil
		}, `SELECT c.name, l.number, l.hash FROM chain c CROSS JOIN link l ON l.chain = c.id
			AND l.number = (SELECT max(number) FROM link WHERE chain = c.id) ORDER BY c.name`)
	})
	return heads, err
}

const knotColumns = "SELECT number, at, heads, prev, hash, signature FROM knot "

// readKnot reads knotColumns.
func readKnot(row []driver.Value) (doppelboden.Knot, error) {
	k := doppelboden.Knot{Number: asInt(row[0]), At: asTime(row[1]), Prev: asSum(row[3]), Hash: asSum(row[4]), Signature: asBlob(row[5])}
	if err := json.Unmarshal(asBlob(row[2]), &k.Heads); err != nil {
		return k, fmt.Errorf("read heads of knot %d: %w", k.Number, err)
	}
	return k, nil
}

// PutKnot stores the knot that follows the last one.
func (s *Store) PutKnot(ctx context.Context, k doppelboden.Knot) error {
	heads, err := json.Marshal(k.Heads)
	if err != nil {
		return outward(fmt.Errorf("write heads of knot: %w", err))
	}
	k.At = asTime(k.At.UnixMicro())
	return s.write(ctx, func(t *tx) error {
		row, err := t.c.one(background, knotColumns+"WHERE number = ?", k.Number)
		if err == nil {
			return sameKnot(row, k)
		}
		if !errors.Is(err, errNoRow) {
			return fmt.Errorf("find knot: %w", err)
		}
		row, err = t.c.one(background, "SELECT max(number) FROM knot")
		if err != nil {
			return fmt.Errorf("find last knot: %w", err)
		}
		if row[0] != nil && asInt(row[0])+1 != k.Number {
			return refuse(doppelboden.Invalid, fmt.Sprintf("knot %d does not follow knot %d", k.Number, asInt(row[0])))
		}
		_, err = t.c.exec(background, "INSERT INTO knot (number, at, heads, prev, hash, signature) VALUES (?, ?, ?, ?, ?, ?)",
			k.Number, k.At.UnixMicro(), heads, k.Prev[:], k.Hash[:], blob(k.Signature))
		if err != nil {
			return fmt.Errorf("write knot: %w", err)
		}
		return nil
	})
}

// sameKnot allows to put a knot again, and refuses another with its number.
func sameKnot(row []driver.Value, k doppelboden.Knot) error {
	there, err := readKnot(row)
	if err != nil {
		return err
	}
	if len(k.Heads) == 0 {
		k.Heads = there.Heads[:len(k.Heads):len(k.Heads)]
	}
	if len(k.Signature) == 0 {
		k.Signature = nil
	}
	if !reflect.DeepEqual(there, k) {
		return refuse(doppelboden.Invalid, fmt.Sprintf("knot %d is there already and is another one", k.Number))
	}
	return nil
}

// Knots yields all knots by number.
func (s *Store) Knots(ctx context.Context, yield func(doppelboden.Knot) error) error {
	last := int64(-1 << 63)
	return walk(func() (page []doppelboden.Knot, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				k, err := readKnot(row)
				page, last = append(page, k), k.Number
				return err
			}, knotColumns+"WHERE number > ? ORDER BY number LIMIT ?", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// LastKnot returns the newest knot.
func (s *Store) LastKnot(ctx context.Context) (k doppelboden.Knot, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, knotColumns+"ORDER BY number DESC LIMIT 1")
		if errors.Is(err, errNoRow) {
			return notFound("knot")
		}
		if err == nil {
			k, err = readKnot(row)
		}
		return err
	})
	return k, err
}

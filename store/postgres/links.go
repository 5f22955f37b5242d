package postgres

import (
	"context"
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
			return c.query(ctx, func(r row) error {
				l := doppelboden.Link{Chain: asText(r[0]), Number: asInt(r[1]), At: asTime(r[2]),
					Prev: asSum(r[3]), Root: asSum(r[4]), Hash: asSum(r[5]), Entries: asBlob(r[6])}
				page, chain, number = append(page, l), l.Chain, l.Number
				return nil
			}, `SELECT chain, number, at, prev, root, hash, entries FROM link
				WHERE (chain, number) > ($1, $2) AND at >= $3 ORDER BY chain, number LIMIT $4`, chain, number, at, int64(pageRows))
		})
		return page, err
	}, yield)
}

// ChainHeads returns the last link of every chain, by chain. It leaps from chain to chain.
func (s *Store) ChainHeads(ctx context.Context) (heads []doppelboden.Head, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			heads = append(heads, doppelboden.Head{Chain: asText(r[0]), Number: asInt(r[1]), Hash: asSum(r[2])})
			return nil
		}, `WITH RECURSIVE head AS (
				(SELECT chain, number, hash FROM link ORDER BY chain DESC, number DESC LIMIT 1)
				UNION ALL
				SELECT l.chain, l.number, l.hash FROM head h JOIN LATERAL
					(SELECT chain, number, hash FROM link WHERE chain < h.chain ORDER BY chain DESC, number DESC LIMIT 1) l ON true)
			SELECT chain, number, hash FROM head ORDER BY chain`)
	})
	return heads, err
}

const knotColumns = "SELECT number, at, heads, prev, hash, signature FROM knot "

// readKnot reads knotColumns.
func readKnot(r row) (doppelboden.Knot, error) {
	k := doppelboden.Knot{Number: asInt(r[0]), At: asTime(r[1]), Prev: asSum(r[3]), Hash: asSum(r[4]), Signature: asBlob(r[5])}
	if err := json.Unmarshal(r[2], &k.Heads); err != nil {
		return k, fmt.Errorf("read heads of knot %d: %w", k.Number, err)
	}
	return k, nil
}

// PutKnot stores the knot that follows the last one. When two nodes put one at the same
// moment, the number is taken by the first, and the second finds it there.
func (s *Store) PutKnot(ctx context.Context, k doppelboden.Knot) error {
	heads, err := json.Marshal(k.Heads)
	if err != nil {
		return outward(fmt.Errorf("write heads of knot: %w", err))
	}
	k.At = kept(k.At)
	return s.write(ctx, func(t *tx) error {
		last, err := t.one("SELECT max(number) FROM knot")
		if err != nil {
			return fmt.Errorf("find last knot: %w", err)
		}
		if last[0] == nil || asInt(last[0])+1 == k.Number {
			added, err := t.exec(`INSERT INTO knot (number, at, heads, prev, hash, signature) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT DO NOTHING`, k.Number, k.At.UnixMicro(), heads, k.Prev[:], k.Hash[:], blob(k.Signature))
			if err != nil {
				return fmt.Errorf("write knot: %w", err)
			}
			if added > 0 {
				return nil
			}
		}
		r, err := t.one(knotColumns+"WHERE number = $1", k.Number)
		switch {
		case errors.Is(err, errNoRow):
			return refuse(doppelboden.Invalid, fmt.Sprintf("knot %d does not follow knot %d", k.Number, asInt(last[0])))
		case err != nil:
			return fmt.Errorf("find knot: %w", err)
		}
		return sameKnot(r, k)
	})
}

// sameKnot allows to put a knot again, and refuses another with its number.
func sameKnot(r row, k doppelboden.Knot) error {
	there, err := readKnot(r)
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
			return c.query(ctx, func(r row) error {
				k, err := readKnot(r)
				page, last = append(page, k), k.Number
				return err
			}, knotColumns+"WHERE number > $1 ORDER BY number LIMIT $2", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// LastKnot returns the newest knot.
func (s *Store) LastKnot(ctx context.Context) (k doppelboden.Knot, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, knotColumns+"ORDER BY number DESC LIMIT 1")
		if errors.Is(err, errNoRow) {
			return notFound("knot")
		}
		if err == nil {
			k, err = readKnot(r)
		}
		return err
	})
	return k, err
}

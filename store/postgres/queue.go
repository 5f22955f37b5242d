package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// maxHeads is how many boxes Heads may be asked for at once.
const maxHeads = 100

// boxesQuery leaps from box to box and finds those that have queued deliveries: at most
// $2 behind box $1.
const boxesQuery = `WITH RECURSIVE box AS (
		(SELECT box AS id FROM delivery WHERE box > $1 ORDER BY box LIMIT 1)
		UNION ALL
		SELECT n.id FROM box b JOIN LATERAL (SELECT box AS id FROM delivery WHERE box > b.id ORDER BY box LIMIT 1) n ON true)
	SELECT w.id, (SELECT count(*) FROM delivery WHERE box = w.id AND state = 0), w.oldest, d.tenant, d.next, m.received
	FROM (SELECT b.id, (SELECT min(seq) FROM delivery WHERE box = b.id AND state = 0) AS oldest FROM box b OFFSET 0) w
	JOIN delivery d ON d.seq = w.oldest JOIN message m ON m.num = d.seq - d.n
	LIMIT $2`

// Boxes yields every box that has queued deliveries, by its number. Recipients that are
// nobody's form one box with the tenant of the oldest.
func (s *Store) Boxes(ctx context.Context, yield func(store.Box) error) error {
	last := int64(math.MinInt64)
	return walk(func() (page []store.Box, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				b := store.Box{Box: doppelboden.BoxID(asInt(r[0])), Queued: asInt(r[1]), Oldest: asInt(r[2]),
					Tenant: doppelboden.TenantID(asInt(r[3])), Next: asTime(r[4]), Since: asTime(r[5])}
				page, last = append(page, b), asInt(r[0])
				return nil
			}, boxesQuery, last, int64(pageRows))
		})
		return page, err
	}, yield)
}

const headsQuery = "SELECT " + deliveryColumns + ", " + messageColumns + `
	FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY u (box, after, place)
	CROSS JOIN LATERAL (SELECT * FROM delivery WHERE box = u.box AND state = 0 AND seq > u.after ORDER BY seq LIMIT $3) d
	JOIN message m ON m.num = d.seq - d.n ORDER BY u.place, d.seq`

// Heads returns the first queued deliveries of boxes.
func (s *Store) Heads(ctx context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]store.Item, error) {
	if len(boxes) > maxHeads || len(after) != len(boxes) {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("heads of %d boxes after %d were asked for, at most %d are given", len(boxes), len(after), maxHeads)}
	}
	return s.items(ctx, headsQuery, numbersOf(boxes), after, int64(limit))
}

// numbersOf returns the numbers of boxes.
func numbersOf(boxes []doppelboden.BoxID) []int64 {
	numbers := make([]int64, len(boxes))
	for n, b := range boxes {
		numbers[n] = int64(b)
	}
	return numbers
}

// items runs a query for deliveryColumns and messageColumns. The deliveries of one message
// share it.
func (s *Store) items(ctx context.Context, text string, args ...any) (items []store.Item, err error) {
	err = s.read(ctx, func(c *conn) error {
		items, err = c.items(ctx, text, args...)
		return err
	})
	return items, err
}

// items is Store.items on one connection.
func (c *conn) items(ctx context.Context, text string, args ...any) ([]store.Item, error) {
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err := c.query(ctx, func(r row) error {
		items = append(items, readItem(r, shared))
		return nil
	}, text, args...)
	if err != nil {
		return nil, err
	}
	return items, nil
}

// readItem reads a delivery with its message; items of one message share it.
func readItem(r row, shared map[doppelboden.ID]*doppelboden.Message) store.Item {
	d := readDelivery(r)
	m := shared[d.Message]
	if m == nil {
		m = readMessage(r[deliveryWidth:])
		shared[d.Message] = m
	}
	return store.Item{Delivery: d, Message: m}
}

// Deliveries yields what a filter selects, in the order of Seq.
func (s *Store) Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error {
	left := f.Limit
	pages, err := s.pages(ctx, f)
	if err != nil {
		return err
	}
	return walk(func() ([]store.Item, error) {
		limit := pageRows
		if f.Limit > 0 {
			limit = min(limit, left)
		}
		if limit == 0 {
			return nil, nil
		}
		items, err := pages(limit)
		left -= len(items)
		return items, err
	}, yield)
}

// rare are the states that index delivery_rare holds: they are few, or ought to be.
var rare = []doppelboden.State{doppelboden.Held, doppelboden.Bounced, doppelboden.Discarded}

const itemsFrom = "SELECT " + deliveryColumns + ", " + messageColumns + ` FROM delivery d JOIN message m ON m.num = d.seq - d.n
	WHERE d.seq > $1 AND d.seq < $2 AND ($3 = 0 OR d.tenant = $3) AND ($4 = 0 OR d.mailbox = $4) `

// Ways to find deliveries. Each takes Seqs between which to look, tenant, mailbox, a
// limit, and then what is named here.
const (
	// findBox is for what is queued in one box.
	findBox = itemsFrom + "AND d.state = 0 AND d.box = $6 ORDER BY d.seq LIMIT $5"
	// findRare is for what is held or has ended badly; the index has it by state.
	findRare = itemsFrom + "AND d.state + 0 IN (1, 4, 5) AND d.state = $6 AND ($7 = 0 OR d.box = $7) ORDER BY d.seq LIMIT $5"
	// findAny looks at every delivery of a window: states as a mask, and a box.
	findAny = itemsFrom + "AND ($6 >> d.state::int) & 1 = 1 AND ($7 = 0 OR d.box = $7) ORDER BY d.seq LIMIT $5"
)

// pages returns a function that reads the next page of what f selects, in the cheapest
// of three ways.
func (s *Store) pages(ctx context.Context, f store.Filter) (func(limit int) ([]store.Item, error), error) {
	mask := int64(0)
	onlyRare, onlyQueued := len(f.States) > 0, len(f.States) > 0
	for _, st := range f.States {
		mask |= 1 << st
		onlyRare = onlyRare && slices.Contains(rare, st)
		onlyQueued = onlyQueued && st == doppelboden.Queued
	}
	if len(f.States) == 0 {
		mask = -1
	}
	low, high, err := s.bounds(ctx, f)
	if err != nil {
		return nil, err
	}
	p := pager{s: s, f: f, mask: mask, after: low, before: high}
	switch {
	case onlyQueued && (f.Box != 0 || f.Mailbox != 0):
		return func(limit int) ([]store.Item, error) { return p.queued(ctx, limit) }, nil
	case mask == 1<<doppelboden.Held && (f.Box != 0 || f.Group != ""):
		return func(limit int) ([]store.Item, error) { return p.held(ctx, limit) }, nil
	case f.Group != "":
		return nil, &doppelboden.Error{Code: doppelboden.Invalid, Public: "a group is of what is held"}
	case onlyRare:
		return func(limit int) ([]store.Item, error) { return p.rare(ctx, limit) }, nil
	}
	return func(limit int) ([]store.Item, error) { return p.windows(ctx, limit) }, nil
}

// bounds returns the Seqs between which f looks, both excluded.
func (s *Store) bounds(ctx context.Context, f store.Filter) (low, high int64, err error) {
	if f.Message.IsZero() {
		return max(0, f.AfterSeq), math.MaxInt64, nil
	}
	err = s.readFor(ctx, f.Tenant, func(c *conn) error {
		r, err := c.one(ctx, "SELECT num, deliveries FROM message WHERE id = $1", f.Message[:])
		if errors.Is(err, errNoRow) {
			return nil // nothing lies between 0 and 0
		}
		if err == nil {
			low, high = max(asInt(r[0])-1, f.AfterSeq), asInt(r[0])+asInt(r[1])
		}
		return err
	})
	return low, high, err
}

// A pager reads pages of deliveries. Between two pages nothing is open.
type pager struct {
	s             *Store
	f             store.Filter
	mask          int64
	after, before int64 // the Seqs between which it looks
}

// read reads a page in one way, with what that way takes besides.
func (p *pager) read(ctx context.Context, c *conn, text string, before int64, limit int, besides ...int64) ([]store.Item, error) {
	args := []any{p.after, before, int64(p.f.Tenant), int64(p.f.Mailbox), int64(limit)}
	for _, v := range besides {
		args = append(args, v)
	}
	return c.items(ctx, text, args...)
}

// passed moves on behind the last item.
func (p *pager) passed(items []store.Item) {
	if len(items) > 0 {
		p.after = items[len(items)-1].Delivery.Seq
	}
}

// queued reads the next page of what is queued in a box, or for a mailbox in all of its
// boxes.
func (p *pager) queued(ctx context.Context, limit int) (items []store.Item, err error) {
	err = p.s.readFor(ctx, p.f.Tenant, func(c *conn) error {
		boxes := []int64{int64(p.f.Box)}
		if p.f.Box == 0 {
			boxes[0] = int64(p.f.Mailbox)
			err := c.query(ctx, func(r row) error {
				boxes = append(boxes, asInt(r[0]))
				return nil
			}, "SELECT id FROM destination WHERE mailbox = $1", int64(p.f.Mailbox))
			if err != nil {
				return err
			}
		}
		var parts [][]store.Item
		for _, box := range boxes {
			some, err := p.read(ctx, c, findBox, p.before, limit, box)
			if err != nil {
				return err
			}
			parts = append(parts, some)
		}
		items = p.merged(limit, parts)
		return nil
	})
	return items, err
}

// rare reads the next page of what is held or has ended badly.
func (p *pager) rare(ctx context.Context, limit int) (items []store.Item, err error) {
	err = p.s.readFor(ctx, p.f.Tenant, func(c *conn) error {
		var parts [][]store.Item
		for _, st := range rare {
			if p.mask>>st&1 == 0 {
				continue
			}
			some, err := p.read(ctx, c, findRare, p.before, limit, int64(st), int64(p.f.Box))
			if err != nil {
				return err
			}
			parts = append(parts, some)
		}
		items = p.merged(limit, parts)
		return nil
	})
	return items, err
}

// merged returns the first limit items of all parts, each of which is in order.
func (p *pager) merged(limit int, parts [][]store.Item) []store.Item {
	items := slices.Concat(parts...)
	slices.SortFunc(items, func(a, b store.Item) int { return cmp.Compare(a.Delivery.Seq, b.Delivery.Seq) })
	items = items[:min(len(items), limit)]
	p.passed(items)
	return items
}

// windowRows is how many Seqs one short read looks at: some milliseconds.
const windowRows = 8192

// windows looks at window after window until one has something. It leaps over what
// retention has removed.
func (p *pager) windows(ctx context.Context, limit int) (items []store.Item, err error) {
	for len(items) == 0 && err == nil && p.after < p.before-1 {
		err = p.s.readFor(ctx, p.f.Tenant, func(c *conn) error {
			first, err := c.one(ctx, "SELECT min(seq) FROM delivery WHERE seq > $1", p.after)
			if err != nil {
				return err
			}
			if first[0] == nil {
				p.after = p.before
				return nil
			}
			high := min(asInt(first[0])+windowRows, p.before)
			items, err = p.read(ctx, c, findAny, high, limit, p.mask, int64(p.f.Box))
			if err == nil && len(items) < limit {
				p.after = high - 1
				return nil
			}
			p.passed(items)
			return err
		})
	}
	return items, err
}

package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
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
// ?2 behind box ?1.
const boxesQuery = `WITH RECURSIVE box (id) AS (
		SELECT min(box) FROM delivery WHERE box > ?1
		UNION ALL SELECT (SELECT min(box) FROM delivery WHERE box > b.id) FROM box b WHERE b.id IS NOT NULL),
	waiting (id, oldest) AS (
		SELECT b.id, (SELECT min(seq) FROM delivery INDEXED BY delivery_box WHERE box = b.id AND state = 0) FROM box b)
	SELECT w.id, (SELECT count(*) FROM delivery INDEXED BY delivery_box WHERE box = w.id AND state = 0), w.oldest,
		d.tenant, d.next, m.received
	FROM waiting w CROSS JOIN delivery d ON d.seq = w.oldest CROSS JOIN message m ON m.num = d.seq - d.n
	LIMIT ?2`

// Boxes yields every box that has queued deliveries, by its number. Recipients that are
// nobody's form one box with the tenant of the oldest.
func (s *Store) Boxes(ctx context.Context, yield func(store.Box) error) error {
	last := int64(math.MinInt64)
	return walk(func() (page []store.Box, err error) {
		err = s.snapshot(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				b := store.Box{Box: doppelboden.BoxID(asInt(row[0])), Queued: asInt(row[1]), Oldest: asInt(row[2]),
					Tenant: doppelboden.TenantID(asInt(row[3])), Next: asTime(row[4]), Since: asTime(row[5])}
				page, last = append(page, b), asInt(row[0])
				return nil
			}, boxesQuery, last, int64(pageRows))
		})
		return page, err
	}, yield)
}

const headsQuery = "SELECT " + deliveryColumns + ", " + messageColumns + `
	FROM delivery d INDEXED BY delivery_box CROSS JOIN message m ON m.num = d.seq - d.n
	CROSS JOIN segment g ON g.num = m.segment
	WHERE d.box = ? AND d.state = 0 AND d.seq > ? ORDER BY d.seq LIMIT ?`

// Heads returns the first queued deliveries of boxes.
func (s *Store) Heads(ctx context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]store.Item, error) {
	if len(boxes) > maxHeads || len(after) != len(boxes) {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("heads of %d boxes after %d were asked for, at most %d are given", len(boxes), len(after), maxHeads)}
	}
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err := s.read(ctx, func(c *conn) error {
		for i, box := range boxes {
			err := c.query(ctx, func(row []driver.Value) error {
				items = append(items, readItem(row, shared))
				return nil
			}, headsQuery, int64(box), after[i], int64(limit))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// readItem reads a delivery with its message; items of one message share it.
func readItem(row []driver.Value, shared map[doppelboden.ID]*doppelboden.Message) store.Item {
	d := readDelivery(row)
	m := shared[d.Message]
	if m == nil {
		m = readMessage(row[deliveryWidth:])
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

const itemsFrom = "SELECT " + deliveryColumns + ", " + messageColumns + " FROM "

const itemsJoin = ` CROSS JOIN message m ON m.num = d.seq - d.n CROSS JOIN segment g ON g.num = m.segment
	WHERE d.seq > ?1 AND d.seq < ?2 AND (?3 = 0 OR d.tenant = ?3) AND (?4 = 0 OR d.mailbox = ?4)
	AND (?5 >> d.state) & 1 AND (?8 = 0 OR d.box = ?8) `

// Ways to find deliveries. Each takes Seqs between which to look, tenant, mailbox, a
// mask of states, a limit, a single state and a box.
const (
	// findBox is for what is queued in one box.
	findBox = itemsFrom + "delivery d INDEXED BY delivery_box" + itemsJoin +
		"AND d.state = 0 AND d.box = ?8 ORDER BY d.seq LIMIT ?6"
	// findRare is for what is held or has ended badly; the index has it by state.
	findRare = itemsFrom + "delivery d INDEXED BY delivery_rare" + itemsJoin +
		"AND d.state IN (1, 4, 5) AND d.state = ?7 ORDER BY d.seq LIMIT ?6"
	// findAny looks at every delivery of a window.
	findAny = itemsFrom + "delivery d NOT INDEXED" + itemsJoin + "ORDER BY d.seq LIMIT ?6"
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
		return max(0, f.AfterSeq), 1<<63 - 1, nil
	}
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT num, deliveries FROM message WHERE id = ?", f.Message[:])
		if errors.Is(err, errNoRow) {
			return nil // nothing lies between 0 and 0
		}
		if err == nil {
			low, high = max(asInt(row[0])-1, f.AfterSeq), asInt(row[0])+asInt(row[1])
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

// read reads a page of one part.
func (p *pager) read(ctx context.Context, c *conn, one part, before int64, limit int) ([]store.Item, error) {
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err := c.query(ctx, func(row []driver.Value) error {
		items = append(items, readItem(row, shared))
		return nil
	}, one.text, p.after, before, int64(p.f.Tenant), int64(p.f.Mailbox), p.mask, int64(limit), int64(one.state), int64(one.box))
	return items, err
}

// passed moves on behind the last item.
func (p *pager) passed(items []store.Item) {
	if len(items) > 0 {
		p.after = items[len(items)-1].Delivery.Seq
	}
}

// A part is one of the ordered lists that make a page.
type part struct {
	text  string
	state doppelboden.State
	box   doppelboden.BoxID
}

// queued reads the next page of what is queued in a box, or for a mailbox in all of its
// boxes.
func (p *pager) queued(ctx context.Context, limit int) (items []store.Item, err error) {
	err = p.s.snapshot(ctx, func(c *conn) error {
		boxes := []doppelboden.BoxID{p.f.Box}
		if p.f.Box == 0 {
			boxes[0] = doppelboden.BoxID(p.f.Mailbox)
			err := c.query(ctx, func(row []driver.Value) error {
				boxes = append(boxes, doppelboden.BoxID(asInt(row[0])))
				return nil
			}, "SELECT id FROM destination WHERE mailbox = ?", int64(p.f.Mailbox))
			if err != nil {
				return err
			}
		}
		parts := make([]part, len(boxes))
		for i, b := range boxes {
			parts[i] = part{findBox, doppelboden.Queued, b}
		}
		items, err = p.merged(ctx, c, limit, parts)
		return err
	})
	return items, err
}

// rare reads the next page of what is held or has ended badly.
func (p *pager) rare(ctx context.Context, limit int) (items []store.Item, err error) {
	err = p.s.snapshot(ctx, func(c *conn) error {
		var parts []part
		for _, st := range rare {
			if p.mask>>st&1 != 0 {
				parts = append(parts, part{findRare, st, p.f.Box})
			}
		}
		items, err = p.merged(ctx, c, limit, parts)
		return err
	})
	return items, err
}

// merged reads a page of each part and returns the first limit items of all.
func (p *pager) merged(ctx context.Context, c *conn, limit int, parts []part) (items []store.Item, err error) {
	for _, one := range parts {
		some, err := p.read(ctx, c, one, p.before, limit)
		if err != nil {
			return nil, err
		}
		items = append(items, some...)
	}
	slices.SortFunc(items, func(a, b store.Item) int { return cmp.Compare(a.Delivery.Seq, b.Delivery.Seq) })
	items = items[:min(len(items), limit)]
	p.passed(items)
	return items, nil
}

// windows looks at window after window until one has something.
func (p *pager) windows(ctx context.Context, limit int) (items []store.Item, err error) {
	for len(items) == 0 && err == nil && p.after < p.before-1 {
		err = p.s.snapshot(ctx, func(c *conn) error {
			w := scan{next: p.after + 1}
			_, high, more, err := w.window(ctx, c)
			if err != nil || !more {
				p.after = p.before
				return err
			}
			high = min(high, p.before)
			if items, err = p.read(ctx, c, part{text: findAny, box: p.f.Box}, high, limit); err == nil && len(items) < limit {
				p.after = high - 1
				return nil
			}
			p.passed(items)
			return err
		})
	}
	return items, err
}

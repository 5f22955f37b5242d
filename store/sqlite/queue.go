package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// maxHeads is how many mailboxes Heads may be asked for at once.
const maxHeads = 100

// Boxes yields every mailbox that has queued deliveries, by its number. Recipients that
// are nobody's mailbox form one box with the tenant of the oldest.
func (s *Store) Boxes(ctx context.Context, yield func(store.Box) error) error {
	last := int64(-1)
	return walk(func() (page []store.Box, err error) {
		err = s.snapshot(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				b := store.Box{Mailbox: doppelboden.MailboxID(asInt(row[0])), Queued: asInt(row[1]), Oldest: asInt(row[2]),
					Tenant: doppelboden.TenantID(asInt(row[3])), Next: asTime(row[4]), Since: asTime(row[5])}
				page, last = append(page, b), asInt(row[0])
				return nil
			}, `WITH box AS MATERIALIZED (
					SELECT mailbox, count(*) AS queued, min(seq) AS oldest FROM delivery INDEXED BY delivery_queued
					WHERE state = 0 AND mailbox > ? GROUP BY mailbox ORDER BY mailbox LIMIT ?)
				SELECT b.mailbox, b.queued, b.oldest, d.tenant, d.next, m.received
				FROM box b CROSS JOIN delivery d ON d.seq = b.oldest CROSS JOIN message m ON m.num = d.seq - d.n
				ORDER BY b.mailbox`, last, int64(pageRows))
		})
		return page, err
	}, yield)
}

const headsQuery = "SELECT " + deliveryColumns + ", " + messageColumns + `
	FROM delivery d INDEXED BY delivery_queued CROSS JOIN message m ON m.num = d.seq - d.n
	CROSS JOIN segment g ON g.num = m.segment
	WHERE d.state = 0 AND d.mailbox = ? AND d.seq > ? ORDER BY d.seq LIMIT ?`

// Heads returns the first queued deliveries of mailboxes.
func (s *Store) Heads(ctx context.Context, mailboxes []doppelboden.MailboxID, after []int64, limit int) ([]store.Item, error) {
	if len(mailboxes) > maxHeads || len(after) != len(mailboxes) {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("heads of %d mailboxes after %d were asked for, at most %d are given", len(mailboxes), len(after), maxHeads)}
	}
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err := s.read(ctx, func(c *conn) error {
		for i, mailbox := range mailboxes {
			err := c.query(ctx, func(row []driver.Value) error {
				items = append(items, readItem(row, shared))
				return nil
			}, headsQuery, int64(mailbox), after[i], int64(limit))
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
	AND (?5 >> d.state) & 1 `

// Ways to find deliveries. Each takes Seqs between which to look, tenant, mailbox, a
// mask of states and a limit.
const (
	// findQueued is for the queue of a mailbox.
	findQueued = itemsFrom + "delivery d INDEXED BY delivery_queued" + itemsJoin +
		"AND d.state = 0 AND d.mailbox = ?4 ORDER BY d.seq LIMIT ?6"
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
	case onlyQueued && f.Mailbox != 0:
		return func(limit int) ([]store.Item, error) { return p.indexed(ctx, limit, findQueued) }, nil
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

// read reads one page with one of the ways to find deliveries.
func (p *pager) read(ctx context.Context, c *conn, text string, before int64, limit int, more ...driver.Value) ([]store.Item, error) {
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	args := append([]driver.Value{p.after, before, int64(p.f.Tenant), int64(p.f.Mailbox), p.mask, int64(limit)}, more...)
	err := c.query(ctx, func(row []driver.Value) error {
		items = append(items, readItem(row, shared))
		return nil
	}, text, args...)
	return items, err
}

// passed moves on behind the last item.
func (p *pager) passed(items []store.Item) {
	if len(items) > 0 {
		p.after = items[len(items)-1].Delivery.Seq
	}
}

// indexed reads the next page of an index that is in the order of Seq.
func (p *pager) indexed(ctx context.Context, limit int, text string) (items []store.Item, err error) {
	err = p.s.read(ctx, func(c *conn) error {
		items, err = p.read(ctx, c, text, p.before, limit)
		return err
	})
	p.passed(items)
	return items, err
}

// rare reads a page of each state and merges them.
func (p *pager) rare(ctx context.Context, limit int) (items []store.Item, err error) {
	err = p.s.snapshot(ctx, func(c *conn) error {
		for _, st := range rare {
			if p.mask>>st&1 == 0 {
				continue
			}
			some, err := p.read(ctx, c, findRare, p.before, limit, int64(st))
			if err != nil {
				return err
			}
			items = append(items, some...)
		}
		return nil
	})
	slices.SortFunc(items, func(a, b store.Item) int { return cmp.Compare(a.Delivery.Seq, b.Delivery.Seq) })
	items = items[:min(len(items), limit)]
	p.passed(items)
	return items, err
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
			if items, err = p.read(ctx, c, findAny, high, limit); err == nil && len(items) < limit {
				p.after = high - 1
				return nil
			}
			p.passed(items)
			return err
		})
	}
	return items, err
}

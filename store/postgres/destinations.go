package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutDestination gives the number of a destination.
func (s *Store) PutDestination(ctx context.Context, d doppelboden.Destination, at time.Time) (id doppelboden.BoxID, err error) {
	internet := d.Mailbox == 0 && d.Route == "" && d.Domain != ""
	second := d.Mailbox > 0 && d.Route != "" && d.Domain == ""
	if d.Tenant <= 0 || !internet && !second {
		return 0, &doppelboden.Error{Code: doppelboden.Invalid, Public: "a destination is a route of a mailbox or a domain of the Internet"}
	}
	err = s.write(ctx, func(t *tx) error {
		id, err = t.destination(d, at)
		return err
	})
	return id, err
}

// destination gives the number of a destination.
func (t *tx) destination(d doppelboden.Destination, at time.Time) (doppelboden.BoxID, error) {
	args := []any{int64(d.Tenant), int64(d.Mailbox), d.Route, d.Domain, micros(at)}
	// An insert that meets a row uses up a number, so the row is looked for first.
	r, err := t.one(`UPDATE destination SET used = greatest(used, $5)
		WHERE tenant = $1 AND mailbox = $2 AND route = $3 AND domain = $4 RETURNING id`, args...)
	if errors.Is(err, errNoRow) {
		r, err = t.one(`INSERT INTO destination (tenant, mailbox, route, domain, used) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant, mailbox, route, domain) DO UPDATE SET used = greatest(destination.used, excluded.used) RETURNING id`, args...)
	}
	if err != nil {
		return 0, fmt.Errorf("write destination: %w", err)
	}
	return doppelboden.BoxID(asInt(r[0])), nil
}

// Destinations yields all destinations.
func (s *Store) Destinations(ctx context.Context, yield func(doppelboden.Destination) error) error {
	last := int64(0)
	return walk(func() (page []doppelboden.Destination, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				page = append(page, doppelboden.Destination{ID: doppelboden.BoxID(asInt(r[0])), Tenant: doppelboden.TenantID(asInt(r[1])),
					Mailbox: doppelboden.MailboxID(asInt(r[2])), Route: asText(r[3]), Domain: asText(r[4])})
				last = asInt(r[0])
				return nil
			}, "SELECT id, tenant, mailbox, route, domain FROM destination WHERE id < $1 ORDER BY id DESC LIMIT $2", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// DropDestinations removes domains that nobody uses any more. Their numbers are not given
// again.
func (s *Store) DropDestinations(ctx context.Context, cut time.Time) (dropped int, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.exec(`DELETE FROM destination e WHERE e.mailbox = 0 AND e.used < $1
			AND e.id > (SELECT min(id) FROM destination)
			AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.box = e.id AND d.state IN (0, 1))`, micros(cut))
		dropped = int(n)
		return err
	})
	return dropped, err
}

// dueQuery returns of each box what is due, and of the rest the first.
const dueQuery = "SELECT " + deliveryColumns + ", " + messageColumns + `
	FROM unnest($1::bigint[]) WITH ORDINALITY u (box, place)
	CROSS JOIN LATERAL (SELECT * FROM delivery WHERE box = u.box AND state = 0 AND box < 0
		ORDER BY next NULLS FIRST, seq LIMIT $2) d
	JOIN message m ON m.num = d.seq - d.n ORDER BY u.place, d.next NULLS FIRST, d.seq`

// Due returns what waits for destinations, in the order in which it is due.
func (s *Store) Due(ctx context.Context, boxes []doppelboden.BoxID, until time.Time, limit int) ([]store.Item, error) {
	if len(boxes) > maxHeads {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("what is due in %d boxes was asked for, at most %d are given", len(boxes), maxHeads)}
	}
	items, err := s.items(ctx, dueQuery, numbersOf(boxes), int64(limit))
	if err != nil {
		return nil, err
	}
	var due []store.Item
	for _, it := range items {
		// Behind the first that is not due come later ones of the same box.
		if n := len(due); n > 0 && due[n-1].Delivery.Box == it.Delivery.Box && due[n-1].Delivery.Next.After(until) {
			continue
		}
		due = append(due, it)
	}
	return due, nil
}

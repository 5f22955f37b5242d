package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutDestination gives the number of a destination.
func (s *Store) PutDestination(ctx context.Context, d doppelboden.Destination, at time.Time) (doppelboden.BoxID, error) {
	internet := d.Mailbox == 0 && d.Route == "" && d.Domain != ""
	second := d.Mailbox > 0 && d.Route != "" && d.Domain == ""
	if d.Tenant <= 0 || !internet && !second {
		return 0, &doppelboden.Error{Code: doppelboden.Invalid, Public: "a destination is a route of a mailbox or a domain of the Internet"}
	}
	var id doppelboden.BoxID
	err := s.write(ctx, func(t *tx) error {
		row, err := t.c.one(background, `INSERT INTO destination (id, tenant, mailbox, route, domain, used)
			SELECT min(ifnull(min(id), 0), 0) - 1, ?, ?, ?, ?, ? FROM destination WHERE true
			ON CONFLICT (tenant, mailbox, route, domain) DO UPDATE SET used = max(ifnull(used, 0), excluded.used) RETURNING id`,
			int64(d.Tenant), int64(d.Mailbox), d.Route, d.Domain, micros(at))
		if err != nil {
			return fmt.Errorf("write destination: %w", err)
		}
		id = doppelboden.BoxID(asInt(row[0]))
		return nil
	})
	return id, err
}

// Destinations yields all destinations.
func (s *Store) Destinations(ctx context.Context, yield func(doppelboden.Destination) error) error {
	last := int64(0)
	return walk(func() (page []doppelboden.Destination, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, doppelboden.Destination{ID: doppelboden.BoxID(asInt(row[0])), Tenant: doppelboden.TenantID(asInt(row[1])),
					Mailbox: doppelboden.MailboxID(asInt(row[2])), Route: asText(row[3]), Domain: asText(row[4])})
				last = asInt(row[0])
				return nil
			}, "SELECT id, tenant, mailbox, route, domain FROM destination WHERE id < ? ORDER BY id DESC LIMIT ?", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// DropDestinations removes domains that nobody uses any more. The newest stays, so that
// its number, and with it every smaller one, is not given again.
func (s *Store) DropDestinations(ctx context.Context, cut time.Time) (dropped int, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.c.exec(background, `DELETE FROM destination WHERE mailbox = 0 AND used < ?1
			AND id > (SELECT min(id) FROM destination)
			AND NOT EXISTS (SELECT 1 FROM delivery d INDEXED BY delivery_box WHERE d.box = destination.id AND d.state IN (0, 1))`, micros(cut))
		dropped = int(n)
		return err
	})
	return dropped, err
}

const dueQuery = "SELECT " + deliveryColumns + ", " + messageColumns + `
	FROM delivery d INDEXED BY delivery_due CROSS JOIN message m ON m.num = d.seq - d.n
	CROSS JOIN segment g ON g.num = m.segment
	WHERE d.box = ? AND d.state = 0 AND d.box < 0 ORDER BY d.next, d.seq LIMIT ?`

// errEnough ends a query whose further rows nobody wants.
var errEnough = errors.New("enough rows")

// Due returns what waits for destinations, in the order in which it is due.
func (s *Store) Due(ctx context.Context, boxes []doppelboden.BoxID, until time.Time, limit int) ([]store.Item, error) {
	if len(boxes) > maxHeads {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("what is due in %d boxes was asked for, at most %d are given", len(boxes), maxHeads)}
	}
	var items []store.Item
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err := s.read(ctx, func(c *conn) error {
		for _, box := range boxes {
			err := c.query(ctx, func(row []driver.Value) error {
				it := readItem(row, shared)
				items = append(items, it)
				if it.Delivery.Next.After(until) {
					return errEnough
				}
				return nil
			}, dueQuery, int64(box), int64(limit))
			if err != nil && !errors.Is(err, errEnough) {
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

package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// hold notes why a delivery is held, in the place of what was noted before.
func (t *tx) hold(seq int64, tenant doppelboden.TenantID, box doppelboden.BoxID, h doppelboden.Hold, reply string, to doppelboden.Address, at int64) error {
	_, err := t.c.exec(background, "INSERT OR REPLACE INTO held (seq, tenant, box, grp, reason, route, at) VALUES (?,?,?,?,?,?,?)",
		seq, int64(tenant), int64(box), h.Group(tenant, reply, to), int64(h.Reason), h.Route, at)
	if err != nil {
		return fmt.Errorf("note why it is held: %w", err)
	}
	return nil
}

// unhold forgets why a delivery was held.
func (t *tx) unhold(seq int64) error {
	if _, err := t.c.exec(background, "DELETE FROM held WHERE seq = ?", seq); err != nil {
		return fmt.Errorf("forget why it was held: %w", err)
	}
	return nil
}

// holdSettled follows a settlement that took effect.
func (t *tx) holdSettled(s *doppelboden.Settlement, was doppelboden.State, seq int64, tenant doppelboden.TenantID, box driver.Value, recipient driver.Value) error {
	switch {
	case s.State == doppelboden.Held:
		return t.hold(seq, tenant, doppelboden.BoxID(asInt(box)), s.Hold, s.Reply, asAddress(recipient), s.At.UnixMicro())
	case was == doppelboden.Held:
		return t.unhold(seq)
	}
	return nil
}

// groupsQuery counts by group, behind group ?1. With an index that has all of it, no row
// is read.
const groupsQuery = `SELECT g.grp, g.n, g.boxes, h.tenant, h.reason, h.route, g.last, ` + deliveryColumns + ", " + messageColumns + `
	FROM (SELECT grp, count(*) AS n, count(DISTINCT box) AS boxes, min(seq) AS first, max(at) AS last
		FROM held INDEXED BY held_group WHERE grp > ?1 GROUP BY grp ORDER BY grp LIMIT ?2) g
	CROSS JOIN held h ON h.seq = g.first CROSS JOIN delivery d ON d.seq = g.first
	CROSS JOIN message m ON m.num = d.seq - d.n CROSS JOIN segment s ON s.num = m.segment
	ORDER BY g.grp`

// HeldGroups yields what is held by group.
func (s *Store) HeldGroups(ctx context.Context, tenant doppelboden.TenantID, yield func(store.HeldGroup) error) error {
	last := ""
	text := strings.ReplaceAll(groupsQuery, "g.name", "s.name")
	return walk(func() (page []store.HeldGroup, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				last = asText(row[0])
				page = append(page, store.HeldGroup{Group: last, Deliveries: asInt(row[1]), Boxes: asInt(row[2]),
					Tenant: doppelboden.TenantID(asInt(row[3])),
					Hold:   doppelboden.Hold{Reason: doppelboden.HoldReason(asInt(row[4])), Route: asText(row[5])},
					Last:   asTime(row[6]), Oldest: readItem(row[7:], map[doppelboden.ID]*doppelboden.Message{})})
				return nil
			}, text, last, int64(pageRows))
		})
		return page, err
	}, func(g store.HeldGroup) error {
		if tenant != 0 && g.Tenant != tenant {
			return nil
		}
		return yield(g)
	})
}

// maxWhy is how many deliveries HeldWhy may be asked for at once.
const maxWhy = 1000

// HeldWhy returns why deliveries are held.
func (s *Store) HeldWhy(ctx context.Context, seqs []int64) (map[int64]store.HeldWhy, error) {
	if len(seqs) > maxWhy {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("why %d deliveries are held was asked for, at most %d are told", len(seqs), maxWhy)}
	}
	why := make(map[int64]store.HeldWhy, len(seqs))
	err := s.read(ctx, func(c *conn) error {
		for _, seq := range seqs {
			err := c.query(ctx, func(row []driver.Value) error {
				why[seq] = store.HeldWhy{Group: asText(row[0]), At: asTime(row[3]),
					Hold: doppelboden.Hold{Reason: doppelboden.HoldReason(asInt(row[1])), Route: asText(row[2])}}
				return nil
			}, "SELECT grp, reason, route, at FROM held WHERE seq = ?", seq)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return why, nil
}

const refusedQuery = `SELECT g.grp, g.box, g.last, h.tenant, h.reason, h.route, d.mailbox, d.recipient
	FROM (SELECT grp, box, min(seq) AS first, max(at) AS last FROM held INDEXED BY held_group
		WHERE (grp, box) > (?1, ?2) GROUP BY grp, box ORDER BY grp, box LIMIT ?3) g
	CROSS JOIN held h ON h.seq = g.first CROSS JOIN delivery d ON d.seq = g.first
	ORDER BY g.grp, g.box`

// RefusedBoxes yields what is tried again by itself, by group and box.
func (s *Store) RefusedBoxes(ctx context.Context, yield func(store.RefusedBox) error) error {
	group, box := "", int64(0)
	return walk(func() (page []store.RefusedBox, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				group, box = asText(row[0]), asInt(row[1])
				page = append(page, store.RefusedBox{Group: group, Box: doppelboden.BoxID(box), Last: asTime(row[2]),
					Tenant:  doppelboden.TenantID(asInt(row[3])),
					Hold:    doppelboden.Hold{Reason: doppelboden.HoldReason(asInt(row[4])), Route: asText(row[5])},
					Mailbox: doppelboden.MailboxID(asInt(row[6])), Recipient: asAddress(row[7])})
				return nil
			}, refusedQuery, group, box, int64(pageRows))
		})
		return page, err
	}, func(r store.RefusedBox) error {
		if !r.Reason.TriedAgain() {
			return nil
		}
		return yield(r)
	})
}

// failingQuery finds at most ?3 behind tenant ?1 and Seq ?2.
const failingQuery = `SELECT seq, tenant, mailbox, box, recipient, reply, changed FROM delivery INDEXED BY delivery_failing
	WHERE state = 0 AND attempts > 0 AND (tenant, seq) > (?1, ?2) ORDER BY tenant, seq LIMIT ?3`

// Failing yields what is queued and was tried without success.
func (s *Store) Failing(ctx context.Context, tenant doppelboden.TenantID, yield func(store.Failing) error) error {
	last, after, over := int64(tenant), int64(0), false
	return walk(func() (page []store.Failing, err error) {
		if over {
			return nil, nil
		}
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				last, after = asInt(row[1]), asInt(row[0])
				if over = over || tenant != 0 && last != int64(tenant); over {
					return nil
				}
				page = append(page, store.Failing{Seq: after, Tenant: doppelboden.TenantID(last),
					Mailbox: doppelboden.MailboxID(asInt(row[2])), Box: doppelboden.BoxID(asInt(row[3])),
					Recipient: asAddress(row[4]), Reply: asText(row[5]), Changed: asTime(row[6])})
				return nil
			}, failingQuery, last, after, int64(pageRows))
		})
		return page, err
	}, yield)
}

// Ways to find what is held, as in queue.go; ?9 is a group.
const (
	heldJoin = ` CROSS JOIN delivery d ON d.seq = h.seq CROSS JOIN message m ON m.num = d.seq - d.n
	CROSS JOIN segment g ON g.num = m.segment
	WHERE h.seq > ?1 AND h.seq < ?2 AND (?3 = 0 OR d.tenant = ?3) AND (?4 = 0 OR d.mailbox = ?4) `
	findMembers = itemsFrom + "held h INDEXED BY held_member" + heldJoin + "AND h.grp = ?7 ORDER BY h.seq LIMIT ?5"
	findInBox   = itemsFrom + "held h INDEXED BY held_box" + heldJoin + "AND h.box = ?6 AND h.grp = ?7 ORDER BY h.seq LIMIT ?5"
	findHeldBox = itemsFrom + "held h INDEXED BY held_box" + heldJoin + "AND h.box = ?6 AND ?7 = '' ORDER BY h.seq LIMIT ?5"
)

// held reads the next page of what is held in a group, in a box, or in both.
func (p *pager) held(ctx context.Context, limit int) (items []store.Item, err error) {
	text := findMembers
	switch {
	case p.f.Group == "":
		text = findHeldBox
	case p.f.Box != 0:
		text = findInBox
	}
	shared := map[doppelboden.ID]*doppelboden.Message{}
	err = p.s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			items = append(items, readItem(row, shared))
			return nil
		}, text, p.after, p.before, int64(p.f.Tenant), int64(p.f.Mailbox), int64(limit), int64(p.f.Box), p.f.Group)
	})
	p.passed(items)
	return items, err
}

package postgres

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// groupsQuery counts by group, behind group $1.
const groupsQuery = `SELECT g.n, g.boxes, h.tenant, h.reason, h.route, g.last, g.grp, ` + deliveryColumns + ", " + messageColumns + `
	FROM (SELECT grp, count(*) AS n, count(DISTINCT box) AS boxes, min(seq) AS first, max(at) AS last
		FROM held WHERE grp > $1 AND ($3 = 0 OR tenant = $3) GROUP BY grp ORDER BY grp LIMIT $2) g
	JOIN held h ON h.seq = g.first JOIN delivery d ON d.seq = g.first JOIN message m ON m.num = d.seq - d.n
	ORDER BY g.grp`

// groupsWidth is how many columns of groupsQuery go before those of the delivery.
const groupsWidth = 7

// HeldGroups yields what is held by group.
func (s *Store) HeldGroups(ctx context.Context, tenant doppelboden.TenantID, yield func(store.HeldGroup) error) error {
	last := ""
	return walk(func() (page []store.HeldGroup, err error) {
		err = s.readFor(ctx, tenant, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				last = asText(r[6])
				page = append(page, store.HeldGroup{Group: last, Deliveries: asInt(r[0]), Boxes: asInt(r[1]),
					Tenant: doppelboden.TenantID(asInt(r[2])),
					Hold:   doppelboden.Hold{Reason: doppelboden.HoldReason(asInt(r[3])), Route: asText(r[4])},
					Last:   asTime(r[5]), Oldest: readItem(r[groupsWidth:], map[doppelboden.ID]*doppelboden.Message{})})
				return nil
			}, groupsQuery, last, int64(pageRows), int64(tenant))
		})
		return page, err
	}, yield)
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
		return c.query(ctx, func(r row) error {
			why[asInt(r[0])] = store.HeldWhy{Group: asText(r[1]), At: asTime(r[4]),
				Hold: doppelboden.Hold{Reason: doppelboden.HoldReason(asInt(r[2])), Route: asText(r[3])}}
			return nil
		}, "SELECT seq, grp, reason, route, at FROM held WHERE seq = ANY ($1)", seqs)
	})
	if err != nil {
		return nil, err
	}
	return why, nil
}

const refusedQuery = `SELECT g.grp, g.box, g.last, h.tenant, h.reason, h.route, d.mailbox, d.recipient
	FROM (SELECT grp, box, min(seq) AS first, max(at) AS last FROM held
		WHERE (grp, box) > ($1, $2::bigint) GROUP BY grp, box ORDER BY grp, box LIMIT $3) g
	JOIN held h ON h.seq = g.first JOIN delivery d ON d.seq = g.first
	ORDER BY g.grp, g.box`

// RefusedBoxes yields what is tried again by itself, by group and box.
func (s *Store) RefusedBoxes(ctx context.Context, yield func(store.RefusedBox) error) error {
	group, box := "", int64(0)
	return walk(func() (page []store.RefusedBox, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				group, box = asText(r[0]), asInt(r[1])
				page = append(page, store.RefusedBox{Group: group, Box: doppelboden.BoxID(box), Last: asTime(r[2]),
					Tenant:  doppelboden.TenantID(asInt(r[3])),
					Hold:    doppelboden.Hold{Reason: doppelboden.HoldReason(asInt(r[4])), Route: asText(r[5])},
					Mailbox: doppelboden.MailboxID(asInt(r[6])), Recipient: asAddress(r[7])})
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

const failingQuery = `SELECT seq, tenant, mailbox, box, recipient, reply, changed FROM delivery
	WHERE state = 0 AND attempts > 0 AND (tenant, seq) > ($1::bigint, $2::bigint) AND ($4 = 0 OR tenant = $4)
	ORDER BY tenant, seq LIMIT $3`

// Failing yields what is queued and was tried without success.
func (s *Store) Failing(ctx context.Context, tenant doppelboden.TenantID, yield func(store.Failing) error) error {
	last, after := int64(tenant), int64(0)
	return walk(func() (page []store.Failing, err error) {
		err = s.readFor(ctx, tenant, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				last, after = asInt(r[1]), asInt(r[0])
				page = append(page, store.Failing{Seq: after, Tenant: doppelboden.TenantID(last),
					Mailbox: doppelboden.MailboxID(asInt(r[2])), Box: doppelboden.BoxID(asInt(r[3])),
					Recipient: asAddress(r[4]), Reply: asText(r[5]), Changed: asTime(r[6])})
				return nil
			}, failingQuery, last, after, int64(pageRows), int64(tenant))
		})
		return page, err
	}, yield)
}

// Ways to find what is held, as in queue.go; $6 is a group and $7 a box.
const (
	heldFrom = "SELECT " + deliveryColumns + ", " + messageColumns + ` FROM held h JOIN delivery d ON d.seq = h.seq
	JOIN message m ON m.num = d.seq - d.n
	WHERE h.seq > $1 AND h.seq < $2 AND ($3 = 0 OR d.tenant = $3) AND ($4 = 0 OR d.mailbox = $4) `
	findMembers = heldFrom + "AND h.grp = $6 ORDER BY h.seq LIMIT $5"
	findInBox   = heldFrom + "AND h.grp = $6 AND h.box = $7 ORDER BY h.seq LIMIT $5"
	findHeldBox = heldFrom + "AND h.box = $6 ORDER BY h.seq LIMIT $5"
)

// held reads the next page of what is held in a group, in a box, or in both.
func (p *pager) held(ctx context.Context, limit int) (items []store.Item, err error) {
	text, args := findMembers, []any{p.f.Group}
	switch {
	case p.f.Group == "":
		text, args = findHeldBox, []any{int64(p.f.Box)}
	case p.f.Box != 0:
		text, args = findInBox, []any{p.f.Group, int64(p.f.Box)}
	}
	err = p.s.readFor(ctx, p.f.Tenant, func(c *conn) error {
		items, err = c.items(ctx, text, append([]any{p.after, p.before, int64(p.f.Tenant), int64(p.f.Mailbox), int64(limit)}, args...)...)
		return err
	})
	p.passed(items)
	return items, err
}

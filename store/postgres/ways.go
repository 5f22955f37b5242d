package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// PutWays replaces the ways of mailboxes: 2,000 that change their route at once are a few
// statements.
func (s *Store) PutWays(ctx context.Context, ways []store.Way) error {
	return s.write(ctx, func(t *tx) error {
		last := make(map[doppelboden.MailboxID]int, len(ways)) // a list may have a mailbox twice
		for i := range ways {
			last[ways[i].Mailbox] = i
		}
		var gone []int64
		var kept, seconds []*column
		for i := range ways {
			w := &ways[i]
			for _, route := range w.Also {
				put(&seconds, []uint32{oidBigintArray, oidBigintArray, oidTextArray}, int64(w.Tenant), int64(w.Mailbox), route)
			}
			switch {
			case last[w.Mailbox] != i:
			case w.Route == "" && len(w.Also) == 0:
				gone = append(gone, int64(w.Mailbox))
			default:
				put(&kept, []uint32{oidBigintArray, oidBigintArray, oidTextArray, oidTextArray, oidTextArray, oidBigintArray},
					int64(w.Mailbox), int64(w.Tenant), w.Route, strings.Join(w.Also, " "), w.By, micros(w.At))
			}
		}
		return t.putWays(gone, kept, seconds)
	})
}

// putWays removes ways, writes others, and makes destinations of second routes.
func (t *tx) putWays(gone []int64, kept, seconds []*column) error {
	if gone != nil {
		if _, err := t.exec("DELETE FROM way WHERE mailbox = ANY ($1::bigint[])", gone); err != nil {
			return fmt.Errorf("remove ways: %w", err)
		}
	}
	var list []statement
	list = insert(list, `INSERT INTO way (mailbox, tenant, route, also, by, at)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
		ON CONFLICT (mailbox) DO UPDATE SET tenant = excluded.tenant, route = excluded.route, also = excluded.also,
		by = excluded.by, at = excluded.at`, kept)
	list = insert(list, `INSERT INTO destination (tenant, mailbox, route, domain)
		SELECT DISTINCT u.tenant, u.mailbox, u.route, '' FROM unnest($1::bigint[], $2::bigint[], $3::text[]) u (tenant, mailbox, route)
		WHERE NOT EXISTS (SELECT FROM destination d WHERE d.tenant = u.tenant AND d.mailbox = u.mailbox AND d.route = u.route AND d.domain = '')
		ON CONFLICT DO NOTHING`, seconds)
	for _, st := range list {
		if _, err := t.exec(st.text, st.args...); err != nil {
			return fmt.Errorf("write ways: %w", err)
		}
	}
	return nil
}

// Ways yields all ways, by mailbox.
func (s *Store) Ways(ctx context.Context, yield func(store.Way) error) error {
	last := int64(-1)
	return walk(func() (page []store.Way, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				page = append(page, store.Way{Mailbox: doppelboden.MailboxID(asInt(r[0])), Tenant: doppelboden.TenantID(asInt(r[1])),
					Route: asText(r[2]), Also: strings.Fields(asText(r[3])), By: asText(r[4]), At: asTime(r[5])})
				last = asInt(r[0])
				return nil
			}, "SELECT mailbox, tenant, route, also, by, at FROM way WHERE mailbox > $1 ORDER BY mailbox LIMIT $2", last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// Rebox lets deliveries that have not ended wait in another box.
func (s *Store) Rebox(ctx context.Context, lease store.Lease, refs []doppelboden.Ref, box doppelboden.BoxID) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		for _, ref := range refs {
			if err := t.rebox(ref, box); err != nil {
				return fmt.Errorf("rebox %s/%d: %w", ref.Message, ref.N, err)
			}
		}
		return nil
	})
}

// rebox moves one delivery. A copy that has no row of its own is found by the box of its
// mailbox, so it gets one. Nobody looks into the mailbox meanwhile.
func (t *tx) rebox(ref doppelboden.Ref, box doppelboden.BoxID) error {
	_, err := t.one(`SELECT n.change FROM message m CROSS JOIN delivery d CROSS JOIN numbering n
		WHERE m.id = $1 AND d.seq = m.num + $2 AND n.mailbox = d.mailbox FOR UPDATE OF n`, ref.Message[:], int64(ref.N))
	if err != nil && !errors.Is(err, errNoRow) {
		return err
	}
	r, err := t.one(`SELECT d.seq, d.inbox, d.mailbox, d.box, d.tenant, m.num, m.received, d.seq > `+looked+` FROM message m CROSS JOIN delivery d
		WHERE m.id = $1 AND d.seq = m.num + $2 AND $2 >= 0 AND $2 < m.deliveries AND d.state IN (0, 1) FOR UPDATE OF d`,
		ref.Message[:], int64(ref.N))
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	inbox, mailbox := asBool(r[1]), asInt(r[2])
	if asInt(r[3]) == int64(box) {
		return nil
	}
	if inbox && int64(box) != mailbox {
		if asBool(r[7]) { // nobody has looked, and perhaps moved it
			t.putCopy(doppelboden.TenantID(asInt(r[4])), asInt(r[5]), inboxNumber, &doppelboden.Copy{Mailbox: doppelboden.MailboxID(mailbox), Date: asTime(r[6])})
		}
		inbox = false
	}
	_, err = t.exec("UPDATE delivery SET box = $1, inbox = $2 WHERE seq = $3", int64(box), inbox, asInt(r[0]))
	if err == nil {
		_, err = t.exec("UPDATE held SET box = $1 WHERE seq = $2", int64(box), asInt(r[0]))
	}
	return err
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// PutEvent writes an event, its new steps and the counts of its replies.
func (s *Store) PutEvent(ctx context.Context, lease store.Lease, c store.EventChange) error {
	e := &c.Event
	if e.Tenant <= 0 || e.Number <= 0 || e.Kind != store.Outage && e.Kind != store.Maintenance && e.Kind != store.Attack {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "an event needs a tenant, a number and a kind"}
	}
	scope, err := json.Marshal(e.Scope)
	if err != nil {
		return fmt.Errorf("write the scope of event %d: %w", e.Number, err)
	}
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		_, err := t.c.exec(background, `INSERT INTO event
			(tenant, number, kind, minor, route, whole, scope, since, until, closed_by, starts, ends, concerned, most, why)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant, number) DO UPDATE SET kind = excluded.kind, minor = excluded.minor, route = excluded.route,
			whole = excluded.whole, scope = excluded.scope, since = excluded.since, until = excluded.until,
			closed_by = excluded.closed_by, starts = excluded.starts, ends = excluded.ends,
			concerned = excluded.concerned, most = excluded.most, why = excluded.why`,
			int64(e.Tenant), e.Number, string(e.Kind), e.Minor, e.Route, e.Whole, string(scope), e.Since.UnixMicro(), micros(e.Until),
			e.ClosedBy, micros(e.Starts), micros(e.Ends), e.Concerned, e.Most, e.Why)
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		return t.putSteps(&c)
	})
}

// putSteps writes the steps and replies of an event.
func (t *tx) putSteps(c *store.EventChange) error {
	tenant, number := int64(c.Event.Tenant), c.Event.Number
	for _, st := range c.Steps {
		_, err := t.c.exec(background, `INSERT INTO event_step (tenant, event, n, at, what, by, note, joined, parted)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, event, n) DO NOTHING`,
			tenant, number, int64(st.N), st.At.UnixMicro(), st.What, st.By, st.Note,
			blob(store.PackMailboxes(st.Joined)), blob(store.PackMailboxes(st.Left)))
		if err != nil {
			return fmt.Errorf("write a step of an event: %w", err)
		}
	}
	for _, r := range c.Replies {
		_, err := t.c.exec(background, `INSERT INTO event_reply (tenant, event, reply, count, first, last) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant, event, reply) DO UPDATE SET count = excluded.count, first = excluded.first, last = excluded.last`,
			tenant, number, r.Text, r.Count, r.First.UnixMicro(), r.Last.UnixMicro())
		if err != nil {
			return fmt.Errorf("write a reply of an event: %w", err)
		}
	}
	return nil
}

const eventColumns = "tenant, number, kind, minor, route, whole, scope, since, until, closed_by, starts, ends, concerned, most, why"

// readEvent reads the eventColumns of a row.
func readEvent(row []driver.Value) (store.Event, error) {
	e := store.Event{Tenant: doppelboden.TenantID(asInt(row[0])), Number: asInt(row[1]), Kind: store.EventKind(asText(row[2])),
		Minor: asInt(row[3]) != 0, Route: asText(row[4]), Whole: asInt(row[5]) != 0, Since: asTime(row[7]), Until: asTime(row[8]),
		ClosedBy: asText(row[9]), Starts: asTime(row[10]), Ends: asTime(row[11]), Concerned: asInt(row[12]), Most: asInt(row[13]),
		Why: asText(row[14])}
	if err := json.Unmarshal([]byte(asText(row[6])), &e.Scope); err != nil {
		return e, fmt.Errorf("read the scope of event %d: %w", e.Number, err)
	}
	return e, nil
}

// Events yields events, by tenant and number.
func (s *Store) Events(ctx context.Context, t doppelboden.TenantID, yield func(store.Event) error) error {
	var last store.Event
	return walk(func() (page []store.Event, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				e, err := readEvent(row)
				page, last = append(page, e), e
				return err
			}, "SELECT "+eventColumns+" FROM event WHERE (tenant, number) > (?1, ?2) AND (?3 = 0 OR tenant = ?3) ORDER BY tenant, number LIMIT ?4",
				int64(last.Tenant), last.Number, int64(t), int64(pageRows))
		})
		return page, err
	}, yield)
}

// Event returns an event with its steps and replies.
func (s *Store) Event(ctx context.Context, t doppelboden.TenantID, number int64) (got store.EventChange, err error) {
	err = s.snapshot(ctx, func(c *conn) error {
		got = store.EventChange{}
		row, err := c.one(ctx, "SELECT "+eventColumns+" FROM event WHERE tenant = ? AND number = ?", int64(t), number)
		if errors.Is(err, errNoRow) {
			return refuse(doppelboden.NotFound, "there is no event with this number")
		}
		if err == nil {
			got.Event, err = readEvent(row)
		}
		if err == nil {
			err = c.query(ctx, func(row []driver.Value) error {
				got.Steps = append(got.Steps, store.EventStep{N: int(asInt(row[0])), At: asTime(row[1]), What: asText(row[2]),
					By: asText(row[3]), Note: asText(row[4]), Joined: store.UnpackMailboxes(asBlob(row[5])), Left: store.UnpackMailboxes(asBlob(row[6]))})
				return nil
			}, "SELECT n, at, what, by, note, joined, parted FROM event_step WHERE tenant = ? AND event = ? ORDER BY n", int64(t), number)
		}
		if err == nil {
			err = c.query(ctx, func(row []driver.Value) error {
				got.Replies = append(got.Replies, store.EventReply{Text: asText(row[0]), Count: asInt(row[1]), First: asTime(row[2]), Last: asTime(row[3])})
				return nil
			}, "SELECT reply, count, first, last FROM event_reply WHERE tenant = ? AND event = ? ORDER BY count DESC, reply", int64(t), number)
		}
		return err
	})
	return got, err
}

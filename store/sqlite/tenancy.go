package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// PutStanding replaces what was decided about a tenant.
func (s *Store) PutStanding(ctx context.Context, st store.Standing) error {
	switch st.State {
	case store.TenantOpen, store.TenantPaused, store.TenantClosed:
	default:
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "a tenant is open, paused or closed"}
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.c.exec(background, `INSERT INTO standing (tenant, state, stops, shut, why, by, at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant) DO UPDATE SET state = excluded.state, stops = excluded.stops, shut = excluded.shut, why = excluded.why,
			by = excluded.by, at = excluded.at`,
			int64(st.Tenant), string(st.State), st.Stops, int64(st.Shut), st.Why, st.By, micros(st.At))
		if err != nil {
			return fmt.Errorf("write standing of tenant: %w", err)
		}
		return nil
	})
}

// Standings returns what was decided about tenants.
func (s *Store) Standings(ctx context.Context) (all []store.Standing, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			all = append(all, store.Standing{Tenant: doppelboden.TenantID(asInt(row[0])), State: store.TenantState(asText(row[1])),
				Stops: asInt(row[2]) != 0, Shut: store.Shut(asInt(row[3])), Why: asText(row[4]), By: asText(row[5]), At: asTime(row[6])})
			return nil
		}, "SELECT tenant, state, stops, shut, why, by, at FROM standing ORDER BY tenant")
	})
	return all, err
}

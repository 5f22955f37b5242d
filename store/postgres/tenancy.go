package postgres

import (
	"context"
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
		_, err := t.exec(`INSERT INTO standing (tenant, state, stops, shut, why, by, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
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
		return c.query(ctx, func(r row) error {
			all = append(all, store.Standing{Tenant: doppelboden.TenantID(asInt(r[0])), State: store.TenantState(asText(r[1])),
				Stops: asBool(r[2]), Shut: store.Shut(asInt(r[3])), Why: asText(r[4]), By: asText(r[5]), At: asTime(r[6])})
			return nil
		}, "SELECT tenant, state, stops, shut, why, by, at FROM standing ORDER BY tenant")
	})
	return all, err
}

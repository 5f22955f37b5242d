package postgres

import (
	"context"

	"doppelboden"
	"doppelboden/store"
)

const countsQuery = `SELECT k.tenant, k.state, k.deliveries,
	(SELECT m.received FROM delivery d JOIN message m ON m.num = d.seq - d.n
		WHERE d.tenant + 0 = k.tenant AND d.state + 0 = k.state ORDER BY d.seq + 0 LIMIT 1)
	FROM (SELECT tenant, state, sum(deliveries)::bigint AS deliveries FROM count GROUP BY tenant, state) k
	WHERE k.deliveries <> 0 ORDER BY k.tenant, k.state`

// Counts returns the number of deliveries for every tenant and state that has any. The
// oldest is the one with the smallest Seq.
func (s *Store) Counts(ctx context.Context) ([]store.Count, error) {
	var counts []store.Count
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			counts = append(counts, store.Count{Tenant: doppelboden.TenantID(asInt(r[0])), State: doppelboden.State(asInt(r[1])),
				Deliveries: asInt(r[2]), Oldest: asTime(r[3])})
			return nil
		}, countsQuery)
	})
	return counts, err
}

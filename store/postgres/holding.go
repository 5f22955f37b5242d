package postgres

import (
	"maps"
	"slices"
	"time"

	"doppelboden"
)

// A held is the row that says why a delivery is held.
type held struct {
	tenant doppelboden.TenantID
	box    doppelboden.BoxID
	group  string
	hold   doppelboden.Hold
	at     time.Time
}

// hold notes why a delivery is held, in the place of what was noted before.
func (t *tx) hold(seq int64, tenant doppelboden.TenantID, box doppelboden.BoxID, h doppelboden.Hold, reply string, to doppelboden.Address, at time.Time) {
	if t.held == nil {
		t.held = map[int64]*held{}
	}
	t.held[seq] = &held{tenant, box, h.Group(tenant, reply, to), h, at}
}

// unhold forgets why a delivery was held.
func (t *tx) unhold(seq int64) {
	if t.held == nil {
		t.held = map[int64]*held{}
	}
	t.held[seq] = nil
}

// holdings are the statements that write why deliveries are held, and forget it.
func (t *tx) holdings() (list []statement) {
	var columns []*column
	gone := newColumn(oidBigintArray)
	for _, seq := range slices.Sorted(maps.Keys(t.held)) {
		h := t.held[seq]
		if h == nil {
			gone.add(seq)
			continue
		}
		put(&columns, []uint32{i, i, i, s, i, s, i}, seq, int64(h.tenant), int64(h.box), h.group, int64(h.hold.Reason), h.hold.Route,
			h.at.UnixMicro())
	}
	if gone.rows > 0 {
		list = append(list, statement{text: "DELETE FROM held WHERE seq = ANY ($1)", args: []any{gone}})
	}
	return insert(list, `INSERT INTO held (seq, tenant, box, grp, reason, route, at)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bigint[])
		ON CONFLICT (seq) DO UPDATE SET tenant = excluded.tenant, box = excluded.box, grp = excluded.grp, reason = excluded.reason,
		route = excluded.route, at = excluded.at`, columns)
}

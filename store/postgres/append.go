package postgres

import (
	"context"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// PutFiling replaces what is known of a box's folder.
func (s *Store) PutFiling(ctx context.Context, lease store.Lease, f store.Filing) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.holds(lease); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO filing (box, tenant, route, folder, validity, next, through, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (box) DO UPDATE SET tenant = excluded.tenant, route = excluded.route, folder = excluded.folder, validity = excluded.validity,
			next = excluded.next, through = excluded.through, at = excluded.at`,
			int64(f.Box), int64(f.Tenant), f.Route, f.Folder, int64(f.Validity), int64(f.Next), f.Through, micros(f.At))
		if err != nil {
			return fmt.Errorf("write filing: %w", err)
		}
		return nil
	})
}

// FilingOf returns the last filing of a box.
func (s *Store) FilingOf(ctx context.Context, box doppelboden.BoxID) (f store.Filing, err error) {
	err = s.read(ctx, func(c *conn) error {
		r, err := c.one(ctx, "SELECT tenant, route, validity, next, through, at, folder FROM filing WHERE box = $1", int64(box))
		if errors.Is(err, errNoRow) {
			return &doppelboden.Error{Code: doppelboden.NotFound, Public: "nothing was put into the folder of this box"}
		}
		if err != nil {
			return err
		}
		f = store.Filing{Tenant: doppelboden.TenantID(asInt(r[0])), Box: box, Route: asText(r[1]), Validity: uint32(asInt(r[2])),
			Next: uint32(asInt(r[3])), Through: asInt(r[4]), At: asTime(r[5]), Folder: asText(r[6])}
		return nil
	})
	return f, err
}

package sqlite

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
		_, err := t.c.exec(background, `INSERT INTO filing (box, tenant, route, folder, validity, next, through, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (box) DO UPDATE SET tenant = excluded.tenant, route = excluded.route, folder = excluded.folder, validity = excluded.validity, next = excluded.next,
			through = excluded.through, at = excluded.at`,
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
		row, err := c.one(ctx, "SELECT tenant, route, validity, next, through, at, folder FROM filing WHERE box = ?", int64(box))
		if errors.Is(err, errNoRow) {
			return &doppelboden.Error{Code: doppelboden.NotFound, Public: "nothing was put into the folder of this box"}
		}
		if err != nil {
			return err
		}
		f = store.Filing{Tenant: doppelboden.TenantID(asInt(row[0])), Box: box, Route: asText(row[1]), Validity: uint32(asInt(row[2])),
			Next: uint32(asInt(row[3])), Through: asInt(row[4]), At: asTime(row[5]), Folder: asText(row[6])}
		return nil
	})
	return f, err
}

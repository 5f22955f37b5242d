package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// TenantKeys returns all keys, by tenant and version.
func (s *Store) TenantKeys(ctx context.Context) (keys []store.TenantKey, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			keys = append(keys, store.TenantKey{Tenant: doppelboden.TenantID(asInt(row[0])), Version: int(asInt(row[1])),
				MasterVersion: int(asInt(row[2])), Wrapped: asBlob(row[3]), At: asTime(row[4])})
			return nil
		}, "SELECT tenant, version, master_version, wrapped, at FROM tenant_key ORDER BY tenant, version")
	})
	return keys, err
}

// PutTenantKey adds a key or replaces its wrapping.
func (s *Store) PutTenantKey(ctx context.Context, k store.TenantKey) error {
	if k.Tenant <= 0 || k.Version < 1 || len(k.Wrapped) == 0 {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "a tenant's key needs a tenant, a version and its wrapped bytes"}
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.c.exec(background, `INSERT INTO tenant_key (tenant, version, master_version, wrapped, at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (tenant, version) DO UPDATE SET
			master_version = excluded.master_version, wrapped = excluded.wrapped, at = excluded.at`,
			int64(k.Tenant), int64(k.Version), int64(k.MasterVersion), k.Wrapped, micros(k.At))
		if err != nil {
			return fmt.Errorf("write tenant key: %w", err)
		}
		return nil
	})
}

// DeleteTenantKey removes a version that wraps nothing any more.
func (s *Store) DeleteTenantKey(ctx context.Context, tenant doppelboden.TenantID, version int) error {
	return s.write(ctx, func(t *tx) error {
		row, err := t.c.one(background, `SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_body
			WHERE tenant = ?1 AND key_version = ?2) OR EXISTS (SELECT 1 FROM credential WHERE tenant = ?1 AND key_version = ?2 AND key_version > 0)`,
			int64(tenant), int64(version))
		if err != nil {
			return fmt.Errorf("look for bodies: %w", err)
		}
		if asInt(row[0]) != 0 {
			return refuse(doppelboden.Invalid, fmt.Sprintf("version %d of the key of tenant %d still wraps bodies", version, tenant))
		}
		_, err = t.c.exec(background, "DELETE FROM tenant_key WHERE tenant = ? AND version = ?", int64(tenant), int64(version))
		if err != nil {
			return fmt.Errorf("delete tenant key: %w", err)
		}
		return nil
	})
}

// bodyColumns are what readBody reads.
const bodyColumns = "m.tenant, m.id, g.name, m.offset, m.size, m.key_version, m.body_key, m.sum"

// readBody reads bodyColumns.
func readBody(row []driver.Value) store.BodyOf {
	return store.BodyOf{Tenant: doppelboden.TenantID(asInt(row[0])), Message: asID(row[1]),
		Body: doppelboden.Body{Segment: asText(row[2]), Offset: asInt(row[3]), Size: asInt(row[4]),
			KeyVersion: int(asInt(row[5])), Key: asBlob(row[6]), Sum: asSum(row[7])}}
}

// Bodies returns up to limit bodies whose key is wrapped with a version.
func (s *Store) Bodies(ctx context.Context, tenant doppelboden.TenantID, version, limit int) (bodies []store.BodyOf, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			bodies = append(bodies, readBody(row))
			return nil
		}, "SELECT "+bodyColumns+` FROM message m INDEXED BY message_body CROSS JOIN segment g ON g.num = m.segment
			WHERE m.tenant = ? AND m.key_version = ? LIMIT ?`, int64(tenant), int64(version), int64(limit))
	})
	return bodies, err
}

// Rewrap replaces where bodies lie and how their keys are wrapped.
func (s *Store) Rewrap(ctx context.Context, bodies []store.BodyOf) error {
	return s.write(ctx, func(t *tx) error {
		for i := range bodies {
			b := &bodies[i].Body
			row, err := t.c.one(background, "SELECT segment FROM message WHERE id = ? AND tenant = ?",
				bodies[i].Message[:], int64(bodies[i].Tenant))
			if errors.Is(err, errNoRow) {
				continue
			}
			if err != nil {
				return fmt.Errorf("find %s: %w", bodies[i].Message, err)
			}
			segment, err := t.segment(b.Segment)
			if err != nil {
				return err
			}
			_, err = t.c.exec(background, `UPDATE message SET segment = ?, offset = ?, size = ?, key_version = ?, body_key = ?, sum = ?
				WHERE id = ? AND tenant = ?`, segment, b.Offset, b.Size, int64(b.KeyVersion), blob(b.Key), b.Sum[:],
				bodies[i].Message[:], int64(bodies[i].Tenant))
			if err != nil {
				return fmt.Errorf("rewrap body of %s: %w", bodies[i].Message, err)
			}
			if was := asInt(row[0]); was != segment {
				if err := t.forgetSegment(was); err != nil {
					return fmt.Errorf("forget the segment of %s: %w", bodies[i].Message, err)
				}
			}
		}
		return nil
	})
}

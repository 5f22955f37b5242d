package postgres

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// TenantKeys returns all keys, by tenant and version.
func (s *Store) TenantKeys(ctx context.Context) (keys []store.TenantKey, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			keys = append(keys, store.TenantKey{Tenant: doppelboden.TenantID(asInt(r[0])), Version: int(asInt(r[1])),
				MasterVersion: int(asInt(r[2])), Wrapped: asBlob(r[3]), At: asTime(r[4])})
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
		_, err := t.exec(`INSERT INTO tenant_key (tenant, version, master_version, wrapped, at) VALUES ($1, $2, $3, $4, $5)
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
		// Whoever adds messages holds the sequence, on every node.
		if err := t.sequence(); err != nil {
			return err
		}
		r, err := t.one(`SELECT EXISTS (SELECT FROM message WHERE tenant = $1 AND key_version = $2 AND key_version + 0 IS NOT NULL)
			OR EXISTS (SELECT FROM credential WHERE tenant = $1 AND key_version = $2)`, int64(tenant), int64(version))
		if err != nil {
			return fmt.Errorf("look for bodies: %w", err)
		}
		if asBool(r[0]) {
			return refuse(doppelboden.Invalid, fmt.Sprintf("version %d of the key of tenant %d still wraps bodies", version, tenant))
		}
		if _, err := t.exec("DELETE FROM tenant_key WHERE tenant = $1 AND version = $2", int64(tenant), int64(version)); err != nil {
			return fmt.Errorf("delete tenant key: %w", err)
		}
		return nil
	})
}

// bodyColumns are what readBody reads.
const bodyColumns = "m.tenant, m.id, m.segment, m.start, m.size, m.key_version, m.body_key, m.sum"

// readBody reads bodyColumns.
func readBody(r row) store.BodyOf {
	return store.BodyOf{Tenant: doppelboden.TenantID(asInt(r[0])), Message: asID(r[1]),
		Body: doppelboden.Body{Segment: asText(r[2]), Offset: asInt(r[3]), Size: asInt(r[4]),
			KeyVersion: int(asInt(r[5])), Key: asBlob(r[6]), Sum: asSum(r[7])}}
}

const bodiesQuery = "SELECT " + bodyColumns + " FROM message m WHERE m.tenant = $1 AND m.key_version = $2 AND m.key_version + 0 IS NOT NULL LIMIT $3"

// Bodies returns up to limit bodies whose key is wrapped with a version.
func (s *Store) Bodies(ctx context.Context, tenant doppelboden.TenantID, version, limit int) (bodies []store.BodyOf, err error) {
	err = s.readAs(ctx, tenant, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			bodies = append(bodies, readBody(r))
			return nil
		}, bodiesQuery, int64(tenant), int64(version), int64(limit))
	})
	return bodies, err
}

// Rewrap replaces where bodies lie and how their keys are wrapped.
func (s *Store) Rewrap(ctx context.Context, bodies []store.BodyOf) error {
	if len(bodies) == 0 {
		return nil
	}
	return s.write(ctx, func(t *tx) error {
		var columns []*column
		for n := range bodies {
			body := &bodies[n].Body
			put(&columns, []uint32{oidByteaArray, oidBigintArray, oidTextArray, oidBigintArray, oidBigintArray, oidBigintArray, oidByteaArray, oidByteaArray},
				bodies[n].Message[:], int64(bodies[n].Tenant), body.Segment, body.Offset, body.Size, int64(body.KeyVersion), blob(body.Key), body.Sum[:])
		}
		list := insert(nil, `UPDATE message m SET segment = u.segment, start = u.start, size = u.size, key_version = u.key_version,
			body_key = u.body_key, sum = u.sum
			FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[])
			u (id, tenant, segment, start, size, key_version, body_key, sum) WHERE m.id = u.id AND m.tenant = u.tenant`, columns)
		if _, err := t.exec(list[0].text, list[0].args...); err != nil {
			return fmt.Errorf("rewrap bodies: %w", err)
		}
		return nil
	})
}

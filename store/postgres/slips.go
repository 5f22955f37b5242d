package postgres

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutSlip keeps a slip.
func (s *Store) PutSlip(ctx context.Context, one store.Slip) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO slip (mailbox, kind, key, tenant, value, wrapped, key_version, at, until)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (mailbox, kind, key) DO UPDATE SET tenant = excluded.tenant, value = excluded.value, wrapped = excluded.wrapped,
			key_version = excluded.key_version, at = excluded.at, until = excluded.until`,
			int64(one.Mailbox), one.Kind, one.Key, int64(one.Tenant), one.Value, one.Wrapped, int64(one.KeyVersion), micros(one.At), micros(one.Until))
		if err != nil {
			return fmt.Errorf("write a slip: %w", err)
		}
		return nil
	})
}

// ClaimSlip keeps a slip unless one is there that lasts.
func (s *Store) ClaimSlip(ctx context.Context, one store.Slip) (claimed bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		rows, err := t.exec(`INSERT INTO slip (mailbox, kind, key, tenant, value, wrapped, key_version, at, until)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (mailbox, kind, key) DO UPDATE SET tenant = excluded.tenant, value = excluded.value, wrapped = excluded.wrapped,
			key_version = excluded.key_version, at = excluded.at, until = excluded.until
			WHERE slip.until IS NOT NULL AND slip.until < excluded.at`,
			int64(one.Mailbox), one.Kind, one.Key, int64(one.Tenant), one.Value, one.Wrapped, int64(one.KeyVersion), micros(one.At), micros(one.Until))
		if err != nil {
			return fmt.Errorf("claim a slip: %w", err)
		}
		claimed = rows > 0
		return nil
	})
	return claimed && err == nil, err
}

// Slips yields slips.
func (s *Store) Slips(ctx context.Context, f store.SlipFilter, yield func(store.Slip) error) error {
	var last store.Slip
	last.Mailbox = -1
	return walk(func() (page []store.Slip, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(r row) error {
				last = store.Slip{Mailbox: doppelboden.MailboxID(asInt(r[0])), Kind: asText(r[1]), Key: asText(r[2]),
					Tenant: doppelboden.TenantID(asInt(r[3])), Value: asBlob(r[4]), Wrapped: asBlob(r[5]),
					KeyVersion: int(asInt(r[6])), At: asTime(r[7]), Until: asTime(r[8])}
				page = append(page, last)
				return nil
			}, `SELECT mailbox, kind, key, tenant, value, wrapped, key_version, at, until FROM slip
				WHERE ($1::bigint = 0 OR tenant = $1) AND ($2::bigint = 0 OR mailbox = $2) AND ($3::text = '' OR kind = $3)
				AND (mailbox, kind, key) > ($4, $5, $6) ORDER BY mailbox, kind, key LIMIT $7`,
				int64(f.Tenant), int64(f.Mailbox), f.Kind, int64(last.Mailbox), last.Kind, last.Key, int64(pageRows))
		})
		return page, err
	}, yield)
}

// DropSlip removes a slip.
func (s *Store) DropSlip(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, kind, key string) error {
	return s.write(ctx, func(x *tx) error {
		if _, err := x.exec("DELETE FROM slip WHERE tenant = $1 AND mailbox = $2 AND kind = $3 AND key = $4", int64(t), int64(m), kind, key); err != nil {
			return fmt.Errorf("remove a slip: %w", err)
		}
		return nil
	})
}

// DropSlips removes slips that have ended.
func (s *Store) DropSlips(ctx context.Context, cut time.Time, limit int) (n int, err error) {
	err = s.write(ctx, func(t *tx) error {
		rows, err := t.exec(`DELETE FROM slip WHERE (mailbox, kind, key) IN
			(SELECT mailbox, kind, key FROM slip WHERE until < $1 ORDER BY until LIMIT $2)`, micros(cut), int64(limit))
		if err != nil {
			return fmt.Errorf("remove slips that have ended: %w", err)
		}
		n = int(rows)
		return nil
	})
	return n, err
}

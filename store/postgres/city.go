package postgres

import (
	"context"
	"fmt"

	"doppelboden"
)

// PutTenants makes the tenants exist and returns them in the order of the names.
func (s *Store) PutTenants(ctx context.Context, names []string) ([]doppelboden.Tenant, error) {
	var tenants []doppelboden.Tenant
	err := s.write(ctx, func(t *tx) error {
		tenants = make([]doppelboden.Tenant, 0, len(names))
		for _, name := range names {
			// A conflict would use up a number.
			_, err := t.exec(`INSERT INTO tenant (name)
				SELECT $1 WHERE NOT EXISTS (SELECT FROM tenant WHERE name = $1) ON CONFLICT DO NOTHING`, name)
			if err != nil {
				return fmt.Errorf("write tenant: %w", err)
			}
			r, err := t.one("SELECT id FROM tenant WHERE name = $1", name)
			if err != nil {
				return fmt.Errorf("find tenant: %w", err)
			}
			tenants = append(tenants, doppelboden.Tenant{ID: doppelboden.TenantID(asInt(r[0])), Name: name})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tenants, nil
}

// Tenants returns all tenants, by ID.
func (s *Store) Tenants(ctx context.Context) (tenants []doppelboden.Tenant, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			tenants = append(tenants, doppelboden.Tenant{ID: doppelboden.TenantID(asInt(r[0])), Name: asText(r[1])})
			return nil
		}, "SELECT id, name FROM tenant ORDER BY id")
	})
	return tenants, err
}

// Mailboxes yields all mailboxes, by ID.
func (s *Store) Mailboxes(ctx context.Context, yield func(doppelboden.Mailbox) error) error {
	last := int64(0)
	return walk(func() (page []doppelboden.Mailbox, err error) {
		err = s.snapshot(ctx, func(c *conn) error {
			at := map[doppelboden.MailboxID]*doppelboden.Mailbox{}
			err := c.query(ctx, func(r row) error {
				b := doppelboden.Mailbox{ID: doppelboden.MailboxID(asInt(r[0])), Tenant: doppelboden.TenantID(asInt(r[1])),
					Name: asText(r[2]), Kind: doppelboden.MailboxKind(asText(r[3])), Department: asText(r[4]),
					Priority: int(asInt(r[5])), Source: asText(r[7]), External: asText(r[8]), Closed: asBool(r[9]),
					Gone: asTime(r[10]), Building: asText(r[11]), Phone: doppelboden.Phone(asText(r[12]))}
				if n := len(page); n > 0 && page[n-1].ID == b.ID {
					page[n-1].Aliases = append(page[n-1].Aliases, asAddress(r[6]))
					return nil
				}
				b.Address = asAddress(r[6]) // position 0 comes first
				page, last = append(page, b), int64(b.ID)
				return nil
			}, `SELECT b.id, b.tenant, b.name, b.kind, b.department, b.priority, a.address, b.source, b.external, b.closed, b.gone, b.building, b.phone
				FROM (SELECT * FROM mailbox WHERE id > $1 ORDER BY id LIMIT $2) b
				CROSS JOIN address a WHERE a.mailbox = b.id ORDER BY b.id, a.position`, last, int64(pageRows))
			if err != nil || len(page) == 0 {
				return err
			}
			for i := range page {
				at[page[i].ID] = &page[i]
			}
			return c.query(ctx, func(r row) error {
				b := at[doppelboden.MailboxID(asInt(r[0]))]
				if b != nil && b.Kind != doppelboden.Person {
					b.Members = append(b.Members, asAddress(r[1]))
				}
				return nil
			}, "SELECT mailbox, address FROM member WHERE mailbox >= $1 AND mailbox <= $2 ORDER BY mailbox, position",
				int64(page[0].ID), last)
		})
		return page, err
	}, yield)
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// PutTenants makes the tenants exist and returns them in the order of the names.
func (s *Store) PutTenants(ctx context.Context, names []string) ([]doppelboden.Tenant, error) {
	var tenants []doppelboden.Tenant
	err := s.write(ctx, func(t *tx) error {
		tenants = make([]doppelboden.Tenant, 0, len(names))
		for _, name := range names {
			if _, err := t.c.exec(background, "INSERT INTO tenant (name) VALUES (?) ON CONFLICT DO NOTHING", name); err != nil {
				return fmt.Errorf("write tenant: %w", err)
			}
			row, err := t.c.one(background, "SELECT id FROM tenant WHERE name = ?", name)
			if err != nil {
				return fmt.Errorf("find tenant: %w", err)
			}
			tenants = append(tenants, doppelboden.Tenant{ID: doppelboden.TenantID(asInt(row[0])), Name: name})
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
		return c.query(ctx, func(row []driver.Value) error {
			tenants = append(tenants, doppelboden.Tenant{ID: doppelboden.TenantID(asInt(row[0])), Name: asText(row[1])})
			return nil
		}, "SELECT id, name FROM tenant ORDER BY id")
	})
	return tenants, err
}

// PutMailboxes adds and changes mailboxes in one commit.
func (s *Store) PutMailboxes(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error) {
	var put []doppelboden.Mailbox
	err := s.write(ctx, func(t *tx) error {
		put = append([]doppelboden.Mailbox(nil), boxes...)
		// First all rows, and no alias of theirs; then all aliases: so two mailboxes may
		// exchange one.
		for i := range put {
			if err := t.putMailbox(&put[i]); err != nil {
				return err
			}
		}
		for i := range put {
			if err := t.putAliases(&put[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return put, nil
}

// putMailbox writes a mailbox's row, its own address and its members, and takes its
// aliases away.
func (t *tx) putMailbox(b *doppelboden.Mailbox) error {
	if b.Tenant <= 0 || b.Address.IsNull() {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "a mailbox needs a tenant and an address"}
	}
	b.Gone = time.Time{}
	err := t.findMailbox(b)
	if err == nil && b.ID == 0 {
		err = t.addMailbox(b)
	}
	if err != nil {
		return err
	}
	_, err = t.c.exec(background, `UPDATE mailbox SET name = ?, kind = ?, department = ?, building = ?, phone = ?, priority = ?, source = ?, external = ?,
		closed = ?, gone = NULL WHERE id = ?`,
		b.Name, string(b.Kind), b.Department, b.Building, string(b.Phone), int64(b.Priority), b.Source, b.External, b.Closed, int64(b.ID))
	if err == nil {
		_, err = t.c.exec(background, "DELETE FROM address WHERE mailbox = ? AND position > 0", int64(b.ID))
	}
	if err == nil {
		_, err = t.c.exec(background, "UPDATE address SET key = ?, address = ? WHERE mailbox = ? AND position = 0",
			b.Address.Key(), address(b.Address), int64(b.ID))
	}
	if err != nil {
		return fmt.Errorf("change mailbox: %w", err)
	}
	return t.putMembers(b)
}

// findMailbox gives b the number of the mailbox that it is: by its own number, by its
// address, or by the address that it had before it was retired. 0 says that it is new.
func (t *tx) findMailbox(b *doppelboden.Mailbox) error {
	row, err := t.c.one(background, "SELECT mailbox, tenant, position FROM address WHERE key = ?", b.Address.Key())
	switch {
	case errors.Is(err, errNoRow) && b.ID != 0:
		return t.checkNumber(b)
	case errors.Is(err, errNoRow):
		return t.findRetired(b)
	case err != nil:
		return fmt.Errorf("find mailbox: %w", err)
	}
	found := doppelboden.MailboxID(asInt(row[0]))
	switch own := asInt(row[2]) == 0; {
	case asInt(row[1]) != int64(b.Tenant), b.ID != 0 && b.ID != found, b.ID == 0 && !own:
		return taken(b.Address)
	}
	b.ID = found
	return nil
}

// checkNumber refuses the number of a mailbox that there is not in the tenant.
func (t *tx) checkNumber(b *doppelboden.Mailbox) error {
	row, err := t.c.one(background, "SELECT tenant FROM mailbox WHERE id = ?", int64(b.ID))
	switch {
	case errors.Is(err, errNoRow) || err == nil && asInt(row[0]) != int64(b.Tenant):
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf("the tenant has no mailbox with the number %d", b.ID)}
	case err != nil:
		return fmt.Errorf("find mailbox: %w", err)
	}
	return nil
}

// findRetired gives b the number of the retired mailbox that had its address.
func (t *tx) findRetired(b *doppelboden.Mailbox) error {
	row, err := t.c.one(background, `SELECT a.mailbox, b.source, b.external, b.kind FROM address a CROSS JOIN mailbox b ON b.id = a.mailbox
		WHERE a.key = ?`, retiredKey(b.Tenant, b.Address.Key()))
	switch {
	case errors.Is(err, errNoRow):
		return nil
	case err != nil:
		return fmt.Errorf("find retired mailbox: %w", err)
	}
	if external := asText(row[2]); asText(row[1]) == b.Source && external != "" && b.External != "" && external != b.External {
		return nil // another person's
	}
	if asText(row[3]) == string(doppelboden.Person) && b.Kind != doppelboden.Person && b.Source != "" {
		return nil // a person's, and a directory may not let others read it
	}
	b.ID = doppelboden.MailboxID(asInt(row[0]))
	return nil
}

// addMailbox makes a new mailbox with its INBOX and its own address.
func (t *tx) addMailbox(b *doppelboden.Mailbox) error {
	row, err := t.c.one(background, `INSERT INTO mailbox (tenant, name, kind, department, priority) VALUES (?, ?, ?, ?, ?)
		RETURNING id`, int64(b.Tenant), b.Name, string(b.Kind), b.Department, int64(b.Priority))
	if err != nil {
		return fmt.Errorf("write mailbox: %w", err)
	}
	b.ID = doppelboden.MailboxID(asInt(row[0]))
	if err := t.putAddress(b, b.Address, 0); err != nil {
		return err
	}
	k, err := t.keep(b.Tenant, b.ID, 0)
	if err != nil {
		return err
	}
	k.Numbers = 0
	k.Make(doppelboden.Inbox, store.UseInbox, t.at)
	return k.save()
}

// putAliases writes a mailbox's aliases.
func (t *tx) putAliases(b *doppelboden.Mailbox) error {
	for i, a := range b.Aliases {
		if err := t.putAddress(b, a, i+1); err != nil {
			return err
		}
	}
	return nil
}

// putAddress gives an address to a mailbox, unless another one has it.
func (t *tx) putAddress(b *doppelboden.Mailbox, a doppelboden.Address, position int) error {
	added, err := t.c.exec(background, `INSERT INTO address (key, tenant, mailbox, position, address) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (key) DO NOTHING`, a.Key(), int64(b.Tenant), int64(b.ID), int64(position), address(a))
	if err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	if added > 0 {
		return nil
	}
	row, err := t.c.one(background, "SELECT mailbox FROM address WHERE key = ?", a.Key())
	if err != nil {
		return fmt.Errorf("find address: %w", err)
	}
	if doppelboden.MailboxID(asInt(row[0])) != b.ID {
		return taken(a)
	}
	return nil
}

// taken is the error about an address that belongs to another mailbox.
func taken(a doppelboden.Address) error {
	return &doppelboden.Error{Code: doppelboden.Invalid,
		Public: "the address " + strconv.QuoteToASCII(a.String()) + " belongs to another mailbox already"}
}

// Mailboxes yields all mailboxes, by ID.
func (s *Store) Mailboxes(ctx context.Context, yield func(doppelboden.Mailbox) error) error {
	last := int64(0)
	return walk(func() (page []doppelboden.Mailbox, err error) {
		err = s.snapshot(ctx, func(c *conn) error {
			err := c.query(ctx, func(row []driver.Value) error {
				b := doppelboden.Mailbox{ID: doppelboden.MailboxID(asInt(row[0])), Tenant: doppelboden.TenantID(asInt(row[1])),
					Name: asText(row[2]), Kind: doppelboden.MailboxKind(asText(row[3])), Department: asText(row[4]),
					Priority: int(asInt(row[5])), Source: asText(row[7]), External: asText(row[8]), Closed: asInt(row[9]) != 0,
					Gone: asTime(row[10]), Building: asText(row[11]), Phone: doppelboden.Phone(asText(row[12]))}
				if n := len(page); n > 0 && page[n-1].ID == b.ID {
					page[n-1].Aliases = append(page[n-1].Aliases, asAddress(row[6]))
					return nil
				}
				b.Address = asAddress(row[6]) // position 0 comes first
				page, last = append(page, b), int64(b.ID)
				return nil
			}, `SELECT b.id, b.tenant, b.name, b.kind, b.department, b.priority, a.address, b.source, b.external, b.closed, b.gone, b.building, b.phone
				FROM (SELECT * FROM mailbox WHERE id > ? ORDER BY id LIMIT ?) b
				CROSS JOIN address a ON a.mailbox = b.id ORDER BY b.id, a.position`, last, int64(pageRows))
			if err != nil {
				return err
			}
			return readMembers(ctx, c, page)
		})
		return page, err
	}, yield)
}

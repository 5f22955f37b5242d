package postgres

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// PutBelongings adds who may open mailboxes.
func (s *Store) PutBelongings(ctx context.Context, list []store.Belonging) error {
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			b := &list[i]
			_, err := t.exec(`INSERT INTO belonging (mailbox, person, kind, tenant, until, by, at) VALUES ($1,$2,$3,$4,$5,$6,$7)
				ON CONFLICT (mailbox, person, kind) DO UPDATE SET until = excluded.until, by = excluded.by, at = excluded.at`,
				int64(b.Mailbox), int64(b.Person), b.Kind, int64(b.Tenant), micros(b.Until), b.By, micros(b.At))
			if err != nil {
				return fmt.Errorf("write who may open mailbox %d: %w", b.Mailbox, err)
			}
		}
		return nil
	})
}

// DropBelongings takes the right to open mailboxes from people.
func (s *Store) DropBelongings(ctx context.Context, list []store.Belonging) error {
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			b := &list[i]
			_, err := t.exec("DELETE FROM belonging WHERE mailbox = $1 AND person = $2 AND kind = $3 AND tenant = $4",
				int64(b.Mailbox), int64(b.Person), b.Kind, int64(b.Tenant))
			if err != nil {
				return fmt.Errorf("remove who may open mailbox %d: %w", b.Mailbox, err)
			}
		}
		return nil
	})
}

const (
	belongingColumns   = "SELECT mailbox, person, kind, tenant, until, by, at FROM belonging"
	belongingsByPerson = belongingColumns + " WHERE person = $1 AND ($2 = 0 OR mailbox = $2) ORDER BY mailbox, person, kind"
	belongingsOfAll    = belongingColumns + " WHERE $1 = 0 AND ($2 = 0 OR mailbox = $2) ORDER BY mailbox, person, kind"
)

// Belongings yields who may open mailboxes.
func (s *Store) Belongings(ctx context.Context, person, mailbox doppelboden.MailboxID, yield func(store.Belonging) error) error {
	text := belongingsOfAll
	if person != 0 {
		text = belongingsByPerson
	}
	var all []store.Belonging
	err := s.read(ctx, func(c *conn) error {
		all = nil
		return c.query(ctx, func(r row) error {
			all = append(all, store.Belonging{Mailbox: doppelboden.MailboxID(asInt(r[0])), Person: doppelboden.MailboxID(asInt(r[1])),
				Kind: asText(r[2]), Tenant: doppelboden.TenantID(asInt(r[3])), Until: asTime(r[4]), By: asText(r[5]), At: asTime(r[6])})
			return nil
		}, text, int64(person), int64(mailbox))
	})
	return each(all, err, yield)
}

// each yields what was read.
func each[T any](all []T, err error, yield func(T) error) error {
	for i := range all {
		if err != nil {
			break
		}
		err = yield(all[i])
	}
	return err
}

// PutRole gives a person a role.
func (s *Store) PutRole(ctx context.Context, r store.Role) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO role (tenant, person, name, department, by, at) VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT DO NOTHING`,
			int64(r.Tenant), int64(r.Person), r.Name, r.Department, r.By, micros(r.At))
		if err != nil {
			return fmt.Errorf("write role: %w", err)
		}
		return nil
	})
}

// DropRole takes a role from a person.
func (s *Store) DropRole(ctx context.Context, r store.Role) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec("DELETE FROM role WHERE tenant = $1 AND person = $2 AND name = $3 AND department = $4",
			int64(r.Tenant), int64(r.Person), r.Name, r.Department)
		if err != nil {
			return fmt.Errorf("remove role: %w", err)
		}
		return nil
	})
}

const (
	roleColumns   = "SELECT tenant, person, name, department, by, at FROM role"
	rolesByPerson = roleColumns + " WHERE person = $1 ORDER BY tenant, person, name, department"
	rolesOfAll    = roleColumns + " WHERE $1 = 0 ORDER BY tenant, person, name, department"
)

// Roles yields the roles of a person, or of everybody.
func (s *Store) Roles(ctx context.Context, person doppelboden.MailboxID, yield func(store.Role) error) error {
	text := rolesOfAll
	if person != 0 {
		text = rolesByPerson
	}
	var all []store.Role
	err := s.read(ctx, func(c *conn) error {
		all = nil
		return c.query(ctx, func(r row) error {
			all = append(all, store.Role{Tenant: doppelboden.TenantID(asInt(r[0])), Person: doppelboden.MailboxID(asInt(r[1])),
				Name: asText(r[2]), Department: asText(r[3]), By: asText(r[4]), At: asTime(r[5])})
			return nil
		}, text, int64(person))
	})
	return each(all, err, yield)
}

// PutMemos remembers times.
func (s *Store) PutMemos(ctx context.Context, list []store.Memo) error {
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			m := &list[i]
			_, err := t.exec("INSERT INTO memo (what, tenant, mailbox, at) VALUES ($1,$2,$3,$4) ON CONFLICT (what, tenant, mailbox) DO UPDATE SET at = excluded.at",
				m.What, int64(m.Tenant), int64(m.Mailbox), micros(m.At))
			if err != nil {
				return fmt.Errorf("write memo: %w", err)
			}
		}
		return nil
	})
}

// DropMemos forgets the memos of a tenant with one meaning.
func (s *Store) DropMemos(ctx context.Context, tenant doppelboden.TenantID, what string) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := t.exec("DELETE FROM memo WHERE what = $1 AND tenant = $2", what, int64(tenant)); err != nil {
			return fmt.Errorf("remove memos: %w", err)
		}
		return nil
	})
}

// Memos yields the memos with one meaning.
func (s *Store) Memos(ctx context.Context, tenant doppelboden.TenantID, what string, yield func(store.Memo) error) error {
	var all []store.Memo
	err := s.read(ctx, func(c *conn) error {
		all = nil
		return c.query(ctx, func(r row) error {
			all = append(all, store.Memo{What: asText(r[0]), Tenant: doppelboden.TenantID(asInt(r[1])),
				Mailbox: doppelboden.MailboxID(asInt(r[2])), At: asTime(r[3])})
			return nil
		}, "SELECT what, tenant, mailbox, at FROM memo WHERE what = $1 AND ($2 = 0 OR tenant = $2) ORDER BY tenant, mailbox", what, int64(tenant))
	})
	return each(all, err, yield)
}

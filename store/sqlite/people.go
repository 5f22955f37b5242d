package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// PutBelongings adds who may open mailboxes.
func (s *Store) PutBelongings(ctx context.Context, list []store.Belonging) error {
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			b := &list[i]
			_, err := t.c.exec(background, `INSERT INTO belonging (mailbox, person, kind, tenant, until, by, at) VALUES (?,?,?,?,?,?,?)
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
			_, err := t.c.exec(background, "DELETE FROM belonging WHERE mailbox = ? AND person = ? AND kind = ? AND tenant = ?",
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
	belongingsByPerson = belongingColumns + " WHERE person = ?1 AND (?2 = 0 OR mailbox = ?2) ORDER BY mailbox, person, kind"
	belongingsOfAll    = belongingColumns + " WHERE ?1 = 0 AND (?2 = 0 OR mailbox = ?2) ORDER BY mailbox, person, kind"
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
		return c.query(ctx, func(row []driver.Value) error {
			all = append(all, store.Belonging{Mailbox: doppelboden.MailboxID(asInt(row[0])), Person: doppelboden.MailboxID(asInt(row[1])),
				Kind: asText(row[2]), Tenant: doppelboden.TenantID(asInt(row[3])), Until: asTime(row[4]), By: asText(row[5]), At: asTime(row[6])})
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
		_, err := t.c.exec(background, `INSERT INTO role (tenant, person, name, department, by, at) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
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
		_, err := t.c.exec(background, "DELETE FROM role WHERE tenant = ? AND person = ? AND name = ? AND department = ?",
			int64(r.Tenant), int64(r.Person), r.Name, r.Department)
		if err != nil {
			return fmt.Errorf("remove role: %w", err)
		}
		return nil
	})
}

const (
	roleColumns   = "SELECT tenant, person, name, department, by, at FROM role"
	rolesByPerson = roleColumns + " WHERE person = ? ORDER BY tenant, person, name, department"
	rolesOfAll    = roleColumns + " WHERE ? = 0 ORDER BY tenant, person, name, department"
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
		return c.query(ctx, func(row []driver.Value) error {
			all = append(all, store.Role{Tenant: doppelboden.TenantID(asInt(row[0])), Person: doppelboden.MailboxID(asInt(row[1])),
				Name: asText(row[2]), Department: asText(row[3]), By: asText(row[4]), At: asTime(row[5])})
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
			_, err := t.c.exec(background, "INSERT OR REPLACE INTO memo (what, tenant, mailbox, at) VALUES (?,?,?,?)",
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
		if _, err := t.c.exec(background, "DELETE FROM memo WHERE what = ? AND tenant = ?", what, int64(tenant)); err != nil {
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
		return c.query(ctx, func(row []driver.Value) error {
			all = append(all, store.Memo{What: asText(row[0]), Tenant: doppelboden.TenantID(asInt(row[1])),
				Mailbox: doppelboden.MailboxID(asInt(row[2])), At: asTime(row[3])})
			return nil
		}, "SELECT what, tenant, mailbox, at FROM memo WHERE what = ?1 AND (?2 = 0 OR tenant = ?2) ORDER BY tenant, mailbox", what, int64(tenant))
	})
	return each(all, err, yield)
}

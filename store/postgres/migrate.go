package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"doppelboden"
)

//go:embed migrations/*.sql
var migrations embed.FS

// lockMigration is the number of the lock that one node takes while it changes the schema
// ("DbMi").
const lockMigration = 0x44624d69

// migrate brings the schema up to date. A database that is newer than the program is
// refused: who wrote it knows things that we would lose.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(s.opts.migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := s.admit(ctx, c); err != nil {
		return err
	}
	user, err := c.tenantRole(ctx)
	if err != nil {
		return err
	}
	if err := c.prepareSchema(ctx); err != nil {
		return err
	}
	if err := c.upgrade(ctx, s.opts.migrations, files); err != nil {
		return err
	}
	if err := c.onlyKnown(ctx, files); err != nil {
		return err
	}
	return c.guard(ctx, user)
}

// script runs several statements without arguments in one transaction.
func (c *conn) script(ctx context.Context, text string) error {
	_, err := c.pg.Exec(ctx, text).ReadAll()
	if err != nil {
		return blame(err)
	}
	return nil
}

// prepareSchema makes the schema of a new database, and refuses one that a stranger made.
func (c *conn) prepareSchema(ctx context.Context) error {
	// The catalogue shows also what we may not touch.
	r, err := c.one(ctx, `SELECT coalesce(bool_or(k.relname = 'migration'), false), count(*) > 0
		FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE n.nspname = '`+schema+`'`)
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	ours, filled := asBool(r[0]), asBool(r[1])
	if ours {
		return nil
	}
	if filled {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the schema " + schema + " of the database was made by another program"}
	}
	err = c.script(ctx, fmt.Sprintf(`BEGIN; SELECT pg_advisory_xact_lock(%d); CREATE SCHEMA IF NOT EXISTS %s;
		CREATE TABLE IF NOT EXISTS %s.migration (name text COLLATE "C" PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); COMMIT;`,
		lockMigration, schema, schema))
	if err != nil {
		return fmt.Errorf("make schema: %w", err)
	}
	return nil
}

// upgrade runs the files that have not run yet, all of them in one transaction: when one
// fails, the database is as it was.
func (c *conn) upgrade(ctx context.Context, from fs.FS, files []string) (err error) {
	if err := c.script(ctx, fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d);", lockMigration)); err != nil {
		return fmt.Errorf("begin to migrate: %w", err)
	}
	defer func() {
		if err != nil {
			c.exec(background, "ROLLBACK")
		}
	}()
	done := map[string]bool{}
	err = c.query(ctx, func(r row) error { done[asText(r[0])] = true; return nil }, "SELECT name FROM migration")
	if err != nil {
		return fmt.Errorf("read which migrations have run: %w", err)
	}
	had := len(done)
	for _, file := range files {
		name := path.Base(file)
		if done[name] {
			continue
		}
		if err := c.migrateTo(ctx, from, file, name); err != nil {
			return fmt.Errorf("migration %s failed, and the database is as it was, with %d migrations: %w", name, had, err)
		}
	}
	return c.commit()
}

// migrateTo runs one file within the transaction.
func (c *conn) migrateTo(ctx context.Context, from fs.FS, file, name string) error {
	text, err := fs.ReadFile(from, file)
	if err != nil {
		return err
	}
	if err := c.script(ctx, string(text)); err != nil {
		return err
	}
	_, err = c.exec(ctx, "INSERT INTO migration (name) VALUES ($1)", name)
	return err
}

// onlyKnown refuses a database that a newer program has changed.
func (c *conn) onlyKnown(ctx context.Context, files []string) error {
	return c.query(ctx, func(r row) error {
		if name := asText(r[0]); !slices.Contains(files, "migrations/"+name) {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf(
				"the database has the migration %s, which this program does not know: use the newer program", name)}
		}
		return nil
	}, "SELECT name FROM migration ORDER BY name")
}

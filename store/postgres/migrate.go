package postgres

import (
	"context"
	"embed"
	"errors"
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

// migrate brings the schema up to date, one transaction for each file. A database that is
// newer than the program is refused: who wrote it knows things that we would lose.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
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
	if err := c.prepareSchema(ctx); err != nil {
		return err
	}
	for _, file := range files {
		if err := c.migrateTo(ctx, file); err != nil {
			return fmt.Errorf("migrate to %s: %w", path.Base(file), err)
		}
	}
	return c.onlyKnown(ctx, files)
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
	r, err := c.one(ctx, `SELECT to_regclass('`+schema+`.migration') IS NOT NULL,
		EXISTS (SELECT 1 FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE n.nspname = '`+schema+`')`)
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

// migrateTo runs a file, unless it has run.
func (c *conn) migrateTo(ctx context.Context, file string) (err error) {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	if err := c.script(ctx, fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d);", lockMigration)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.exec(background, "ROLLBACK")
		}
	}()
	name := path.Base(file)
	_, err = c.one(ctx, "SELECT 1::bigint FROM migration WHERE name = $1", name)
	switch {
	case err == nil:
		return c.script(ctx, "ROLLBACK")
	case !errors.Is(err, errNoRow):
		return err
	}
	if err := c.script(ctx, string(text)); err != nil {
		return err
	}
	if _, err := c.exec(ctx, "INSERT INTO migration (name) VALUES ($1)", name); err != nil {
		return err
	}
	return c.commit()
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

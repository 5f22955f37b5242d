package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"

	"doppelboden"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our files ("DbSt"), so that a stranger's database is not migrated.
const applicationID = 0x44625374

// pageSize is SQLite's page size in bytes. Most pages that a commit touches are pages
// of an index in which one entry is new; larger ones would only make the WAL longer.
const pageSize = 4096

// migrate brings the schema of the file up to date with the migrations of from. A
// database that is newer than the program is refused: who wrote it knows things that we
// would lose.
func migrate(ctx context.Context, file string, from fs.FS) error {
	files, err := fs.Glob(from, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	c, err := connect(file, "FULL", writing)
	if err != nil {
		return err
	}
	defer c.close()
	version, err := schemaVersion(ctx, c)
	if err != nil {
		return err
	}
	if version > len(files) {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: fmt.Sprintf(
			"the database has schema version %d, this program knows versions up to %d: use the newer program", version, len(files))}
	}
	if version == len(files) {
		return nil
	}
	if err := upgrade(c, from, files, version); err != nil {
		_ = c.script("ROLLBACK") // its own failure changes nothing: the connection ends here
		return err
	}
	return nil
}

// upgrade applies the migrations after version, all of them in one transaction: when one
// fails, the database is as it was.
func upgrade(c *conn, from fs.FS, files []string, version int) error {
	if err := c.script("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin to migrate: %w", err)
	}
	// Files sort by their number; number 1 comes first.
	for i, name := range files[version:] {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return fmt.Errorf("read migration: %w", err)
		}
		if err := c.script(fmt.Sprintf("%s\n;PRAGMA user_version = %d;", text, version+i+1)); err != nil {
			return fmt.Errorf("migration %s failed, and the database is as it was, with schema version %d: %w", path.Base(name), version, err)
		}
	}
	if err := c.script(fmt.Sprintf("PRAGMA application_id = %d; COMMIT", applicationID)); err != nil {
		return fmt.Errorf("end of the migration, and the database is as it was, with schema version %d: %w", version, err)
	}
	return nil
}

// schemaVersion reads how far a database is, and refuses one that is not ours.
func schemaVersion(ctx context.Context, c *conn) (int, error) {
	row, err := c.one(ctx, "PRAGMA user_version")
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	version := int(asInt(row[0]))
	if row, err = c.one(ctx, "PRAGMA application_id"); err != nil {
		return 0, fmt.Errorf("read application id: %w", err)
	}
	id := asInt(row[0])
	if row, err = c.one(ctx, "SELECT count(*) FROM sqlite_schema"); err != nil {
		return 0, fmt.Errorf("read schema: %w", err)
	}
	if id != applicationID && (version != 0 || asInt(row[0]) != 0) {
		return 0, &doppelboden.Error{Code: doppelboden.Invalid, Public: "the database was made by another program"}
	}
	return version, nil
}

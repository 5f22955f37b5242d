package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"doppelboden"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our files ("DbSt"), so that a stranger's database is not migrated.
const applicationID = 0x44625374

// pageSize is SQLite's page size in bytes. Most pages that a commit touches are pages
// of an index in which one entry is new; larger ones would only make the WAL longer.
const pageSize = 4096

// migrate brings the schema of the file up to date, one transaction for each version.
// A database that is newer than the program is refused: who wrote it knows things that
// we would lose.
func migrate(ctx context.Context, path string) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	c, err := connect(path, "FULL", writing)
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
	for i := version; i < len(files); i++ {
		// Files sort by their number; number 1 comes first.
		text, err := migrations.ReadFile(files[i])
		if err != nil {
			return fmt.Errorf("read migration: %w", err)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "BEGIN IMMEDIATE;\n%s\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;\nCOMMIT;",
			text, applicationID, i+1)
		if err := c.script(b.String()); err != nil {
			return fmt.Errorf("migrate to version %d: %w", i+1, err)
		}
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

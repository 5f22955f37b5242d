package backup_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden/backup"
)

// oldSchema makes of a database what a program of before would have: it applies the
// migrations up to one and takes over what fits from the database of today.
func oldSchema(t *testing.T, path, last string) {
	t.Helper()
	old := filepath.Join(t.TempDir(), "old.db")
	db, err := sql.Open("sqlite", old)
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	run := func(text string) {
		t.Helper()
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text[:min(len(text), 80)], err)
		}
	}
	files, err := filepath.Glob("../store/sqlite/migrations/*.sql")
	must(t, err)
	n := slices.IndexFunc(files, func(f string) bool { return strings.HasPrefix(filepath.Base(f), last) }) + 1
	if n == 0 || n == len(files) {
		t.Fatalf("migration %s is missing or the newest of %v", last, files)
	}
	for _, f := range files[:n] {
		text, err := os.ReadFile(f)
		must(t, err)
		run(string(text))
	}
	run(fmt.Sprintf("PRAGMA application_id = %d", 0x44625374))
	run(fmt.Sprintf("PRAGMA user_version = %d", n))
	run("ATTACH '" + path + "' AS today")
	rows, err := db.Query("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
	must(t, err)
	var tables []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	must(t, rows.Close())
	run("CREATE TEMP TABLE known AS SELECT name FROM main.sequence") // those that later migrations add are not there yet
	for _, table := range tables {
		var columns string
		must(t, db.QueryRow("SELECT group_concat('\"' || o.name || '\"') FROM pragma_table_info(?1, 'main') o JOIN pragma_table_info(?1, 'today') n ON n.name = o.name", table).Scan(&columns))
		run("DELETE FROM main." + table)
		only := ""
		if table == "sequence" {
			only = " WHERE name IN (SELECT name FROM known)"
		}
		run(fmt.Sprintf("INSERT INTO main.%s (%s) SELECT %s FROM today.%s%s", table, columns, columns, table, only))
	}
	run("DETACH today")
	must(t, db.Close())
	data, err := os.ReadFile(old)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
}

// TestMigrationsAreTriedOnACopyOfABackup turns red when verify opens the database itself,
// or none.
func TestMigrationsAreTriedOnACopyOfABackup(t *testing.T) {
	p := found(t, "")
	p.mail(3, 1000)
	dir := filepath.Join(t.TempDir(), "backup")
	p.backUp(dir)
	file := find(t, dir, "database.sqlite")
	oldSchema(t, file, "0008")
	var was int
	p.change(dir, func(m *backup.Manifest) { m.Schema, m.Rows, was = 6, nil, m.Schema })
	before, err := os.ReadFile(file)
	must(t, err)
	c := p.verify(dir)
	if !c.OK() || c.Schema != was || c.Manifest.Schema != 6 || c.Bodies != 3 {
		t.Errorf("an old database: %v, schema %d of %d, %d bodies; want it good, schema %d of 6", c.Findings, c.Schema, c.Manifest.Schema, c.Bodies, was)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the backup was changed (%v)", err)
	}
	// The node that is made of it migrates in earnest.
	p.stop()
	again := p.restore(dir)
	again.start()
	again.whole(3)
	// One that a migration cannot take is named, and stays.
	execute(t, file, "ALTER TABLE mailbox ADD COLUMN building TEXT")
	p.change(dir, func(*backup.Manifest) {})
	if c := p.verify(dir); c.OK() || !strings.Contains(fmt.Sprint(c.Findings), ".sql failed") || !strings.Contains(fmt.Sprint(c.Findings), "building") {
		t.Errorf("a migration that fails: %v, want which and why", c.Findings)
	}
}

// TestAFullDiskLeavesTheBackupThatWas turns red when the old state is removed before the
// new one is whole.
func TestAFullDiskLeavesTheBackupThatWas(t *testing.T) {
	p := found(t, "")
	p.mail(2, 1000)
	disk := t.TempDir()
	mount(t, disk, "size=2m")
	dir := filepath.Join(disk, "backup")
	p.backUp(dir)
	p.mail(12, 200<<10)
	_, err := p.client().Backup(t.Context(), orderTo(dir))
	if err == nil || !strings.Contains(err.Error(), "the disk of the backup is full") {
		t.Errorf("a backup onto a full disk: %v, want that it is full", err)
	}
	c, err := backup.Verify(t.Context(), backup.VerifyOptions{Dir: dir, Clock: time.Now})
	must(t, err)
	if !c.OK() || c.Bodies != 2 {
		t.Errorf("the backup that was: %v with %d bodies, want it good with 2", c.Findings, c.Bodies)
	}
	mount(t, disk, "remount,size=32m")
	p.backUp(dir)
	if c, err = backup.Verify(t.Context(), backup.VerifyOptions{Dir: dir, Clock: time.Now}); err != nil || !c.OK() || c.Bodies != 14 {
		t.Errorf("with room again: %+v, %v", c, err)
	}
}

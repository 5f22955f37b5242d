package backup_test

import (
	"bytes"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppelboden/backup"
	"doppelboden/control"
	"doppelboden/ledger"
)

func signer(t *testing.T, p *place) ed25519.PrivateKey {
	t.Helper()
	key, err := ledger.LoadKey(filepath.Join(p.node.Keys, "ledger.key"))
	must(t, err)
	return key
}

// flip changes one byte of a file. A hard link is broken first: it is the node's as well.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[at] ^= 1
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, data, 0o600))
}

// drop removes files from a manifest.
func drop(m *backup.Manifest, prefix string) {
	m.Files = slices.DeleteFunc(m.Files, func(f backup.File) bool { return strings.HasPrefix(f.Path, prefix) })
}

// execute changes a database.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(DELETE)")
	must(t, err)
	defer db.Close()
	for _, s := range statements {
		_, err := db.Exec(s)
		must(t, err)
	}
	_, err = db.Exec("PRAGMA journal_mode = WAL")
	must(t, err)
}

// replace replaces a text in a file; it must be there.
func replace(path, old, next string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(old)) {
		return fmt.Errorf("%s holds no %q", path, old)
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(next), 1), 0o600)
}

// orderTo asks for a backup with the keys in clear.
func orderTo(dir string) control.BackupOrder { return control.BackupOrder{Dir: dir, PlainKeys: true} }

// mount makes a small disk of a folder, or changes its size.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	rest, again := strings.CutPrefix(options, "remount,")
	flags := uintptr(0)
	if again {
		flags = unix.MS_REMOUNT
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, rest); err != nil {
		t.Fatalf("mount a small disk (this test needs root): %v", err)
	}
	if !again {
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
	}
}

package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"doppelboden"
	"doppelboden/disk"
)

// Names within a backup.
const (
	lockFile     = "backup.lock"
	noteFile     = "README.txt"
	statePrefix  = "state-"
	stateForm    = "20060102T150405.000000Z"
	segmentsDir  = "segments"
	tallyDir     = "tally"
	knotsDir     = "knots"
	landingDir   = "landing"
	sqliteFile   = "database.sqlite"
	postgresFile = "database.pgdump"
	databaseFile = "doppelboden.db" // in the data folder
	nodeFile     = "node.toml"
	cityFile     = "city.toml"
	knotsFile    = "knots.tar"
	sealedKeys   = "keys.tar.age"
	plainKeys    = "keys.tar"
)

// note tells who finds the folder what it is.
const note = `This folder is a backup of a node of Doppelboden, or the beginning of one.
With manifest.json in it, it is whole. Check it with:  doppelboden backup --verify FOLDER
Make a node of it with:  doppelboden restore FOLDER DIR
The mail in it is encrypted; without the node's folder "keys" nobody can read it.

Dieser Ordner ist die Sicherung eines Knotens von Doppelboden, oder der Anfang einer solchen.
Liegt manifest.json darin, ist sie vollständig. Prüfen:  doppelboden backup --verify ORDNER
Wiederherstellen:  doppelboden restore ORDNER ZIEL
Die Mail darin ist verschlüsselt; ohne den Ordner "keys" des Knotens kann niemand sie lesen.
`

// isState reports whether a name is that of a state's folder.
func isState(name string) bool {
	stamp, ok := strings.CutPrefix(name, statePrefix)
	_, err := time.Parse(stateForm, stamp)
	return ok && err == nil
}

// ours reports whether a name in a backup's folder is one that we make.
func ours(name string) bool {
	switch name {
	case ManifestFile, ManifestFile + ".new", lockFile, noteFile, segmentsDir, tallyDir, knotsDir, landingDir:
		return true
	}
	return isState(name)
}

// A folder is a backup that is being written.
type folder struct {
	dir  string
	lock *os.File
	old  *Manifest       // what the folder was before; nil: no backup
	was  map[string]File // its files by path
}

// openFolder takes a folder for a backup: one that does not exist, is empty, or has held
// nothing but a backup. The caller closes it.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, writing(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into the folder: %w", err)
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return nil, refuse(doppelboden.Invalid, "the folder holds something that is no backup (%s); nothing was changed", e.Name())
		}
	}
	f := &folder{dir: dir, was: map[string]File{}}
	if f.lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, writing(err)
	}
	if err := unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.lock.Close()
		return nil, refuse(doppelboden.Invalid, "another backup into this folder is under way")
	}
	err = f.begin()
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// begin reads what the folder is, and removes what runs that were cut off have left.
func (f *folder) begin() error {
	old, err := ReadManifest(f.dir)
	switch {
	case doppelboden.CodeOf(err) == doppelboden.NotFound:
	case err != nil:
		return err
	default:
		f.old = old
		for _, one := range old.Files {
			f.was[one.Path] = one
		}
	}
	if err := os.WriteFile(filepath.Join(f.dir, noteFile), []byte(note), 0o600); err != nil {
		return writing(err)
	}
	return f.dropStates()
}

// dropStates removes the states that the folder's manifest does not name.
func (f *folder) dropStates() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("look into the folder: %w", err)
	}
	for _, e := range entries {
		if !isState(e.Name()) || f.old != nil && e.Name() == f.old.State {
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.dir, e.Name())); err != nil {
			return writing(err)
		}
	}
	return nil
}

func (f *folder) close() { f.lock.Close() }

// path returns where a file of the backup lies.
func (f *folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// finish makes m the folder's manifest and removes what it does not name.
func (f *folder) finish(m *Manifest, write func() error) error {
	made := map[string]bool{f.dir: true}
	for _, one := range m.Files {
		for dir := filepath.Dir(f.path(one.Path)); !made[dir]; dir = filepath.Dir(dir) {
			made[dir] = true
		}
	}
	for dir := range made {
		if err := (disk.OS{}).SyncDir(dir); err != nil {
			return writing(err)
		}
	}
	if err := write(); err != nil {
		return writing(err)
	}
	f.old = m
	f.was = map[string]File{}
	for _, one := range m.Files {
		f.was[one.Path] = one
	}
	if err := f.dropStates(); err != nil {
		return err
	}
	return f.prune()
}

// prune removes files that only grew and that the node does not have any more.
func (f *folder) prune() error {
	var gone, dirs []string
	for _, top := range []string{segmentsDir, tallyDir, knotsDir, landingDir} {
		err := filepath.WalkDir(filepath.Join(f.dir, top), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(f.dir, path)
			if err != nil {
				return err
			}
			if _, known := f.was[filepath.ToSlash(rel)]; d.IsDir() {
				dirs = append(dirs, path)
			} else if !known {
				gone = append(gone, path)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("look into the folder: %w", err)
		}
	}
	for _, path := range gone {
		if err := os.Remove(path); err != nil {
			return writing(err)
		}
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i]) // one that is not empty stays
	}
	return nil
}

// writing says that the backup's folder cannot be written.
func writing(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &doppelboden.Error{Code: doppelboden.StorageFull, Public: "the disk of the backup is full", Cause: err}
	}
	return fmt.Errorf("write the backup: %w", err)
}

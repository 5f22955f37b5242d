package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// WriteNew makes a small file with mode 0600 that appears whole and durable, or not at
// all. It fails with fs.ErrExist when the name is taken, and then changes nothing.
func WriteNew(fsys FS, name string, data []byte) error {
	return writeWhole(fsys, name, data, func(temporary string) error {
		if err := fsys.Link(temporary, name); err != nil { // unlike rename, never replaces
			return err
		}
		return fsys.Remove(temporary)
	})
}

// Replace writes a small file with mode 0600 in the place of what has its name. After
// a crash there is the old file or the new one.
func Replace(fsys FS, name string, data []byte) error {
	return writeWhole(fsys, name, data, func(temporary string) error {
		return fsys.Rename(temporary, name)
	})
}

// writeWhole writes a temporary file beside name, syncs it, and lets publish name it.
func writeWhole(fsys FS, name string, data []byte, publish func(temporary string) error) error {
	temporary := name + ".new"
	if err := fsys.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := fsys.Create(temporary)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = publish(temporary)
	}
	if err != nil {
		err = errors.Join(err, ignoreMissing(fsys.Remove(temporary)))
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("sync folder of %s: %w", name, err)
	}
	return nil
}

// ignoreMissing returns err unless it says that there was no file.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

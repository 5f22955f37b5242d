package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writeDurably makes path hold data, or leaves it as it was: temporary file, write,
// sync, rename, sync of the folder. It refuses to replace a file: the error is then
// os.ErrExist.
func writeDurably(path string, data []byte, mode os.FileMode) error {
	temp := path + ".tmp"
	err := writeSynced(temp, data, mode)
	if err == nil {
		err = os.Link(temp, path) // unlike a rename, it fails when path exists
	}
	if gone := os.Remove(temp); err == nil {
		err = gone
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// writeSynced writes a file and syncs it.
func writeSynced(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// makeFolder makes one folder below an existing one, durably.
func makeFolder(path string) error {
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: longer than %d bytes", path, limit)
	}
	return data, nil
}

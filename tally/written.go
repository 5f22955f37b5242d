package tally

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"

	"doppelboden/disk"
)

// Written returns up to where each file of the logs in dir holds records, so that it can
// be copied while it grows. What waits in memory is not among them: flush first.
func Written(dir string) (map[string]int64, error) {
	fsys := disk.OS{}
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, disk.Fail("list tallies", err)
	}
	written := map[string]int64{}
	for _, e := range entries {
		base, from, ok := disk.ParsePart(e.Name, ext)
		if !ok || e.Dir {
			continue
		}
		for _, f := range [...]format{doors, replies} {
			if _, is := f.parseDay(base); !is {
				continue
			}
			if written[e.Name], err = f.written(fsys, filepath.Join(dir, e.Name), from, e.Size); err != nil {
				return nil, disk.Fail("measure tally "+e.Name, err)
			}
		}
	}
	return written, nil
}

// written returns the end of the last record of a part: only room that was reserved, all
// zeros, follows it.
func (f format) written(fsys disk.FS, path string, from, size int64) (int64, error) {
	file, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil // pruned since it was listed
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	block := make([]byte, 512*f.size)
	for end := size - (size-from)%int64(f.size); end > from; {
		at := max(end-int64(len(block)), from)
		b := block[:end-at]
		if _, err := file.ReadAt(b, at); err != nil {
			return 0, err
		}
		if used := len(bytes.TrimRight(b, "\x00")); used > 0 {
			records := (used + f.size - 1) / f.size
			return at + int64(records*f.size), nil
		}
		end = at
	}
	return from, nil
}

package tally

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"

	"doppelboden/disk"
)

// A File is one file of the logs, as whoever copies it must know it.
type File struct {
	Name  string // in the folder
	From  int64  // before this offset there is a hole
	Size  int64  // end of the last record; room that is reserved may follow
	Whole bool   // nothing is added to it any more
}

// Files returns the files of the logs in dir, which may be in use. What waits in memory is
// not in them: flush first.
func Files(dir string) ([]File, error) {
	fsys := disk.OS{}
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, disk.Fail("list tallies", err)
	}
	var files []File
	for _, e := range entries {
		base, from, ok := disk.ParsePart(e.Name, ext)
		if !ok || e.Dir {
			continue
		}
		for _, f := range [...]format{doors, replies} {
			if _, is := f.parseDay(base); !is {
				continue
			}
			file := File{Name: e.Name, From: from}
			err := f.measure(fsys, filepath.Join(dir, e.Name), e.Size, &file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // pruned since it was listed
			}
			if err != nil {
				return nil, disk.Fail("measure tally "+e.Name, err)
			}
			files = append(files, file)
		}
	}
	return files, nil
}

// measure finds the end of the last record of a part: only room that was reserved, all
// zeros, follows it.
func (f format) measure(fsys disk.FS, path string, size int64, file *File) error {
	in, err := fsys.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if f.isEnded(in, file.From, size) {
		file.Size, file.Whole = size, true
		return nil
	}
	file.Size = file.From
	block := make([]byte, 512*f.size)
	for end := size - (size-file.From)%int64(f.size); end > file.From; {
		at := max(end-int64(len(block)), file.From)
		b := block[:end-at]
		if _, err := in.ReadAt(b, at); err != nil {
			return err
		}
		if used := len(bytes.TrimRight(b, "\x00")); used > 0 {
			file.Size = at + int64((used+f.size-1)/f.size*f.size)
			return nil
		}
		end = at
	}
	return nil
}

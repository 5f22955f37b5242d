package landing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"
)

// A File is one file of a landing, as whoever copies it must know it.
type File struct {
	Name  string // in the folder
	From  int64  // before this offset there is a hole
	Size  int64  // end of what is sure; more may follow
	Whole bool   // nothing is added to it any more
}

// Files returns the files of the landing, up to what is sure now.
func (l *Landing) Files() ([]File, error) {
	return files(l.opts.FS, l.opts.Dir, func(name string) (int64, bool) {
		l.journal.mu.Lock()
		defer l.journal.mu.Unlock()
		for _, d := range l.journal.days {
			if parts := d.starts(); d.out != nil && name == (disk.Log{Base: d.base, Ext: ext}).Part(parts[len(parts)-1]) {
				return d.end, true
			}
		}
		return 0, false
	})
}

// Files returns the files of a landing that nobody has open. What a crash left behind the
// last whole record is not in them.
func Files(dir string) ([]File, error) {
	return files(disk.OS{}, dir, func(string) (int64, bool) { return 0, false })
}

// files lists a landing. written knows the end of the file that is being written.
func files(fsys disk.FS, dir string, written func(name string) (int64, bool)) ([]File, error) {
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, disk.Fail("list the landing", err)
	}
	var all []File
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name, asideExt); ok && !e.Dir {
			if _, err := doppelboden.ParseID(stem); err == nil {
				all = append(all, File{Name: e.Name, Size: e.Size, Whole: true})
			}
		}
	}
	parts := disk.Parts(entries, ext)
	for _, base := range slices.Sorted(maps.Keys(parts)) {
		if !isDay(base) {
			continue
		}
		for i, from := range parts[base] {
			f := File{Name: disk.Log{Base: base, Ext: ext}.Part(from), From: from}
			if end, open := written(f.Name); open {
				f.Size = end
			} else if err := f.measure(fsys, dir); err != nil {
				return nil, disk.Fail("measure the landing's "+f.Name, err)
			}
			if i+1 < len(parts[base]) { // what it holds beyond the next part does not count
				f.Size, f.Whole = min(f.Size, parts[base][i+1]), true
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// measure finds the end of a file that nobody writes.
func (f *File) measure(fsys disk.FS, dir string) error {
	in, err := fsys.Open(filepath.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := in.Size()
	if err != nil {
		return err
	}
	if h, _, ok, err := readRecord(in, size-headerSize); size-headerSize >= f.From && ok && err == nil && h.kind == kindEnd {
		f.Size, f.Whole = size, true
		return nil
	}
	sv, err := survey(in, f.Name, f.From, size)
	f.Size = sv.end
	return err
}

// Read yields everything in a landing that nobody has open, in the order of the journal,
// and then what lies aside. What is damaged is left out.
func Read(dir string, yield func(store.Landed) error) error {
	all, err := Files(dir)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b File) int { // a day and its parts, then what lies aside
		return strings.Compare(order(a), order(b))
	})
	for _, f := range all {
		if err := f.read(dir, yield); err != nil {
			return fmt.Errorf("read the landing's %s: %w", f.Name, err)
		}
	}
	return nil
}

// order returns a text by which files sort as they are read.
func order(f File) string {
	base, _, journal := disk.ParsePart(f.Name, ext)
	if !journal {
		return "~" + f.Name
	}
	return fmt.Sprintf("%s+%020d", base, f.From)
}

// read yields the commits of one file.
func (f *File) read(dir string, yield func(store.Landed) error) error {
	in, err := disk.OS{}.Open(filepath.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	for at := f.From; at+headerSize <= f.Size; {
		h, payload, ok, err := readRecord(in, at)
		if err != nil {
			return err
		}
		if !ok {
			at += align
			continue
		}
		if at = h.end(); h.kind != kindCommit {
			continue
		}
		if strings.HasSuffix(f.Name, asideExt) {
			at = f.Size
		}
		landed, err := decodeLanded(payload)
		if err != nil {
			return err
		}
		landed.Aside = strings.HasSuffix(f.Name, asideExt)
		if err := yield(landed); err != nil {
			return err
		}
	}
	return nil
}

package segment

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"doppelboden/disk"
)

// Overhead is by how many bytes a record is longer than its body.
const Overhead = headerSize + tagSize

// A File is one file of a folder of bodies, as whoever copies it must know it.
type File struct {
	Path    string // below the folder, such as "20261122/0001+7340032.seg"
	Segment string // as in doppelboden.Body
	From    int64  // before this offset there is a hole
	Size    int64  // in bytes, with the room that is reserved at the end of one that grows
	Whole   bool   // nothing is added to it any more
}

// Files yields the files of bodies below dir, whether a Store has it open or not, by day
// and name. Bodies that are still arriving are left out.
func Files(dir string, yield func(File) error) error {
	fsys := disk.OS{}
	days, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return disk.Fail("list segments", err)
	}
	for _, d := range days {
		if !d.Dir || !isDay(d.Name) {
			continue
		}
		entries, err := fsys.List(filepath.Join(dir, d.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped since
		}
		if err != nil {
			return disk.Fail("list segments of "+d.Name, err)
		}
		for _, e := range entries {
			file, ok := fileOf(d.Name, e)
			if !ok {
				continue
			}
			if !file.Whole {
				file.Whole = ended(filepath.Join(dir, d.Name, e.Name), e.Size)
			}
			if err := yield(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileOf reads the name of a file of a day.
func fileOf(day string, e disk.Entry) (File, bool) {
	f := File{Path: day + "/" + e.Name, Size: e.Size}
	if base, ok := strings.CutSuffix(e.Name, bigExt); ok && isHex(base) {
		f.Segment, f.Whole = place{day: day, base: base, big: true}.name(), true
		return f, !e.Dir
	}
	base, from, ok := disk.ParsePart(e.Name, segExt)
	f.Segment, f.From = place{day: day, base: base}.name(), from
	return f, ok && isNumber(base) && !e.Dir
}

// ended reports whether a segment's file ends with an end mark.
func ended(path string, size int64) bool {
	f, err := disk.OS{}.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return isEnded(f, size)
}

// OpenToRead opens a folder of bodies for Reader alone, and writes nothing there: what a
// crash left, or a copy that ends in the middle, stays as it is.
func OpenToRead(dir string, keys Wrapper) (*Store, error) {
	s := &Store{opts: Options{Dir: dir, Keys: keys, FS: disk.OS{}}, closed: true}
	if err := s.opts.readable(); err != nil {
		return nil, err
	}
	parts := map[string][]int64{}
	err := Files(dir, func(f File) error {
		parts[f.Segment] = append(parts[f.Segment], f.From)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, starts := range parts {
		s.layout.put(name, starts)
	}
	return s, nil
}

// readable reports what is missing for reading.
func (o *Options) readable() error {
	if o.Dir == "" || o.Keys == nil {
		return errors.New("segment options: Dir and Keys are required")
	}
	return nil
}

package segment

import (
	"fmt"
	"path/filepath"
	"strings"

	"doppelboden/disk"
)

// recoverDay looks at one day's folder as a crash may have left it.
func (s *Store) recoverDay(day string) ([]Damage, error) {
	dir := filepath.Join(s.opts.Dir, day)
	entries, err := s.opts.FS.List(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name, partExt); ok && isHex(base) && !e.Dir {
			// Its Writer never closed, so no Body was ever made for it.
			if err := s.opts.FS.Remove(filepath.Join(dir, e.Name)); err != nil {
				s.opts.Log.Warn("unfinished body could not be removed", "file", day+"/"+e.Name, "error", err)
			}
		}
	}
	var all []Damage
	for base, starts := range disk.Parts(entries, segExt) {
		if !isNumber(base) {
			continue
		}
		s.numbers[day] = max(s.numbers[day], number(base))
		p := place{day: day, base: base}
		s.layout.put(p.name(), starts)
		damage, err := s.recoverSegment(p, starts[len(starts)-1])
		if err != nil {
			return nil, err
		}
		all = append(all, damage...)
	}
	return all, nil
}

// recoverSegment reads the last part of a segment if it was not ended, and ends it.
// Earlier parts hold nothing but what was synced.
func (s *Store) recoverSegment(p place, from int64) ([]Damage, error) {
	name := disk.Log{Base: p.base, Ext: segExt}.Part(from)
	f, err := s.opts.FS.Open(s.path(p.day, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if isEnded(f, size) {
		return nil, nil
	}
	sv := scan(f, p.name(), from, size, func(header) {})
	if sv.ended && sv.end == size {
		return sv.damage, nil
	}
	if err := s.endAfterCrash(p.day, name, sv); err != nil {
		// A disk that is full or can't be written must not keep anybody from reading.
		s.opts.Log.Warn("segment could not be ended after a crash", "segment", p.name(), "error", err)
	}
	return sv.damage, nil
}

// isEnded reports whether a file of this size ends with an end mark.
func isEnded(f disk.File, size int64) bool {
	var b [headerSize]byte
	if size < headerSize {
		return false
	}
	if n, _ := f.ReadAt(b[:], size-headerSize); n < headerSize {
		return false
	}
	h, ok := parseHeader(b[:], size-headerSize)
	return ok && h.kind == kindEnd
}

// endAfterCrash gives the room behind the last byte back and writes an end mark there,
// so that the file need not be read at every start. It removes nothing but zeros: what
// a crash tore stays, as its bytes may be evidence, and is never written over.
func (s *Store) endAfterCrash(day, name string, sv survey) error {
	f, err := s.opts.FS.OpenWrite(s.path(day, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(sv.end); err != nil {
		return err
	}
	// The mark knows of no more synced bytes than the records did, so that what is
	// torn stays torn and is not taken for damage later.
	b := make([]byte, headerSize)
	header{kind: kindEnd, offset: sv.end, synced: min(sv.synced, sv.end)}.put(b)
	if _, err := f.WriteAt(b, sv.end); err != nil {
		return fmt.Errorf("write end mark: %w", err)
	}
	return f.Sync()
}

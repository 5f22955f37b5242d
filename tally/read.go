package tally

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"doppelboden/disk"
)

// maxNamed bounds how many places of damage are named one by one.
const maxNamed = 100

// timeAt is where every format has the time of a record.
const timeAt = 4

func recordTime(rec []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(rec[timeAt:]))).UTC()
}

func putTime(rec []byte, at time.Time) {
	binary.BigEndian.PutUint64(rec[timeAt:], uint64(at.UnixMicro()))
}

// read yields the records with from <= time < to. After the last it returns what was
// damaged, as one error with a *Damage for each place in its tree.
func (f format) read(fsys disk.FS, dir string, from, to time.Time, yield func(rec []byte) error) error {
	if !from.Before(to) {
		return nil
	}
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return disk.Fail("read tally", err)
	}
	var damage []error
	var total int
	note := func(err error) {
		if total++; total <= maxNamed {
			damage = append(damage, err)
		}
	}
	each := func(rec []byte) error {
		if at := recordTime(rec); at.Before(from) || !at.Before(to) {
			return nil
		}
		return yield(rec)
	}
	for _, p := range f.days(entries, from, to) {
		if err := f.readPart(fsys, dir, p, each, note); err != nil {
			return err
		}
	}
	if total > maxNamed {
		damage = append(damage, fmt.Errorf("tally: %d more places are damaged", total-maxNamed))
	}
	return errors.Join(damage...)
}

// days returns the parts of the logs of all days from from to to for which there are
// any; who asks for all of time must not wait for each day of it.
func (f format) days(entries []disk.Entry, from, to time.Time) []part {
	first, last := int64(1<<62), int64(-1<<62)
	for _, e := range entries {
		base, _, ok := disk.ParsePart(e.Name, ext)
		if day, isDay := f.parseDay(base); ok && isDay {
			first, last = min(first, day), max(last, day)
		}
	}
	return f.parts(entries, max(first, dayNumber(from)), min(last, dayNumber(to)))
}

// readPart reads one part up to the start of the next.
func (f format) readPart(fsys disk.FS, dir string, p part, each func([]byte) error, note func(error)) error {
	file, err := fsys.Open(filepath.Join(dir, p.file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // pruned since it was listed
	}
	if err != nil {
		return disk.Fail("read tally", err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return disk.Fail("read tally", err)
	}
	last := p.to == 0
	if !last {
		size = min(size, p.to)
	}
	sv, err := f.walk(file, p.from, size, each)
	if err != nil {
		return err
	}
	for _, err := range sv.unread {
		note(fmt.Errorf("tally %s: %w", p.file, err))
	}
	synced := sv.synced
	if !last && !sv.ended {
		// The part was given up after a failed sync, and the next one begins at the end
		// of what was on the disk.
		synced = p.to
		if sv.end < p.to {
			sv.gaps = append(sv.gaps, [2]int64{sv.end, p.to})
		}
	}
	for _, gap := range sv.gaps {
		// A gap behind what was synced is what a power cut left. So is what follows the
		// last whole record, if it is not being written just now.
		if gap[0] < synced {
			note(&Damage{File: p.file, Offset: gap[0], Length: gap[1] - gap[0]})
		}
	}
	return nil
}

package segment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// An Info describes a segment.
type Info struct {
	Name string    // as in doppelboden.Body
	Size int64     // in bytes, on the disk
	Day  time.Time // 00:00 UTC of the day whose bodies it holds
	Open bool      // bodies may still be added, or are not synced yet
}

// Segments returns what there is, by day and name. Big bodies are segments too.
func (s *Store) Segments() ([]Info, error) {
	writing := s.writing()
	days, err := s.opts.FS.List(s.opts.Dir)
	if err != nil {
		return nil, disk.Fail("list segments", err)
	}
	var infos []Info
	for _, d := range days {
		if !d.Dir || !isDay(d.Name) {
			continue
		}
		entries, err := s.opts.FS.List(filepath.Join(s.opts.Dir, d.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped since
		}
		if err != nil {
			return nil, disk.Fail("list segments of "+d.Name, err)
		}
		infos = append(infos, segmentsOf(d.Name, entries, writing)...)
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name < infos[j].Name })
	return infos, nil
}

// writing returns the segments that are being written, with their lengths.
func (s *Store) writing() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sizes := make(map[string]int64)
	for _, w := range append(s.retired[:len(s.retired):len(s.retired)], s.current) {
		if w != nil {
			sizes[w.name], _ = w.Pos()
		}
	}
	return sizes
}

// segmentsOf finds the segments among the files of a day.
func segmentsOf(day string, entries []disk.Entry, writing map[string]int64) []Info {
	at, err := time.Parse(dayForm, day)
	if err != nil {
		return nil // not reached: isDay has seen it
	}
	byName := make(map[string]*Info)
	for _, e := range entries {
		p := place{day: day, big: strings.HasSuffix(e.Name, bigExt)}
		base, from, ok := disk.ParsePart(e.Name, segExt)
		if p.big {
			base, from, ok = strings.TrimSuffix(e.Name, bigExt), 0, true
		}
		p.base = base
		name := p.name()
		if _, err := parsePlace(name); err != nil || !ok || e.Dir {
			continue
		}
		if byName[name] == nil {
			byName[name] = &Info{Name: name, Day: at}
		}
		byName[name].Size += e.Size - from // a part starts with a hole
	}
	var infos []Info
	for name, info := range byName {
		if size, ok := writing[name]; ok {
			info.Size, info.Open = size, true
		}
		infos = append(infos, *info)
	}
	return infos
}

// Drop removes a segment for good, with everything in it. It refuses one that is being
// written. One that does not exist is no error, so Drop may be repeated.
func (s *Store) Drop(name string) error {
	p, err := parsePlace(name)
	if err != nil {
		return err
	}
	if _, ok := s.writing()[name]; ok {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the segment is being written",
			Cause: fmt.Errorf("drop %s", name)}
	}
	files := []string{p.base + bigExt}
	if !p.big {
		files = nil
		for _, from := range s.layout.starts(name) {
			files = append(files, disk.Log{Base: p.base, Ext: segExt}.Part(from))
		}
	}
	for _, file := range files {
		if err := s.opts.FS.Remove(s.path(p.day, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk.Fail("drop "+name, err)
		}
	}
	err = s.opts.FS.SyncDir(filepath.Join(s.opts.Dir, p.day))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return disk.Fail("drop "+name, err)
	}
	s.layout.forget(name)
	s.dropDay(p.day)
	return nil
}

// dropDay removes the folder of an earlier day when nothing is left in it.
func (s *Store) dropDay(day string) {
	s.mu.Lock() // nobody makes a segment there meanwhile
	defer s.mu.Unlock()
	if day >= dayOf(s.opts.Clock()) {
		return
	}
	if err := s.opts.FS.Remove(filepath.Join(s.opts.Dir, day)); err != nil {
		return // something is left in it, or it is gone
	}
	if err := s.opts.FS.SyncDir(s.opts.Dir); err != nil {
		s.opts.Log.Warn("folder of a day may come back after a crash", "day", day, "error", err)
	}
}

// Verify reads everything that is on the disk, without keys, and yields what is
// damaged. What is written meanwhile is left out. An error of yield ends it and is
// returned; so is that of ctx.
func (s *Store) Verify(ctx context.Context, yield func(Damage) error) error {
	infos, err := s.Segments()
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := ctx.Err(); err != nil {
			return err
		}
		damage, err := s.verify(info)
		if err != nil {
			return err
		}
		for _, d := range damage {
			if err := yield(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// verify reads one segment.
func (s *Store) verify(info Info) ([]Damage, error) {
	p, err := parsePlace(info.Name)
	if err != nil {
		return nil, err
	}
	if p.big {
		return s.verifyFile(info.Name, p.day, p.base+bigExt, func(f disk.File, size int64) []Damage {
			return scanBig(f, info.Name, size)
		})
	}
	var all []Damage
	starts := s.layout.starts(info.Name)
	if starts[0] > 0 {
		all = append(all, Damage{Segment: info.Name, Length: starts[0], What: "the file is missing"})
	}
	for i, from := range starts {
		end, last := int64(-1), i+1 == len(starts)
		switch {
		case !last:
			end = starts[i+1]
		case info.Open:
			end = info.Size
		}
		file := disk.Log{Base: p.base, Ext: segExt}.Part(from)
		damage, err := s.verifyFile(info.Name, p.day, file, func(f disk.File, size int64) []Damage {
			return verifyPart(f, info.Name, from, end, size)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, damage...)
	}
	return all, nil
}

// verifyPart reads a part from from to end, or, with end -1, to its end mark.
func verifyPart(f disk.File, segment string, from, end, size int64) []Damage {
	to := size
	if end >= 0 {
		to = min(size, end)
	}
	sv := scan(f, segment, from, to, func(header) {})
	switch {
	case end < 0 && !sv.ended:
		sv.note(segment, sv.end, max(size-sv.end, 0), errors.New("the end mark is missing, so the file may have been cut off"))
	case end >= 0 && sv.end < end:
		sv.note(segment, sv.end, end-sv.end, errors.New("the bytes are missing"))
	}
	return sv.damage
}

// verifyFile opens a file and lets check read it.
func (s *Store) verifyFile(segment, day, file string, check func(disk.File, int64) []Damage) ([]Damage, error) {
	f, err := s.opts.FS.Open(s.path(day, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // dropped since it was listed
	}
	if err != nil {
		return nil, disk.Fail("verify "+segment, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, disk.Fail("verify "+segment, err)
	}
	return check(f, size), nil
}

// Move puts the same body, with its key and sum, where today's bodies go, and returns
// where it lies now. The sealed bytes are copied, so it needs no key. The old place
// stays until Drop. Like Put it needs a Sync, but a big body is there when it returns.
func (s *Store) Move(t doppelboden.TenantID, b doppelboden.Body) (doppelboden.Body, error) {
	p, err := parsePlace(b.Segment)
	if err != nil {
		return doppelboden.Body{}, err
	}
	if p.big {
		return s.moveBig(b, p)
	}
	h, rec, err := s.record(p, t, b, source{open: s.openAt})
	if err != nil {
		return doppelboden.Body{}, err
	}
	moved := b
	// The same key, nonce and plain bytes give the same sealed bytes: nothing is sealed
	// twice with one nonce.
	if moved.Segment, moved.Offset, err = s.append(h, rec); err != nil {
		return doppelboden.Body{}, disk.Fail("move body", err)
	}
	return moved, nil
}

// moveBig gives a big body's file a second name in today's folder. That costs nothing,
// and Drop of the old name leaves the new one.
func (s *Store) moveBig(b doppelboden.Body, p place) (doppelboden.Body, error) {
	to := place{day: dayOf(s.opts.Clock()), base: newBigName(), big: true}
	if err := s.opts.FS.Mkdir(filepath.Join(s.opts.Dir, to.day)); err != nil {
		return doppelboden.Body{}, disk.Fail("move body", err)
	}
	err := s.opts.FS.Link(s.path(p.day, p.base+bigExt), s.path(to.day, to.base+bigExt))
	if errors.Is(err, fs.ErrNotExist) {
		return doppelboden.Body{}, bodyDamage(b, "the file is missing")
	}
	if err == nil {
		err = s.syncDay(to.day)
	}
	if err != nil {
		return doppelboden.Body{}, disk.Fail("move body", err)
	}
	b.Segment = to.name()
	return b, nil
}

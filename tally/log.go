package tally

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"doppelboden/disk"
)

const (
	ext     = ".tally"
	dayForm = "2006-01-02"

	// flushAt is how many bytes of a day wait in memory before they go to the kernel
	// without being asked.
	flushAt = 256 << 10
	// maxHeld bounds what waits in memory while the disk takes nothing: half a million
	// door records. All that time Sync fails, so no message is accepted.
	maxHeld = 16 << 20
)

// A log is a set of day files with records of one size.
type log struct {
	fs     disk.FS
	dir    string
	format format
	clock  func() time.Time
	group  *disk.Group // runs syncAll

	files sync.Mutex // held by what writes to files; taken before mu

	mu     sync.Mutex
	days   map[int64]*day // by the number of the day since 1970
	recent *day           // the one that was used last
	held   int            // bytes in all buffers
	lost   int            // records for which there was no room, since Sync last told
	closed bool
}

// A day is the log of one day.
type day struct {
	number int64
	buf    []byte         // room for a mark, and records that the kernel does not have; or empty
	out    *disk.Appender // nil until the first flush; guarded by log.files
}

// newLog opens the logs in dir and puts in order what a crash left.
func newLog(fsys disk.FS, dir string, f format, clock func() time.Time) (*log, error) {
	l := &log{fs: fsys, dir: dir, format: f, clock: clock, days: make(map[int64]*day)}
	l.group = disk.NewGroup(l.syncAll)
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = fsys.Mkdir(dir); err == nil {
			err = fsys.SyncDir(filepath.Dir(dir))
		}
	}
	if err != nil {
		return nil, disk.Fail("open tally", err)
	}
	for base, starts := range disk.Parts(entries, ext) {
		if _, ok := f.parseDay(base); !ok {
			continue
		}
		if err := l.endAfterCrash(base, starts[len(starts)-1]); err != nil {
			return nil, disk.Fail("open tally "+base, err)
		}
	}
	return l, nil
}

// endAfterCrash cuts what is not a whole record from the end of a day's last part, and
// marks the end. A part that was ended in order is left alone.
func (l *log) endAfterCrash(base string, from int64) error {
	f, err := l.fs.OpenWrite(filepath.Join(l.dir, disk.Log{Base: base, Ext: ext}.Part(from)))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if l.format.isEnded(f, from, size) {
		return nil
	}
	sv, err := l.format.walk(f, from, size, func([]byte) error { return nil })
	if err != nil {
		return err
	}
	if len(sv.unread) > 0 {
		return errors.Join(sv.unread...) // cutting now might cut off what is only unreadable
	}
	if err := f.Truncate(sv.end); err != nil {
		return err
	}
	mark := make([]byte, l.format.size)
	l.format.mark(mark, kindEnd, sv.synced)
	if _, err := f.WriteAt(mark, sv.end); err != nil {
		return err
	}
	// So that a power cut soon after does not take what readers see now.
	return f.Sync()
}

// dayNumber returns the number of the day of at since 1970, in UTC.
func dayNumber(at time.Time) int64 {
	sec := at.Unix()
	n := sec / 86400
	if sec%86400 < 0 {
		n--
	}
	return n
}

// add lets fill write one record for the time at. It does no more than copy, unless
// much has gathered.
func (l *log) add(at time.Time, fill func(rec []byte)) {
	number := dayNumber(at)
	l.mu.Lock()
	if l.closed || l.held+l.format.size > maxHeld {
		l.lost++
		l.mu.Unlock()
		return
	}
	d := l.recent
	if d == nil || d.number != number {
		if d = l.days[number]; d == nil {
			d = &day{number: number}
			l.days[number] = d
		}
		l.recent = d
	}
	if len(d.buf) == 0 {
		d.buf = append(d.buf, l.format.room...)
	}
	n := len(d.buf)
	d.buf = slices.Grow(d.buf, l.format.size)[:n+l.format.size]
	rec := d.buf[n:]
	clear(rec)
	fill(rec)
	l.format.sign(rec)
	l.held += l.format.size
	full := n/flushAt != (n+l.format.size)/flushAt
	l.mu.Unlock()
	if full {
		_ = l.flush() // what can't be written stays, and Sync reports it
	}
}

// flush gives everything that waits to the kernel.
func (l *log) flush() error {
	l.files.Lock()
	defer l.files.Unlock()
	var failed error
	for _, d := range l.snapshot() {
		if err := l.flushDay(d); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// snapshot returns the days in order.
func (l *log) snapshot() []*day {
	l.mu.Lock()
	defer l.mu.Unlock()
	days := make([]*day, 0, len(l.days))
	for _, d := range l.days {
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b *day) int { return int(a.number - b.number) })
	return days
}

// flushDay gives what waits of one day to the kernel, or keeps it. The caller holds
// files.
func (l *log) flushDay(d *day) error {
	l.mu.Lock()
	buf := d.buf
	d.buf = nil
	l.mu.Unlock()
	if len(buf) == 0 {
		return nil
	}
	err := l.write(d, buf)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if len(d.buf) > 0 {
			buf = append(buf, d.buf[l.format.size:]...)
		}
		d.buf = buf
		return err
	}
	l.held -= len(buf) - l.format.size
	if d.buf == nil && cap(buf) <= 2*flushAt {
		d.buf = buf[:0] // for the next records
	}
	return nil
}

// write appends buf to a day's file, which it makes when there is none.
func (l *log) write(d *day, buf []byte) error {
	if d.out == nil {
		if err := l.begin(d); err != nil {
			return err
		}
	}
	// The Appender keeps what is not synced; who never syncs must not fill the memory.
	if pos, synced := d.out.Pos(); pos-synced > maxHeld {
		if err := d.out.Sync(); err != nil {
			return err
		}
	}
	_, err := d.out.Append(func(_, synced int64) []byte {
		l.format.mark(buf, kindMark, synced)
		return buf
	})
	return err
}

// begin makes the part of a day's log that this process writes.
func (l *log) begin(d *day) error {
	entries, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	file := disk.Log{Dir: l.dir, Base: l.format.base(d.number), Ext: ext}
	var from int64
	if starts := disk.Parts(entries, ext)[file.Base]; len(starts) > 0 {
		if from, err = l.confirmEnd(file, starts[len(starts)-1]); err != nil {
			return err
		}
	}
	d.out, err = disk.NewAppender(l.fs, file, from, nil, nil)
	return err
}

// confirmEnd returns where a day's last part ends, which has its end mark already. It
// writes the mark once more: what a file shows after a failed sync need not be on the
// disk, and the next part counts from there.
func (l *log) confirmEnd(file disk.Log, from int64) (int64, error) {
	f, err := l.fs.OpenWrite(filepath.Join(l.dir, file.Part(from)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	mark := make([]byte, l.format.size)
	if !l.format.isEnded(f, from, size) {
		return 0, fmt.Errorf("the end mark of %s is missing", file.Part(from))
	}
	if _, err := f.ReadAt(mark, size-int64(len(mark))); err != nil {
		return 0, err
	}
	if _, err := f.WriteAt(mark, size-int64(len(mark))); err != nil {
		return 0, err
	}
	return size, f.Sync()
}

// sync returns nil when everything that was added before the call is on the disk.
func (l *log) sync() error { return l.group.Do() }

// syncAll flushes and syncs all days, and ends those that are over.
func (l *log) syncAll() error {
	failed := l.flush()
	for _, d := range l.snapshot() {
		l.files.Lock()
		out := d.out
		l.files.Unlock()
		if out == nil {
			continue
		}
		if err := out.Sync(); err != nil {
			failed = errors.Join(failed, err)
		} else if d.number < dayNumber(l.clock())-1 {
			failed = errors.Join(failed, l.endDay(d))
		}
	}
	l.mu.Lock()
	lost := l.lost
	l.lost = 0
	l.mu.Unlock()
	if lost > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d records were lost, because the disk took nothing for too long or the log was closed", lost))
	}
	return disk.Fail("sync tally "+l.format.name, failed)
}

// endDay writes the end mark of a day for which nothing waits, and forgets the day. A
// record that comes later gets a part of its own.
func (l *log) endDay(d *day) error {
	l.files.Lock()
	defer l.files.Unlock()
	if d.out == nil {
		return nil // nothing was ever flushed, or it was ended
	}
	l.mu.Lock()
	pos, synced := d.out.Pos()
	idle := len(d.buf) == 0 && pos == synced
	if idle {
		delete(l.days, d.number)
		if l.recent == d {
			l.recent = nil
		}
	}
	l.mu.Unlock()
	if !idle {
		return nil // more came meanwhile
	}
	out := d.out
	d.out = nil
	return out.End(func(_, synced int64) []byte {
		mark := make([]byte, l.format.size)
		l.format.mark(mark, kindEnd, synced)
		return mark
	})
}

// close syncs and ends everything. What is added afterwards is lost, and Sync says so.
func (l *log) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	failed := l.sync()
	if failed != nil {
		return failed // it may be repeated
	}
	for _, d := range l.snapshot() {
		failed = errors.Join(failed, l.endDay(d))
	}
	return disk.Fail("close tally "+l.format.name, failed)
}

// prune removes the files of days that ended at or before before.
func (l *log) prune(before time.Time) error {
	if err := l.sync(); err != nil {
		return err
	}
	first := dayNumber(before) // the first day that stays
	for _, d := range l.snapshot() {
		if d.number < first {
			if err := l.endDay(d); err != nil {
				return disk.Fail("prune tally", err)
			}
		}
	}
	l.files.Lock()
	defer l.files.Unlock()
	entries, err := l.fs.List(l.dir)
	if err != nil {
		return disk.Fail("prune tally", err)
	}
	writing := make(map[int64]bool)
	for _, d := range l.snapshot() {
		writing[d.number] = true
	}
	for _, e := range entries {
		base, _, ok := disk.ParsePart(e.Name, ext)
		number, isDay := l.format.parseDay(base)
		if !ok || !isDay || number >= first || writing[number] {
			continue
		}
		if err := l.fs.Remove(filepath.Join(l.dir, e.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk.Fail("prune tally", err)
		}
	}
	return disk.Fail("prune tally", l.fs.SyncDir(l.dir))
}

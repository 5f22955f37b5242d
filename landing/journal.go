package landing

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden/disk"
)

const (
	ext     = ".landing"
	dayForm = "2006-01-02"
)

// A place is where a record begins. Places are ordered by day and offset.
type place struct {
	day    string // of the log, as dayForm has it
	offset int64
}

// before reports whether p comes before o.
func (p place) before(o place) bool {
	return p.day < o.day || p.day == o.day && p.offset < o.offset
}

// A journal is the logs of all days in one folder. One goroutine appends; others read.
type journal struct {
	fs  disk.FS
	dir string

	mu   sync.Mutex
	days []*day // in order
}

// A day is the log of one day.
type day struct {
	base     string
	partsMu  sync.Mutex     // guards parts: a failed sync begins one without the journal's mu
	parts    []int64        // where its files start
	end      int64          // everything before it is on the disk, with all that it refers to
	messages int64          // in the log before end
	taken    int64          // messages in the log, with those behind end
	out      *disk.Appender // nil unless this process writes it
}

// starts returns where its files start.
func (d *day) starts() []int64 {
	d.partsMu.Lock()
	defer d.partsMu.Unlock()
	return slices.Clone(d.parts)
}

// roll returns the log for the day of now, which it begins when the last one is older.
func (j *journal) roll(now time.Time) (*day, error) {
	base := now.UTC().Format(dayForm)
	j.mu.Lock()
	defer j.mu.Unlock()
	var last *day
	if n := len(j.days); n > 0 {
		last = j.days[n-1]
	}
	if last != nil && last.out != nil && base <= last.base { // clocks go back as well
		return last, nil
	}
	if last != nil && last.out != nil {
		if pos, _ := last.out.Pos(); pos != last.end {
			return last, nil // what is not sure yet must be seen through
		}
		// After an error nothing more can be appended to it: the next call begins another log,
		// and this one is read as after a crash.
		out := last.out
		last.out = nil
		if err := out.End(endRecord(last.end, last.messages)); err != nil {
			return nil, err
		}
	}
	if last == nil || base > last.base {
		last = &day{base: base}
		j.days = append(j.days, last)
	}
	return last, j.begin(last)
}

// endRecord makes the record that ends a log.
func endRecord(sure, before int64) func(pos, synced int64) []byte {
	return func(pos, _ int64) []byte { return appendRecord(nil, kindEnd, pos, sure, before, nil) }
}

// begin makes the file that this process writes for d. The caller holds mu.
func (j *journal) begin(d *day) error {
	onPart := func(from int64) {
		// The Appender calls this from Append and Sync, and NewAppender from here.
		d.partsMu.Lock()
		defer d.partsMu.Unlock()
		if n := len(d.parts); n == 0 || d.parts[n-1] != from {
			d.parts = append(d.parts, from)
		}
	}
	out, err := disk.NewAppender(j.fs, disk.Log{Dir: j.dir, Base: d.base, Ext: ext}, d.end, nil, onPart)
	if err != nil {
		return fmt.Errorf("begin the journal of %s: %w", d.base, err)
	}
	d.out = out
	return nil
}

// sure notes that d is on the disk up to end, with the messages up to there.
func (j *journal) sure(d *day, end, messages int64) place {
	j.mu.Lock()
	defer j.mu.Unlock()
	d.end, d.messages = end, messages
	return place{d.base, end}
}

// last returns the end of what is sure.
func (j *journal) last() place {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.days); n > 0 {
		return place{j.days[n-1].base, j.days[n-1].end}
	}
	return place{}
}

// first returns where the oldest log begins.
func (j *journal) first() place {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.days) > 0 {
		return place{day: j.days[0].base}
	}
	return place{}
}

// since returns where the log of t's day begins, or the first one after it.
func (j *journal) since(t time.Time) place {
	base := t.UTC().Format(dayForm)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range j.days {
		if d.base >= base {
			return place{day: d.base}
		}
	}
	if n := len(j.days); n > 0 {
		return place{j.days[n-1].base, j.days[n-1].end}
	}
	return place{}
}

// A span is a day as a reader finds it.
type span struct {
	base  string
	parts []int64
	end   int64
	open  bool   // this process still writes it
	next  string // the day after it, or ""
}

// span returns the day of p, or the first one after it.
func (j *journal) span(p place) (span, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.days, func(d *day) bool { return d.base >= p.day })
	if i < 0 {
		return span{}, false
	}
	d := j.days[i]
	s := span{base: d.base, parts: d.starts(), end: d.end, open: d.out != nil}
	if i+1 < len(j.days) {
		s.next = j.days[i+1].base
	}
	return s, true
}

// messagesAfter returns how many messages are sure behind p, of which before are known to
// lie before p in its log.
func (j *journal) messagesAfter(p place, before int64) (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range j.days {
		switch {
		case d.base > p.day:
			n += d.messages
		case d.base == p.day:
			n += d.messages - before
		}
	}
	return n
}

// prune removes the logs of days before cut that lie wholly before done.
func (j *journal) prune(cut time.Time, done place) error {
	base := cut.UTC().Format(dayForm)
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.days) > 1 { // the last one is written, or was
		d := j.days[0]
		if d.base >= base || d.base >= done.day {
			return nil
		}
		for _, from := range d.starts() {
			name := disk.Log{Base: d.base, Ext: ext}.Part(from)
			if err := j.fs.Remove(filepath.Join(j.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return disk.Fail("remove the journal of "+d.base, err)
			}
		}
		j.days = j.days[1:]
	}
	return nil
}

// close ends the log that is written.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.days) == 0 {
		return nil
	}
	d := j.days[len(j.days)-1]
	if d.out == nil {
		return nil
	}
	if pos, _ := d.out.Pos(); pos != d.end {
		return nil // the next start looks what of it is there
	}
	err := d.out.End(endRecord(d.end, d.messages))
	d.out = nil
	return err
}

// isDay reports whether base names a day.
func isDay(base string) bool {
	t, err := time.Parse(dayForm, base)
	return err == nil && t.Format(dayForm) == base && !strings.Contains(base, "+")
}

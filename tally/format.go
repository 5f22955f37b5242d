package tally

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"doppelboden/disk"
)

// castagnoli is the polynomial of CRC32C, which processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marks are records of the log itself. In the place of the time they say how much of
// the log was on the disk when they were written.
const (
	kindEnd  = 0xff // the log was ended in order, or after a crash
	kindMark = 0xfe // first of what was flushed together
)

// isMark reports whether rec, which is whole, is a mark.
func isMark(rec []byte) bool { return rec[0] == kindEnd || rec[0] == kindMark }

// A format is how the records of one log look. All have their kind in the first byte
// and a CRC32C in the last four. Numbers are big-endian, times are microseconds since
// 1970.
type format struct {
	name string // what files begin with; with the version it is bound to each CRC
	size int    // of a record, in bytes; divides a page, so no record lies across two
	seed uint32 // CRC32C of name and version
	room []byte // of one record, zero
}

// newFormat returns version 1 of a format.
func newFormat(name string, size int) format {
	return format{name: name, size: size, room: make([]byte, size), seed: crc32.Checksum([]byte(name+"/1"), castagnoli)}
}

// sum returns the CRC that rec should have.
func (f format) sum(rec []byte) uint32 { return crc32.Update(f.seed, castagnoli, rec[:f.size-4]) }

// sign writes a record's CRC.
func (f format) sign(rec []byte) { binary.BigEndian.PutUint32(rec[f.size-4:], f.sum(rec)) }

// whole reports whether rec is as sign left it.
func (f format) whole(rec []byte) bool {
	return binary.BigEndian.Uint32(rec[f.size-4:]) == f.sum(rec)
}

// mark writes a mark.
func (f format) mark(rec []byte, kind byte, synced int64) {
	clear(rec[:f.size])
	rec[0] = kind
	binary.BigEndian.PutUint64(rec[timeAt:], uint64(synced))
	f.sign(rec)
}

// base returns the name of a day's log without its ending.
func (f format) base(day int64) string {
	return f.name + "-" + time.Unix(day*86400, 0).UTC().Format(dayForm)
}

// parseDay reads what base made.
func (f format) parseDay(base string) (day int64, ok bool) {
	s, ok := strings.CutPrefix(base, f.name+"-")
	if !ok {
		return 0, false
	}
	t, err := time.Parse(dayForm, s)
	if err != nil || f.base(dayNumber(t)) != base {
		return 0, false
	}
	return dayNumber(t), true
}

// blockSize is how much is lost when a disk cannot read.
const blockSize = 4096

// A survey is what a walk saw in one part of a log.
type survey struct {
	end    int64      // of the last whole record
	ended  bool       // that record is an end mark
	synced int64      // the greatest that marks say was on the disk
	unread []error    // what the disk said where it could not be read
	gaps   [][2]int64 // where there is no record, with a whole one somewhere behind
}

// walk reads records from from to size and calls each for every whole one but marks.
// Its error is that of each.
func (f format) walk(r io.ReaderAt, from, size int64, each func(rec []byte) error) (survey, error) {
	const records = 512
	buf := make([]byte, records*f.size)
	sv := survey{end: from}
	for at := from; at < size; {
		n, rerr := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if rerr != nil && rerr != io.EOF && n < f.size {
			// A block of the disk is gone; look behind it.
			sv.unread = append(sv.unread, fmt.Errorf("read at %d: %w", at, rerr))
			at = (at | (blockSize - 1)) + 1
			continue
		}
		whole := n / f.size * f.size
		for i := 0; i < whole; i += f.size {
			rec, pos := buf[i:i+f.size], at+int64(i)
			if !f.whole(rec) {
				continue
			}
			if pos > sv.end {
				sv.gaps = append(sv.gaps, [2]int64{sv.end, pos})
			}
			sv.end, sv.ended = pos+int64(f.size), rec[0] == kindEnd
			if isMark(rec) {
				sv.synced = max(sv.synced, int64(binary.BigEndian.Uint64(rec[timeAt:])))
				continue
			}
			if err := each(rec); err != nil {
				return sv, err
			}
		}
		if rerr == io.EOF || whole == 0 {
			break
		}
		at += int64(whole)
	}
	return sv, nil
}

// isEnded reports whether a part ends with an end mark; that costs one read.
func (f format) isEnded(r io.ReaderAt, from, size int64) bool {
	at := size - int64(f.size)
	if at < from || at%int64(f.size) != 0 {
		return false
	}
	rec := make([]byte, f.size)
	n, _ := r.ReadAt(rec, at)
	return n == f.size && f.whole(rec) && rec[0] == kindEnd
}

// Damage names bytes of a log that are not what was written. It is an error.
type Damage struct {
	File   string // without the folder
	Offset int64  // in bytes
	Length int64  // in bytes
}

// Error names the damage in one line.
func (d *Damage) Error() string {
	return fmt.Sprintf("tally %s: %d bytes at %d are damaged", d.File, d.Length, d.Offset)
}

// part names one part of a log for a walk.
type part struct {
	file string
	from int64
	to   int64 // the start of the next part; 0: none follows
}

// parts returns the parts of the logs of the days from first to last, in order.
func (f format) parts(entries []disk.Entry, first, last int64) []part {
	logs := disk.Parts(entries, ext)
	var parts []part
	for day := first; day <= last; day++ {
		file := disk.Log{Base: f.base(day), Ext: ext}
		starts := logs[file.Base]
		for i, from := range starts {
			p := part{file: file.Part(from), from: from}
			if i+1 < len(starts) {
				p.to = starts[i+1]
			}
			parts = append(parts, p)
		}
	}
	return parts
}

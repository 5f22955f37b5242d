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

// kindEnd is the first byte of an end mark, whose other bytes are zero.
const kindEnd = 0xff

// A format is how the records of one log look. All have their kind in the first byte
// and a CRC32C in the last four. Numbers are big-endian, times are microseconds since
// 1970.
type format struct {
	name string // what files begin with; with the version it is bound to each CRC
	size int    // of a record, in bytes; divides a page, so no record lies across two
	seed uint32 // CRC32C of name and version
}

// newFormat returns version 1 of a format.
func newFormat(name string, size int) format {
	return format{name: name, size: size, seed: crc32.Checksum([]byte(name+"/1"), castagnoli)}
}

// sum returns the CRC that rec should have.
func (f format) sum(rec []byte) uint32 { return crc32.Update(f.seed, castagnoli, rec[:f.size-4]) }

// sign writes a record's CRC.
func (f format) sign(rec []byte) { binary.BigEndian.PutUint32(rec[f.size-4:], f.sum(rec)) }

// whole reports whether rec is as sign left it.
func (f format) whole(rec []byte) bool {
	return binary.BigEndian.Uint32(rec[f.size-4:]) == f.sum(rec)
}

// end writes an end mark.
func (f format) end(rec []byte) {
	rec[0] = kindEnd
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

// walk reads records from from to size. It calls each for every whole record but end
// marks, and bad for every run of bytes that are no record but have a whole one behind
// them. It returns the end of the last whole record and whether that is an end mark.
func (f format) walk(r io.ReaderAt, from, size int64, each func(rec []byte) error, bad func(offset, length int64) error) (end int64, ended bool, err error) {
	const records = 512
	buf := make([]byte, records*f.size)
	end = from
	for at := from; at < size; {
		n, rerr := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if rerr != nil && rerr != io.EOF {
			return end, ended, rerr
		}
		whole := n / f.size * f.size
		for i := 0; i < whole; i += f.size {
			rec, pos := buf[i:i+f.size], at+int64(i)
			if !f.whole(rec) {
				continue
			}
			if pos > end {
				if err := bad(end, pos-end); err != nil {
					return end, ended, err
				}
			}
			end, ended = pos+int64(f.size), rec[0] == kindEnd
			if ended {
				continue
			}
			if err := each(rec); err != nil {
				return end, ended, err
			}
		}
		if rerr == io.EOF || whole == 0 {
			break
		}
		at += int64(whole)
	}
	return end, ended, nil
}

// lastRecord returns where the last whole record ends, and whether it is an end mark.
func (f format) lastRecord(r io.ReaderAt, from, size int64) (end int64, ended bool, err error) {
	if at := size - int64(f.size); at >= from && (at-from)%int64(f.size) == 0 {
		// The usual case costs one read.
		rec := make([]byte, f.size)
		if n, _ := r.ReadAt(rec, at); n == f.size && f.whole(rec) && rec[0] == kindEnd {
			return size, true, nil
		}
	}
	return f.walk(r, from, size, func([]byte) error { return nil }, func(int64, int64) error { return nil })
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

package segment

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A survey is what a scan saw in one part of a segment.
type survey struct {
	records int      // whole bodies
	end     int64    // of the last whole record or the last byte that is not zero
	synced  int64    // the greatest synced of all headers
	ended   bool     // the last thing is an end mark
	damage  []Damage // by Offset
}

// What can be wrong with a record.
var (
	errHeader = errors.New("no valid header")
	errCut    = errors.New("the record is cut off")
	errData   = errors.New("the checksum is wrong")
)

// scan reads a part of a segment from from to size, and names what is not a whole
// record and not the room that is reserved at the end. It needs no keys. It calls each
// for every whole body; a range that cannot be read is damage.
//
// Damage that starts behind everything that any header knows to have been synced is
// torn: see Damage. The last headers before a crash know nothing of their own sync, so
// damage to the very last acknowledged records looks torn here; their readers name it.
func scan(r io.ReaderAt, segment string, from, size int64, each func(header)) survey {
	sv := survey{end: from}
	buf := make([]byte, headerSize+MaxRecord+tagSize)
	for pos := from; pos < size; {
		h, err := readRecord(r, buf, pos, size)
		length := headerSize + int64(h.length)
		if errors.Is(err, errHeader) || errors.Is(err, errCut) {
			next, nonzero := resync(r, pos, size)
			if next == size && nonzero <= pos {
				break // the room that was reserved
			}
			length = next - pos
			if next == size {
				length = nonzero - pos
			}
			sv.note(segment, pos, length, err)
			pos = next
			continue
		}
		sv.synced = max(sv.synced, h.synced)
		if err != nil {
			sv.note(segment, pos, length, err)
		} else {
			sv.end, sv.ended = pos+length, h.kind == kindEnd
			if h.kind == kindBody {
				sv.records++
				each(h)
			}
		}
		pos += length
	}
	for i := range sv.damage {
		sv.damage[i].Torn = sv.damage[i].Offset >= sv.synced
	}
	return sv
}

// note adds damage.
func (sv *survey) note(segment string, offset, length int64, err error) {
	sv.damage = append(sv.damage, Damage{Segment: segment, Offset: offset, Length: length, What: err.Error()})
	sv.end, sv.ended = offset+length, false
}

// readRecord reads and checks the record at pos into buf. Its header is valid unless
// the error is errHeader.
func readRecord(r io.ReaderAt, buf []byte, pos, size int64) (header, error) {
	if pos+headerSize > size {
		return header{}, errHeader
	}
	if n, err := r.ReadAt(buf[:headerSize], pos); n < headerSize {
		return header{}, fmt.Errorf("%w: %w", errHeader, err)
	}
	h, ok := parseHeader(buf, pos)
	if !ok || h.kind == kindBig {
		return header{}, errHeader
	}
	end := headerSize + int64(h.length)
	if pos+end > size {
		return h, errCut
	}
	if n, err := r.ReadAt(buf[headerSize:end], pos+headerSize); n < int(h.length) {
		return h, fmt.Errorf("cannot be read: %w", err)
	}
	if crc32.Checksum(buf[headerSize:end], castagnoli) != h.crc {
		return h, errData
	}
	return h, nil
}

// resync returns where, after pos, the next valid header lies, or size; and the end of
// the last byte between pos and there that is not zero (what cannot be read is not).
func resync(r io.ReaderAt, pos, size int64) (next, nonzero int64) {
	const overlap = headerSize - 1 // a header may lie across two blocks
	block := make([]byte, 256<<10)
	nonzero = pos
	for at := pos; at < size; {
		b := block[:min(int64(len(block)), size-at)]
		n, err := r.ReadAt(b, at)
		if n == 0 && errors.Is(err, io.EOF) {
			break
		}
		if n == 0 {
			at = min(size, (at|4095)+1) // a block of the disk is gone; look behind it
			nonzero = at
			continue
		}
		b = b[:n]
		if i := findHeader(b, at, pos+1); i >= 0 {
			if end := len(bytes.TrimRight(b[:i], "\x00")); end > 0 {
				nonzero = at + int64(end)
			}
			return at + int64(i), nonzero
		}
		if end := len(bytes.TrimRight(b, "\x00")); end > 0 {
			nonzero = at + int64(end)
		}
		seen := at + int64(n)
		if seen >= size {
			break
		}
		at = max(at+1, seen-overlap)
	}
	return size, nonzero
}

// findHeader returns the index in b, which lies at offset at, of the first valid header
// that is not before offset least, or -1.
func findHeader(b []byte, at, least int64) int {
	for i := int(max(least-at, 0)); i+headerSize <= len(b); i++ {
		j := bytes.Index(b[i:], magic[:])
		if j < 0 {
			return -1
		}
		i += j
		if h, ok := parseHeader(b[i:], at+int64(i)); ok && h.kind != kindBig {
			return i
		}
	}
	return -1
}

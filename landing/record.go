package landing

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"doppelboden"
	"doppelboden/store"
)

// A record begins at a multiple of align with a header of headerSize bytes, numbers
// big-endian:
//
//	0 magic, 4   4 kind, 1   8 payload length, 4   12 CRC32C of all else, 4
//	16 offset in the log, 8   24 sure, 8   32 messages in the log before it, 8
//
// and goes on with the payload and zeros up to the next multiple. Everything before sure
// was on the disk, with all that it refers to, when the record was written.
const (
	headerSize = 40
	align      = 8
	// maxPayload bounds what a reader believes. A message for 100,000 members of a list
	// takes some 10 MB.
	maxPayload = 256 << 20
)

var magic = [4]byte{'D', 'B', 'L', '1'}

const (
	kindCommit byte = 1 // a link and its messages
	kindEnd    byte = 2 // the log ends here, in order or after a crash
	kindProbe  byte = 3 // nothing: whether the disk takes writes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A header is what stands before a payload.
type header struct {
	kind   byte
	length int // of the payload, in bytes
	crc    uint32
	offset int64
	sure   int64
	before int64 // messages in the log before this record
}

// appendRecord appends a record with the payload.
func appendRecord(b []byte, kind byte, offset, sure, before int64, payload []byte) []byte {
	at := len(b)
	var h [headerSize]byte
	copy(h[:], magic[:])
	h[4] = kind
	binary.BigEndian.PutUint32(h[8:], uint32(len(payload)))
	binary.BigEndian.PutUint64(h[16:], uint64(offset))
	binary.BigEndian.PutUint64(h[24:], uint64(sure))
	binary.BigEndian.PutUint64(h[32:], uint64(before))
	b = append(append(b, h[:]...), payload...)
	binary.BigEndian.PutUint32(b[at+12:], sumOf(b[at:]))
	for len(b)%align != 0 { // b begins empty or with whole records
		b = append(b, 0)
	}
	return b
}

// sumOf returns the checksum of a header and its payload.
func sumOf(rec []byte) uint32 {
	return crc32.Update(crc32.Checksum(rec[:12], castagnoli), castagnoli, rec[16:])
}

// parseHeader reads a header that stands at offset of its log.
func parseHeader(b []byte, offset int64) (header, bool) {
	if len(b) < headerSize || [4]byte(b[:4]) != magic || b[5]|b[6]|b[7] != 0 {
		return header{}, false
	}
	h := header{
		kind: b[4], length: int(binary.BigEndian.Uint32(b[8:])), crc: binary.BigEndian.Uint32(b[12:]),
		offset: int64(binary.BigEndian.Uint64(b[16:])), sure: int64(binary.BigEndian.Uint64(b[24:])),
		before: int64(binary.BigEndian.Uint64(b[32:])),
	}
	return h, h.offset == offset && h.length <= maxPayload
}

// end returns where the next record begins.
func (h header) end() int64 {
	n := h.offset + headerSize + int64(h.length)
	return (n + align - 1) / align * align
}

// readRecord reads the record at offset. ok is false when there is none or it is damaged;
// the error is the disk's.
func readRecord(r io.ReaderAt, offset int64) (h header, payload []byte, ok bool, err error) {
	var b [headerSize]byte
	if n, err := r.ReadAt(b[:], offset); n < len(b) {
		return header{}, nil, false, notEOF(err)
	}
	h, ok = parseHeader(b[:], offset)
	if !ok {
		return header{}, nil, false, nil
	}
	rec := make([]byte, headerSize+h.length)
	if n, err := r.ReadAt(rec, offset); n < len(rec) {
		return header{}, nil, false, notEOF(err)
	}
	if sumOf(rec) != h.crc {
		return header{}, nil, false, nil
	}
	return h, rec[headerSize:], true, nil
}

// notEOF returns err unless it says that the file ends.
func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// appendLanded appends the payload of a commit. messages are as appendMessage wrote them.
func appendLanded(b []byte, l *doppelboden.Link, messages [][]byte) []byte {
	b = append(b, codecVersion)
	b = appendTexts(b, l.Chain)
	b = appendInts(b, l.Number, micros(l.At), int64(len(messages)))
	b = append(append(append(b, l.Prev[:]...), l.Root[:]...), l.Hash[:]...)
	b = appendBytes(b, l.Entries)
	for _, m := range messages {
		b = appendBytes(b, m)
	}
	return b
}

// decodeLink reads the link of a payload and how many messages go with it, and returns a
// decoder for them.
func decodeLink(payload []byte) (l doppelboden.Link, messages int, d *decoder) {
	d = &decoder{b: payload}
	if len(payload) == 0 || payload[0] < codecFirst || payload[0] > codecVersion {
		d.fail()
		return l, 0, d
	}
	d.b, d.version = d.b[1:], payload[0]
	l.Chain, l.Number, l.At, messages = d.text(), d.int(), d.time(), d.count()
	d.fixed(l.Prev[:])
	d.fixed(l.Root[:])
	d.fixed(l.Hash[:])
	l.Entries = d.bytes()
	return l, messages, d
}

// decodeLanded reads a payload.
func decodeLanded(payload []byte) (store.Landed, error) {
	l, n, d := decodeLink(payload)
	landed := store.Landed{Link: l}
	for range n {
		one := &decoder{b: d.bytes(), version: d.version}
		if d.err != nil {
			break
		}
		m := one.message()
		if one.err != nil {
			return store.Landed{}, one.err
		}
		landed.Messages = append(landed.Messages, m)
	}
	return landed, d.err
}

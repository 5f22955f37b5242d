package segment

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"doppelboden"
	"doppelboden/disk"
)

// A bigReader gives out a big body chunk by chunk.
type bigReader struct {
	tenant doppelboden.TenantID
	body   doppelboden.Body
	file   disk.File
	aead   cipher.AEAD
	sum    hash.Hash
	pos    int64  // where the next chunk lies
	left   int64  // plain bytes that are still to come
	count  uint64 // chunks read
	buf    []byte // room for one sealed chunk
	plain  []byte // what was not given out yet
	err    error  // what every further Read returns
}

// openBig opens a big body.
func (s *Store) openBig(t doppelboden.TenantID, b doppelboden.Body, p place, key *[32]byte) (io.ReadCloser, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, disk.Fail("read body", err)
	}
	f, err := s.openAt(p, b)
	if err != nil {
		return nil, err
	}
	r := &bigReader{tenant: t, body: b, file: f, aead: aead, sum: sha256.New(), left: b.Size,
		buf: make([]byte, chunkHead+chunkPlain+tagSize)}
	if err := r.begin(); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// begin checks the file's header.
func (r *bigReader) begin() error {
	if r.body.Size < 0 || r.body.Offset != 0 {
		return bodyDamage(r.body, "its size or place cannot be")
	}
	if err := r.read(r.buf[:headerSize]); err != nil {
		return err
	}
	h, ok := parseHeader(r.buf, 0)
	if !ok || h.kind != kindBig || h.length != chunkPlain {
		return r.damage(headerSize, errHeader.Error())
	}
	if h.tenant != r.tenant {
		return r.damage(headerSize, "it belongs to another tenant")
	}
	r.pos = headerSize
	return nil
}

// read fills b from the file at pos.
func (r *bigReader) read(b []byte) error {
	n, err := r.file.ReadAt(b, r.pos)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return r.damage(int64(len(b)), "the file ends before it")
	}
	return disk.Fail(fmt.Sprintf("read %s at %d", r.body.Segment, r.pos), err)
}

// damage names what is wrong at pos.
func (r *bigReader) damage(length int64, what string) error {
	return &Damage{Segment: r.body.Segment, Offset: r.pos, Length: length, What: what}
}

// Read implements io.Reader. What it gives out is verified; that nothing is missing is
// known when it returns io.EOF.
func (r *bigReader) Read(p []byte) (int, error) {
	for len(r.plain) == 0 && r.err == nil {
		r.plain, r.err = r.next()
	}
	if len(r.plain) == 0 {
		return 0, r.err
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// next reads and verifies the next chunk. With the last it returns io.EOF.
func (r *bigReader) next() ([]byte, error) {
	last := r.left <= chunkPlain
	size := min(r.left, chunkPlain)
	buf := r.buf[:chunkHead+size+tagSize]
	if err := r.read(buf); err != nil {
		return nil, err
	}
	sealed := buf[chunkHead:]
	if int(binary.BigEndian.Uint32(buf)) != len(sealed) {
		return nil, r.damage(int64(len(buf)), "the chunk's length is not that of the message")
	}
	if crc32.Checksum(sealed, castagnoli) != binary.BigEndian.Uint32(buf[4:]) {
		return nil, r.damage(int64(len(buf)), errData.Error())
	}
	nonce, bound := chunkNonce(r.count, last), additional(r.tenant, chunkPlain)
	plain, err := r.aead.Open(sealed[:0], nonce[:], sealed, bound[:])
	if err != nil {
		return nil, r.damage(int64(len(buf)), "the seal is broken")
	}
	r.sum.Write(plain)
	r.pos += int64(len(buf))
	r.left -= size
	r.count++
	if !last {
		return plain, nil
	}
	if [32]byte(r.sum.Sum(nil)) != r.body.Sum {
		return nil, bodyDamage(r.body, "the sum is not that of the message")
	}
	return plain, io.EOF
}

// Close implements io.Closer.
func (r *bigReader) Close() error { return r.file.Close() }

// scanBig checks a big file without its key.
func scanBig(r io.ReaderAt, segment string, size int64) []Damage {
	var damage []Damage
	note := func(offset, length int64, what string) {
		damage = append(damage, Damage{Segment: segment, Offset: offset, Length: length, What: what})
	}
	buf := make([]byte, chunkHead+chunkPlain+tagSize)
	if n, _ := r.ReadAt(buf[:headerSize], 0); n < headerSize {
		note(0, min(size, headerSize), errHeader.Error())
		return damage
	}
	if h, ok := parseHeader(buf, 0); !ok || h.kind != kindBig || h.length != chunkPlain {
		note(0, headerSize, errHeader.Error()) // the chunks may still be whole
	}
	// Every chunk but the last has the same size, so damage hides nothing behind it.
	end := size - headerSize
	for pos := int64(headerSize); pos < end; {
		want := min(end-pos, int64(len(buf)))
		b := buf[:want]
		n, err := r.ReadAt(b, pos)
		switch {
		case n < len(b):
			note(pos, want, fmt.Sprintf("cannot be read: %v", err))
		case want < chunkHead+tagSize || int64(binary.BigEndian.Uint32(b)) != want-chunkHead:
			note(pos, want, "the chunk's length is wrong")
		case crc32.Checksum(b[chunkHead:], castagnoli) != binary.BigEndian.Uint32(b[4:]):
			note(pos, want, errData.Error())
		}
		pos += want
	}
	if n, _ := r.ReadAt(buf[:headerSize], max(end, 0)); n < headerSize {
		note(max(end, 0), headerSize, errHeader.Error())
	} else if h, ok := parseHeader(buf, end); !ok || h.kind != kindEnd {
		note(end, headerSize, "the end mark is missing")
	}
	return damage
}

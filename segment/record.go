package segment

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"doppelboden"
)

const (
	headerSize = 48
	tagSize    = 16 // of AES-GCM
	version    = 1

	kindBody byte = 1 // a sealed body follows
	kindEnd  byte = 2 // nothing follows: the segment was ended in order
	kindBig  byte = 3 // the header of a big file

	// MaxRecord is the largest body, in bytes, that gets a record; a larger one gets a
	// file of its own. A record is read and checked whole, so it should fit in memory
	// many times over.
	MaxRecord = 256 << 10
)

// magic starts every header. It holds bytes that no text has.
var magic = [4]byte{0xdb, 'S', 'E', 'G'}

// castagnoli is the polynomial of CRC32C, which processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A header is the fixed start of a record.
//
//	 0 magic      4 version, 1   5 kind, 1   6 zero, 2
//	 8 tenant, 8  16 offset, 8   24 synced, 8
//	32 length, 4  36 data CRC, 4 40 zero, 4  44 header CRC, 4
type header struct {
	kind   byte
	tenant doppelboden.TenantID
	offset int64  // where this header lies in its file
	synced int64  // how much of the file was on the disk when this was written
	length uint32 // of the sealed bytes that follow; for kindBig, of a plain chunk
	crc    uint32 // CRC32C of the sealed bytes
}

// put writes h into b, which has headerSize bytes.
func (h header) put(b []byte) {
	clear(b[:headerSize])
	copy(b, magic[:])
	b[4], b[5] = version, h.kind
	binary.BigEndian.PutUint64(b[8:], uint64(h.tenant))
	binary.BigEndian.PutUint64(b[16:], uint64(h.offset))
	binary.BigEndian.PutUint64(b[24:], uint64(h.synced))
	binary.BigEndian.PutUint32(b[32:], h.length)
	binary.BigEndian.PutUint32(b[36:], h.crc)
	binary.BigEndian.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
}

// parseHeader reads the header that lies at offset. It reports false for anything that
// put did not write for this offset.
func parseHeader(b []byte, offset int64) (header, bool) {
	if len(b) < headerSize || !bytes.Equal(b[:4], magic[:]) || b[4] != version ||
		crc32.Checksum(b[:44], castagnoli) != binary.BigEndian.Uint32(b[44:]) {
		return header{}, false
	}
	h := header{
		kind:   b[5],
		tenant: doppelboden.TenantID(binary.BigEndian.Uint64(b[8:])),
		offset: int64(binary.BigEndian.Uint64(b[16:])),
		synced: int64(binary.BigEndian.Uint64(b[24:])),
		length: binary.BigEndian.Uint32(b[32:]),
		crc:    binary.BigEndian.Uint32(b[36:]),
	}
	if h.offset != offset || h.synced < 0 || h.synced > offset {
		return header{}, false
	}
	switch h.kind {
	case kindBody:
		return h, h.length >= tagSize && h.length <= MaxRecord+tagSize
	case kindEnd:
		return h, h.length == 0
	case kindBig:
		return h, h.length > 0 && h.length <= maxChunk
	}
	return header{}, false
}

// newAEAD returns the cipher for one body.
func newAEAD(key *[32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("body cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("body cipher: %w", err)
	}
	return aead, nil
}

// recordNonce is the nonce of every record: its key seals nothing else.
var recordNonce [12]byte

// additional returns what is bound to a record's ciphertext without being in it.
func additional(t doppelboden.TenantID, size int64) [17]byte {
	var b [17]byte
	b[0] = version
	binary.BigEndian.PutUint64(b[1:], uint64(t))
	binary.BigEndian.PutUint64(b[9:], uint64(size))
	return b
}

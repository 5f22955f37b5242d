package segment

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"sync"

	"doppelboden"
	"doppelboden/disk"
)

// buffers are where records are sealed. Most bodies are far below MaxRecord, so there
// is a pool for the small ones and one for the rest.
type buffers struct {
	small, large sync.Pool
}

const smallBuffer = 16 << 10

// get returns a buffer of n bytes.
func (p *buffers) get(n int) *[]byte {
	pool, size := &p.small, smallBuffer
	if n > smallBuffer {
		pool, size = &p.large, headerSize+MaxRecord+tagSize
	}
	b, ok := pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, size)
		b = &fresh
	}
	*b = (*b)[:n]
	return b
}

// put gives a buffer back.
func (p *buffers) put(b *[]byte) {
	if cap(*b) == smallBuffer {
		p.small.Put(b)
	} else {
		p.large.Put(b)
	}
}

// Put keeps plain and returns where it lies; Sync makes that durable. It does not keep
// plain. A body of more than MaxRecord bytes goes into a file of its own, as with
// Create. Errors are Temporary or StorageFull; after one, nothing is kept, and the
// store takes bodies again as soon as the disk does.
func (s *Store) Put(t doppelboden.TenantID, plain []byte) (doppelboden.Body, error) {
	if len(plain) > MaxRecord {
		return s.putBig(t, plain)
	}
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	wrapped, keyVersion, err := s.opts.Keys.Wrap(t, &key)
	if err != nil {
		return doppelboden.Body{}, disk.Fail("wrap body key", err)
	}
	aead, err := newAEAD(&key)
	if err != nil {
		return doppelboden.Body{}, disk.Fail("put body", err)
	}
	body := doppelboden.Body{Size: int64(len(plain)), Key: wrapped, KeyVersion: keyVersion,
		Sum: sha256.Sum256(plain)}

	buf := s.buffers.get(headerSize + len(plain) + tagSize)
	defer s.buffers.put(buf)
	rec := *buf
	bound := additional(t, body.Size)
	sealed := aead.Seal(rec[headerSize:headerSize], recordNonce[:], plain, bound[:])
	h := header{kind: kindBody, tenant: t, length: uint32(len(sealed)),
		crc: crc32.Checksum(sealed, castagnoli)}
	if body.Segment, body.Offset, err = s.append(h, rec); err != nil {
		return doppelboden.Body{}, disk.Fail("put body", err)
	}
	return body, nil
}

// putBig keeps a body that is too large for a record.
func (s *Store) putBig(t doppelboden.TenantID, plain []byte) (doppelboden.Body, error) {
	w, err := s.Create(t)
	if err != nil {
		return doppelboden.Body{}, err
	}
	defer w.Abort()
	if _, err := w.Write(plain); err != nil {
		return doppelboden.Body{}, err
	}
	return w.Close()
}

// append writes rec, whose first bytes are left free for h, into the open segment.
func (s *Store) append(h header, rec []byte) (segment string, offset int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.open(len(rec))
	if err != nil {
		return "", 0, err
	}
	if pos, synced := w.Pos(); pos-synced > maxUnsynced {
		s.mu.Unlock()
		err := s.Sync()
		s.mu.Lock()
		if err != nil {
			return "", 0, err
		}
		if w, err = s.open(len(rec)); err != nil {
			return "", 0, err
		}
	}
	offset, err = w.Append(func(pos, synced int64) []byte {
		h.offset, h.synced = pos, synced
		h.put(rec)
		return rec
	})
	return w.name, offset, err
}

package segment

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"doppelboden"
	"doppelboden/disk"
)

// Reader gives the plain bytes of a body, which must be the tenant's. They are verified
// before they are given out: a body of a record as a whole, before Reader returns; a
// big body chunk by chunk, and its end and sum at its end, so that io.EOF is what says
// that it was whole. An error about the bytes has a *Damage in its tree that names
// where.
func (s *Store) Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	p, key, err := s.find(t, b)
	if err != nil {
		return nil, err
	}
	if p.big {
		return s.openBig(t, b, p, &key)
	}
	plain, err := s.plain(t, b, p, &key, source{open: s.openAt})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(plain)), nil
}

// A source is where a record comes from, and where it goes.
type source struct {
	open func(place, doppelboden.Body) (disk.File, error) // the file
	room []byte                                           // used where the record fits into it
}

// find finds out where a body is, and its key.
func (s *Store) find(t doppelboden.TenantID, b doppelboden.Body) (p place, key [32]byte, err error) {
	if p, err = parsePlace(b.Segment); err != nil {
		return p, key, err
	}
	if key, err = s.opts.Keys.Unwrap(t, b.KeyVersion, b.Key); err != nil {
		return p, key, disk.Fail("unwrap key of body in "+b.Segment, err)
	}
	return p, key, nil
}

// plain reads and verifies a body of a record.
func (s *Store) plain(t doppelboden.TenantID, b doppelboden.Body, p place, key *[32]byte, from source) ([]byte, error) {
	_, rec, err := s.record(p, t, b, from)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, disk.Fail("read body", err)
	}
	sealed, bound := rec[headerSize:], additional(t, b.Size)
	plain, err := aead.Open(sealed[:0], recordNonce[:], sealed, bound[:])
	if err != nil {
		return nil, bodyDamage(b, "the seal is broken")
	}
	if sha256.Sum256(plain) != b.Sum {
		return nil, bodyDamage(b, "the sum is not that of the message")
	}
	return plain, nil
}

// record reads a body's record and checks everything that needs no key.
func (s *Store) record(p place, t doppelboden.TenantID, b doppelboden.Body, from source) (header, []byte, error) {
	if b.Size < 0 || b.Size > MaxRecord || b.Offset < 0 {
		return header{}, nil, bodyDamage(b, "its size or place cannot be")
	}
	f, err := from.open(p, b)
	if err != nil {
		return header{}, nil, err
	}
	defer f.Close()
	rec := from.room
	if size := headerSize + int(b.Size) + tagSize; size <= cap(rec) {
		rec = rec[:size]
	} else {
		rec = make([]byte, size)
	}
	if n, err := f.ReadAt(rec, b.Offset); n < len(rec) {
		if err == io.EOF {
			return header{}, nil, bodyDamage(b, "the file ends before it")
		}
		return header{}, nil, disk.Fail(fmt.Sprintf("read %s at %d", b.Segment, b.Offset), err)
	}
	h, ok := parseHeader(rec, b.Offset)
	switch {
	case !ok || h.kind != kindBody:
		return header{}, nil, bodyDamage(b, errHeader.Error())
	case h.tenant != t:
		return header{}, nil, bodyDamage(b, "it belongs to another tenant")
	case int64(h.length) != b.Size+tagSize:
		return header{}, nil, bodyDamage(b, "its length is not that of the message")
	case crc32.Checksum(rec[headerSize:], castagnoli) != h.crc:
		return header{}, nil, bodyDamage(b, errData.Error())
	}
	return h, rec, nil
}

// openAt opens the file that holds a body.
func (s *Store) openAt(p place, b doppelboden.Body) (disk.File, error) {
	name, ok := p.base+bigExt, true
	if !p.big {
		name, ok = s.layout.file(p, b.Offset)
	}
	if !ok {
		return nil, bodyDamage(b, "the file is missing")
	}
	f, err := s.opts.FS.Open(s.path(p.day, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bodyDamage(b, "the file is missing")
	}
	if err != nil {
		return nil, disk.Fail("open "+b.Segment, err)
	}
	return f, nil
}

// bodyDamage names what is wrong with a body as its reader found it.
func bodyDamage(b doppelboden.Body, what string) error {
	return &Damage{Segment: b.Segment, Offset: b.Offset, Length: headerSize + b.Size + tagSize, What: what}
}

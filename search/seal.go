package search

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"doppelboden"
)

// format is the version of what extracts hold. Extracts of another one are made again.
const format = 1

// What a sealed blob is.
const (
	sealedSummary byte = 1
	sealedText    byte = 2
)

const nonceSize = 12

// purpose makes the key of an extract differ from that of the body.
var purpose = []byte("doppelboden extract 1")

// A sealer seals and opens the extract of one message. Its key comes from the body's own
// key, so that whatever becomes of that one (it is wrapped again, or deleted) becomes of
// the extract too, without a byte of it being written.
type sealer struct {
	aead  cipher.AEAD
	bound [26]byte // kind, format, tenant, message
}

func newSealer(bodyKey *[32]byte, t doppelboden.TenantID, id doppelboden.ID) (*sealer, error) {
	mac := hmac.New(sha256.New, bodyKey[:])
	mac.Write(purpose)
	var key [32]byte
	block, err := aes.NewCipher(mac.Sum(key[:0]))
	if err != nil {
		return nil, fmt.Errorf("cipher of an extract: %w", err)
	}
	s := &sealer{}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("cipher of an extract: %w", err)
	}
	s.bound[1] = format
	binary.BigEndian.PutUint64(s.bound[2:], uint64(t))
	copy(s.bound[10:], id[:])
	return s, nil
}

// seal seals a blob.
func (s *sealer) seal(kind byte, plain []byte) []byte {
	s.bound[0] = kind
	out := make([]byte, nonceSize, nonceSize+len(plain)+s.aead.Overhead())
	rand.Read(out) // never fails: crypto/rand ends the program instead
	return s.aead.Seal(out, out, plain, s.bound[:])
}

// open opens a blob in its place.
func (s *sealer) open(kind byte, sealed []byte) ([]byte, error) {
	if len(sealed) < nonceSize {
		return nil, fmt.Errorf("an extract of %d bytes", len(sealed))
	}
	s.bound[0] = kind
	plain, err := s.aead.Open(sealed[nonceSize:nonceSize], sealed[:nonceSize], sealed[nonceSize:], s.bound[:])
	if err != nil {
		return nil, fmt.Errorf("open an extract: %w", err)
	}
	return plain, nil
}

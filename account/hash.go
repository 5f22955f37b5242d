package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"doppelboden"
)

// What a password's hash costs: the second choice of RFC 9106, section 4, is 64 MiB and
// three passes; OWASP takes 19 MiB and two passes as its equal against attackers with
// graphics cards. It takes some 25 ms of one processor, so that 20,000 people can log in
// within ten minutes with half of one of two (docs/figures.md).
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	hashLanes  = 1
	hashSize   = 32
	saltSize   = 16
)

// A hasher computes hashes of passwords, few at once.
type hasher struct {
	turns    chan struct{} // one for each that is being computed
	patience time.Duration // how long somebody waits for her turn
	nobody   string        // what the password of nobody is compared with
	runs     atomic.Int64  // how many were computed
}

func newHasher(atOnce int, patience time.Duration) *hasher {
	h := &hasher{turns: make(chan struct{}, atOnce), patience: patience}
	h.nobody = encodeHash(make([]byte, saltSize), make([]byte, hashSize))
	return h
}

// errTurn is what a log-in hears when too many others are at it.
var errTurn = &doppelboden.Error{Code: doppelboden.Busy, Public: "many people log in at this moment, please try again in a minute"}

// compute runs Argon2id when it is its turn.
func (h *hasher) compute(ctx context.Context, password string, salt []byte, passes, memory uint32, lanes uint8) ([]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	select {
	case h.turns <- struct{}{}:
	case <-waiting.Done():
		return nil, errTurn
	}
	defer func() { <-h.turns }()
	h.runs.Add(1)
	return argon2.IDKey([]byte(password), salt, passes, memory, lanes, hashSize), nil
}

// hash makes the hash of a new password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	sum, err := h.compute(ctx, password, salt, hashPasses, hashMemory, hashLanes)
	if err != nil {
		return "", err
	}
	return encodeHash(salt, sum), nil
}

// matches reports whether a hash is that of a password. It computes one hash whatever the
// text is; "" is nobody's.
func (h *hasher) matches(ctx context.Context, text, password string) (bool, error) {
	nobody := text == ""
	if nobody {
		text = h.nobody
	}
	var memory, passes uint32
	var lanes uint8
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, errors.New("the hash of a password is damaged")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false, errors.New("the hash of a password is damaged")
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("read the salt of a password: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false, fmt.Errorf("read the hash of a password: %w", err)
	}
	got, err := h.compute(ctx, password, salt, passes, memory, lanes)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && !nobody, nil
}

// encodeHash writes a hash in the form that other programs know.
func encodeHash(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum))
}

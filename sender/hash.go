package sender

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What a new hash costs: RFC 9106, section 4, wants 64 MiB and three passes where memory
// is scarce. A log-in takes about 0.1 s of one processor then.
const (
	hashMemory = 64 << 10 // KiB
	hashPasses = 3
	hashLanes  = 4
	hashSize   = 32
	saltSize   = 16
)

// Bounds of what a hash may ask for, so that a slip of the pen does not stop the node.
const (
	mostMemory = 1 << 20 // KiB
	mostPasses = 50
)

// A Hash is the hash of a password: Argon2id, RFC 9106.
type Hash struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

// NewHash makes the hash of a password.
func NewHash(password string) Hash {
	h := Hash{memory: hashMemory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, saltSize)}
	rand.Read(h.salt) // never fails: crypto/rand ends the program instead
	h.sum = h.of(password, hashSize)
	return h
}

// NewPassword returns a password that nobody can guess: 26 letters and digits.
func NewPassword() string { return rand.Text() }

// of computes the sum of a password.
func (h Hash) of(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, size)
}

// Matches reports whether the hash is that of a password.
func (h Hash) Matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password, uint32(len(h.sum))), h.sum) == 1
}

// String returns the hash in the form that other programs write and read, too:
// $argon2id$v=19$m=65536,t=3,p=4$salt$sum.
func (h Hash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.sum))
}

// errHash says what a hash must look like. It never holds what was read.
var errHash = errors.New(`not a hash of a password: expected $argon2id$v=19$m=…,t=…,p=…$…$…, as "doppelboden sender password" makes it`)

// ParseHash reads what String wrote, with white space around it.
func ParseHash(text string) (Hash, error) {
	var h Hash
	parts := strings.Split(strings.TrimSpace(text), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return Hash{}, errHash
	}
	var rest string
	if n, _ := fmt.Sscanf(parts[3]+" end", "m=%d,t=%d,p=%d %s", &h.memory, &h.passes, &h.lanes, &rest); n != 4 || rest != "end" {
		return Hash{}, errHash
	}
	var err error
	b64 := base64.RawStdEncoding.Strict()
	if h.salt, err = b64.DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return Hash{}, errHash
	}
	if h.sum, err = b64.DecodeString(parts[5]); err != nil || len(h.sum) < 16 || len(h.sum) > 64 {
		return Hash{}, errHash
	}
	if h.passes < 1 || h.passes > mostPasses || h.lanes < 1 || h.memory < 8*uint32(h.lanes) || h.memory > mostMemory {
		return Hash{}, errHash
	}
	return h, nil
}

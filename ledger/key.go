package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"doppelboden"
	"doppelboden/disk"
)

// Key files are PEM, as openssl reads and writes them: PKCS #8 (RFC 5958) for the
// private key and SubjectPublicKeyInfo (RFC 8410) for the public one.
const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"

	// maxKeyFile is far above any Ed25519 key; a larger file is something else.
	maxKeyFile = 16 << 10
)

// NewKey makes a key for signing knots and writes it to path with mode 0600, durably.
// It never overwrites a file.
func NewKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make ledger key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode ledger key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der})
	if err := disk.WriteNew(disk.OS{}, path, text); err != nil {
		return nil, fmt.Errorf("write ledger key: %w", err)
	}
	return key, nil
}

// LoadKey reads a key that NewKey wrote. Its error has the code Invalid when others may
// read or write the file, or when it holds something else.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read ledger key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, &doppelboden.Error{Code: doppelboden.Invalid,
			Public: fmt.Sprintf("ledger key %s: mode is %04o, but only its owner may read it (chmod 600)", path, mode)}
	}
	der, err := readBlock(path, privateBlock)
	if err != nil {
		return nil, err
	}
	got, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, notAKey(path, err)
	}
	key, ok := got.(ed25519.PrivateKey)
	if !ok {
		return nil, notAKey(path, nil)
	}
	return key, nil
}

// MarshalPublicKey returns a public key as a PEM text that may be given to anybody.
func MarshalPublicKey(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), nil
}

// LoadPublicKey reads a file with the text of MarshalPublicKey. Its error has the code
// Invalid when the file holds something else.
func LoadPublicKey(path string) (ed25519.PublicKey, error) {
	der, err := readBlock(path, publicBlock)
	if err != nil {
		return nil, err
	}
	got, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, notAKey(path, err)
	}
	key, ok := got.(ed25519.PublicKey)
	if !ok {
		return nil, notAKey(path, nil)
	}
	return key, nil
}

// readBlock returns what the one PEM block of a file holds.
func readBlock(path, kind string) ([]byte, error) {
	text, err := readSmall(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read ledger key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, notAKey(path, nil)
	}
	return block.Bytes, nil
}

func notAKey(path string, cause error) error {
	return &doppelboden.Error{Code: doppelboden.Invalid,
		Public: fmt.Sprintf("ledger key %s: not an Ed25519 key in PEM", path), Cause: cause}
}

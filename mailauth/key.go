package mailauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

const (
	// leastRSA is the floor of RFC 8301, section 3.2.
	leastRSA = 1024
	// mostRSA bounds the work of one signature; RFC 8301 asks for 4096.
	mostRSA = 4096
)

// A publicKey is a DKIM key record: RFC 6376, section 3.6.1.
type publicKey struct {
	kind   string // "rsa" or "ed25519"
	rsa    *rsa.PublicKey
	ed     ed25519.PublicKey
	hashes []string // that may be used; nil: all
	exact  bool     // t=s: the domain of i= must be that of d=
	test   bool     // t=y: the domain tries DKIM out
}

// What is wrong with a key.
var (
	errNoKey      = errors.New("not a DKIM key")
	errRevoked    = errors.New("the key was revoked")
	errOtherUse   = errors.New("the key is not for mail")
	errUnknownKey = errors.New("a kind of key that we do not know")
)

// parseKey reads a key record.
func parseKey(text string) (*publicKey, error) {
	list, err := parseTags(text)
	if err != nil {
		return nil, errNoKey
	}
	if v, ok := list.find("v"); ok && (v.value != "DKIM1" || list[0].name != "v") {
		return nil, errNoKey
	}
	p, ok := list.find("p")
	if !ok {
		return nil, errNoKey
	}
	if p.value == "" {
		return nil, errRevoked
	}
	if s := listed(list.get("s", "*")); !slices.Contains(s, "*") && !slices.Contains(s, "email") {
		return nil, errOtherUse
	}
	k := &publicKey{kind: list.get("k", "rsa")}
	if h, ok := list.find("h"); ok {
		k.hashes = listed(h.value)
	}
	if t, ok := list.find("t"); ok {
		flags := listed(t.value)
		k.exact, k.test = slices.Contains(flags, "s"), slices.Contains(flags, "y")
	}
	der, err := base64.StdEncoding.DecodeString(dense(p.value))
	if err != nil {
		return nil, errNoKey
	}
	return k, k.decode(der)
}

// decode reads the key itself.
func (k *publicKey) decode(der []byte) error {
	switch k.kind {
	case "ed25519": // RFC 8463, section 4
		if len(der) != ed25519.PublicKeySize {
			return errNoKey
		}
		k.ed = ed25519.PublicKey(der)
		return nil
	case "rsa":
		any, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			// RFC 6376, section 3.6.1, as erratum 3017 reads it: both forms exist.
			if any, err = x509.ParsePKCS1PublicKey(der); err != nil {
				return errNoKey
			}
		}
		key, ok := any.(*rsa.PublicKey)
		if !ok {
			return errNoKey
		}
		k.rsa = key
		return nil
	}
	return errUnknownKey
}

// bits is the size of an RSA key.
func (k *publicKey) bits() int { return k.rsa.N.BitLen() }

// allows reports whether the key may be used with a hash.
func (k *publicKey) allows(hash string) bool {
	return k.hashes == nil || slices.ContainsFunc(k.hashes, func(h string) bool { return strings.EqualFold(h, hash) })
}

// verify reports whether sig signs the SHA-256 sum.
func (k *publicKey) verify(sum, sig []byte) bool {
	if k.ed != nil {
		return ed25519.Verify(k.ed, sum, sig) // RFC 8463, section 3: over the hash
	}
	return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, sum, sig) == nil
}

package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Wrapper wraps keys of 32 bytes with a tenant's key; keyring.Ring is one.
type Wrapper interface {
	Wrap(t doppelboden.TenantID, key *[32]byte) (wrapped []byte, version int, err error)
	Unwrap(t doppelboden.TenantID, version int, wrapped []byte) ([32]byte, error)
}

// key returns the tenant's own key for sums of codes and for cookies of devices. It is made
// when it is first needed. Codes have 85 random bits; without this key, which is sealed,
// their sums say nothing to who has a copy of the database.
func (r *Room) key(ctx context.Context, t doppelboden.TenantID) ([32]byte, error) {
	r.mu.Lock()
	key, ok := r.keys[t]
	r.mu.Unlock()
	if ok {
		return key, nil
	}
	row, found, err := r.keyRow(ctx, t)
	if err != nil {
		return key, err
	}
	if !found {
		rand.Read(key[:]) // never fails: crypto/rand ends the program instead
		wrapped, version, err := r.opts.Keys.Wrap(t, &key)
		if err != nil {
			return key, fmt.Errorf("seal the key of codes: %w", err)
		}
		// Where two nodes make one at the same moment, the first is everybody's.
		fresh := store.Credential{Tenant: t, Kind: kindKey, Lookup: keyLookup(t), Data: wrapped, KeyVersion: version, Made: r.opts.Clock(), By: "account"}
		if _, err := r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{Put: []store.Credential{fresh}}); err != nil {
			return key, fmt.Errorf("keep the key of codes: %w", err)
		}
		if row, found, err = r.keyRow(ctx, t); err != nil || !found {
			return key, errors.Join(err, errors.New("the key of codes cannot be read"))
		}
	}
	if key, err = r.opts.Keys.Unwrap(t, row.KeyVersion, row.Data); err != nil {
		return key, fmt.Errorf("open the key of codes: %w", err)
	}
	r.mu.Lock()
	r.keys[t] = key
	r.mu.Unlock()
	return key, nil
}

func keyLookup(t doppelboden.TenantID) []byte { return fmt.Appendf(nil, "key of tenant %d", t) }

func (r *Room) keyRow(ctx context.Context, t doppelboden.TenantID) (row store.Credential, found bool, err error) {
	err = r.opts.Store.Credentials(ctx, store.CredentialFilter{Lookup: keyLookup(t)}, func(c store.Credential) error {
		row, found = c, true
		return nil
	})
	if err != nil {
		return row, false, fmt.Errorf("read the key of codes: %w", err)
	}
	return row, found, nil
}

// sum is the keyed sum of a secret.
func sum(key [32]byte, purpose, secret string) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(purpose))
	m.Write([]byte{0})
	m.Write([]byte(secret))
	return m.Sum(nil)
}

// Reseal seals with each tenant's newest key what an older one seals, so that a key that
// was changed can be removed. It may be repeated, and should run after a change and daily.
func (r *Room) Reseal(ctx context.Context) error {
	for _, t := range r.opts.Directory().Tenants() {
		older := map[int][]store.Credential{}
		var probe [32]byte
		_, newest, err := r.opts.Keys.Wrap(t.ID, &probe)
		if err != nil {
			return fmt.Errorf("ask for the key of tenant %d: %w", t.ID, err)
		}
		err = r.opts.Store.Credentials(ctx, store.CredentialFilter{Tenant: t.ID, Kinds: []string{kindKey, kindTOTP}}, func(c store.Credential) error {
			if c.KeyVersion != 0 && c.KeyVersion != newest {
				older[c.KeyVersion] = append(older[c.KeyVersion], c)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("look for what older keys seal: %w", err)
		}
		for version, list := range older {
			for i := range list {
				key, err := r.opts.Keys.Unwrap(t.ID, version, list[i].Data)
				if err != nil {
					return fmt.Errorf("open credential %d: %w", list[i].ID, err)
				}
				if list[i].Data, list[i].KeyVersion, err = r.opts.Keys.Wrap(t.ID, &key); err != nil {
					return fmt.Errorf("seal credential %d: %w", list[i].ID, err)
				}
			}
			if err := r.opts.Store.Reseal(ctx, version, list); err != nil {
				return fmt.Errorf("keep what was sealed again: %w", err)
			}
		}
	}
	return nil
}

// A device cookie says which people have logged in from a browser. It lets nobody in: who
// shows it has tries of her own, so that strangers cannot use them up.
const (
	deviceLife   = 180 * 24 * time.Hour
	devicePeople = 8 // the last ones, on a computer at a counter
	deviceHead   = 16 + 8
)

// device reads a cookie: the device's name, and whether the person has logged in from it.
func (r *Room) device(ctx context.Context, t doppelboden.TenantID, cookie string, p PersonID) (name string, people []PersonID, known bool, err error) {
	raw, bad := base64.RawURLEncoding.DecodeString(cookie)
	if bad != nil || len(raw) < deviceHead+32 || (len(raw)-deviceHead-32)%8 != 0 || len(raw) > deviceHead+32+8*devicePeople {
		return "", nil, false, nil
	}
	key, err := r.key(ctx, t)
	if err != nil {
		return "", nil, false, err
	}
	body, mac := raw[:len(raw)-32], raw[len(raw)-32:]
	if !hmac.Equal(mac, sum(key, "device", string(body))) {
		return "", nil, false, nil
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(body[16:24])), 0)
	if r.opts.Clock().Sub(made) > deviceLife {
		return "", nil, false, nil
	}
	for at := deviceHead; at < len(body); at += 8 {
		people = append(people, PersonID(binary.BigEndian.Uint64(body[at:])))
	}
	return string(body[:16]), people, slices.Contains(people, p), nil
}

// newDevice makes the cookie of a device from which a person has logged in. cookie is the
// one that it had before, or "".
func (r *Room) newDevice(ctx context.Context, t doppelboden.TenantID, cookie string, p PersonID) (string, error) {
	name, people, _, err := r.device(ctx, t, cookie, p)
	if err != nil {
		return "", err
	}
	if name == "" {
		var random [16]byte
		rand.Read(random[:]) // never fails: crypto/rand ends the program instead
		name, people = string(random[:]), nil
	}
	people = append([]PersonID{p}, slices.DeleteFunc(people, func(q PersonID) bool { return q == p })...)
	people = people[:min(len(people), devicePeople)]
	body := binary.BigEndian.AppendUint64([]byte(name), uint64(r.opts.Clock().Unix()))
	for _, q := range people {
		body = binary.BigEndian.AppendUint64(body, uint64(q))
	}
	key, err := r.key(ctx, t)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(body, sum(key, "device", string(body))...)), nil
}

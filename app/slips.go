package app

import (
	"context"
	"crypto/aes"
	block "crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/absence"
	"doppelboden/clock"
	"doppelboden/store"
	"doppelboden/web/webmail"
)

// slips seal what people leave with mailboxes, and keep it in the database.
type slips struct{ n *Node }

// PutSlip implements webmail.Slips.
func (s slips) PutSlip(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, one webmail.Slip) error {
	row := store.Slip{Tenant: t, Mailbox: m, Kind: one.Kind, Key: one.Key, At: one.At, Until: one.Until}
	if err := s.seal(&row, []byte(one.Value)); err != nil {
		return err
	}
	if err := s.n.store.PutSlip(ctx, row); err != nil {
		return err
	}
	if row.Kind == absence.Kind {
		s.n.absence.Forget(m)
	}
	return nil
}

// seal seals a text with a key of its own, which the tenant's key wraps.
func (s slips) seal(row *store.Slip, text []byte) (err error) {
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	if row.Wrapped, row.KeyVersion, err = s.n.ring.Wrap(row.Tenant, &key); err != nil {
		return fmt.Errorf("seal a slip: %w", err)
	}
	aead, err := sealer(key)
	if err != nil {
		return err
	}
	// The key is used once, so the nonce need not differ.
	row.Value = aead.Seal(nil, make([]byte, aead.NonceSize()), text, bound(row))
	return nil
}

// bound is what a sealed text belongs to.
func bound(row *store.Slip) []byte {
	return fmt.Appendf(nil, "%d\n%s\n%s", row.Mailbox, row.Kind, row.Key)
}

func sealer(key [32]byte) (block.AEAD, error) {
	one, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := block.NewGCM(one)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return aead, nil
}

// unseal opens a slip.
func (s slips) unseal(row *store.Slip) ([]byte, error) {
	key, err := s.n.ring.Unwrap(row.Tenant, row.KeyVersion, row.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("open a slip: %w", err)
	}
	aead, err := sealer(key)
	if err != nil {
		return nil, err
	}
	text, err := aead.Open(nil, make([]byte, aead.NonceSize()), row.Value, bound(row))
	if err != nil {
		return nil, fmt.Errorf("open a slip: %w", err)
	}
	return text, nil
}

// Slips implements webmail.Slips.
func (s slips) Slips(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, kind string) (list []webmail.Slip, err error) {
	now := s.n.clock()
	err = s.n.store.Slips(ctx, store.SlipFilter{Tenant: t, Mailbox: m, Kind: kind}, func(row store.Slip) error {
		if !row.Until.IsZero() && now.After(row.Until) {
			return nil
		}
		text, err := s.unseal(&row)
		if err != nil {
			return err
		}
		list = append(list, webmail.Slip{Kind: row.Kind, Key: row.Key, Value: string(text), At: row.At, Until: row.Until})
		return nil
	})
	return list, err
}

// DropSlip implements webmail.Slips.
func (s slips) DropSlip(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, kind, key string) error {
	return s.n.store.DropSlip(ctx, t, m, kind, key)
}

const (
	// slipsEvery is the time between two rounds that look after slips.
	slipsEvery = time.Hour
	// slipsAtOnce is how many slips one commit removes.
	slipsAtOnce = 1000
)

// careForSlips removes those that have ended, and seals again what an older key seals, so
// that a key that was changed can be removed.
func (n *Node) careForSlips(ctx context.Context) {
	clock.Every(ctx, n.opts.Timer, slipsEvery, func() {
		var dropping error
		for dropped := slipsAtOnce; dropped == slipsAtOnce && dropping == nil; {
			dropped, dropping = n.store.DropSlips(ctx, n.clock(), slipsAtOnce)
		}
		if err := errors.Join(dropping, slips{n}.reseal(ctx)); err != nil && ctx.Err() == nil {
			n.log.Error("what people left with mailboxes cannot be looked after", "err", err)
		}
	})
}

// reseal seals with each tenant's newest key what an older one seals.
func (s slips) reseal(ctx context.Context) error {
	var older []store.Slip
	err := s.n.store.Slips(ctx, store.SlipFilter{}, func(row store.Slip) error {
		var probe [32]byte
		if _, newest, err := s.n.ring.Wrap(row.Tenant, &probe); err != nil || newest != row.KeyVersion {
			older = append(older, row)
			return err
		}
		return nil
	})
	for i := 0; i < len(older) && err == nil; i++ {
		var text []byte
		if text, err = s.unseal(&older[i]); err == nil {
			if err = s.seal(&older[i], text); err == nil {
				err = s.n.store.PutSlip(ctx, older[i])
			}
		}
	}
	return err
}

package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// RFC 6238: steps of 30 seconds (section 5.2), HMAC-SHA-1 and six digits, as every
// program for it does.
const (
	totpStep   = 30 * time.Second
	totpDigits = 1_000_000
	totpSeed   = 20 // bytes: RFC 4226, section 4, R6
	totpDrift  = 1  // steps before and after: clocks differ
)

// totpAt returns the one-time password of a step: RFC 4226, section 5.3.
func totpAt(seed []byte, step int64) int {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	m := hmac.New(sha1.New, seed)
	m.Write(counter[:])
	digest := m.Sum(nil)
	offset := digest[len(digest)-1] & 15
	return int(binary.BigEndian.Uint32(digest[offset:])&0x7fffffff) % totpDigits
}

// totpStepOf returns the step whose one-time password somebody has typed, or 0.
func totpStepOf(seed []byte, typed string, now time.Time) int64 {
	typed = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\u00a0' {
			return -1
		}
		return r
	}, typed)
	current, found := now.Unix()/int64(totpStep/time.Second), int64(0)
	for step := current - totpDrift; step <= current+totpDrift; step++ {
		if subtle.ConstantTimeCompare(fmt.Appendf(nil, "%06d", totpAt(seed, step)), []byte(typed)) == 1 {
			found = step
		}
	}
	return found
}

// A Seed is what an authenticator app is given.
type Seed struct {
	Text string // base 32 in groups of four, to be typed
	URI  string // otpauth://totp/…, for a QR code
}

// SetUpTOTP makes a seed for a session whose person may change how she logs in. It counts
// when Step(StepSetUpTOTP) has seen one of its passwords.
func (r *Room) SetUpTOTP(ctx context.Context, cookie string) (Seed, error) {
	s, p, st, err := r.session(ctx, cookie)
	if err != nil {
		return Seed{}, err
	}
	if err := r.mayChange(s); err != nil {
		return Seed{}, err
	}
	if s.Needs == NeedsEnrol {
		return Seed{}, invalid("please choose a password first")
	}
	var key [32]byte
	if len(st.Seed) > 0 {
		if key, err = r.opts.Keys.Unwrap(p.Tenant, st.Version, st.Seed); err != nil {
			return Seed{}, fmt.Errorf("open the seed: %w", err)
		}
	} else {
		rand.Read(key[:]) // never fails: crypto/rand ends the program instead
		if st.Seed, st.Version, err = r.opts.Keys.Wrap(p.Tenant, &key); err != nil {
			return Seed{}, fmt.Errorf("seal the seed: %w", err)
		}
		if err := r.keepState(ctx, s, st); err != nil {
			return Seed{}, err
		}
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key[:totpSeed])
	label := "Doppelboden:" + p.Address.String()
	uri := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + label,
		RawQuery: "secret=" + text + "&issuer=Doppelboden&algorithm=SHA1&digits=6&period=30"}
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:min(i+4, len(text))])
	}
	return Seed{Text: strings.Join(groups, " "), URI: uri.String()}, nil
}

// confirmTOTP keeps the seed of a session whose person has shown that her program has it.
func (r *Room) confirmTOTP(ctx context.Context, s store.LoggedIn, p Person, st state, typed string) (Login, error) {
	if err := r.mayChange(s); err != nil {
		return Login{}, err
	}
	if len(st.Seed) == 0 || s.Needs == NeedsEnrol {
		return Login{}, invalid("there is no seed to confirm; please begin again")
	}
	key, err := r.opts.Keys.Unwrap(p.Tenant, st.Version, st.Seed)
	if err != nil {
		return Login{}, fmt.Errorf("open the seed: %w", err)
	}
	now := r.opts.Clock()
	step := totpStepOf(key[:totpSeed], typed, now)
	if step == 0 {
		return Login{}, errTOTP
	}
	s.Second = true
	return r.enrol(ctx, s, p, st, store.CredentialChange{At: now,
		End: []store.CredentialEnd{{Tenant: p.Tenant, Person: p.Mailbox, Kinds: []string{kindTOTP}, Why: whyReplaced, At: now}},
		Put: []store.Credential{{Tenant: p.Tenant, Person: p.Mailbox, Kind: kindTOTP, Data: st.Seed, KeyVersion: st.Version, Counter: step, Made: now, By: madeBy(s, p)}},
	})
}

// errTOTP is the answer to a wrong one-time password.
var errTOTP = &doppelboden.Error{Code: doppelboden.Policy, Public: "this one-time password is not right; please take the next one"}

// showTOTP takes a one-time password as the second step. Each lets in once (RFC 6238,
// section 5.2), and wrong ones count for the person and where the session began.
func (r *Room) showTOTP(ctx context.Context, s store.LoggedIn, p Person, st state, typed string) (Login, error) {
	if s.Needs != NeedsTOTP {
		return Login{}, invalid("no one-time password is needed now")
	}
	device, _, known, err := r.device(ctx, p.Tenant, st.Device, p.ID)
	if err != nil {
		return Login{}, err
	}
	if !known {
		device = ""
	}
	v, err := r.guard.enter(fmt.Sprintf("t%d", p.ID), st.Network, device, st.Own)
	if err != nil {
		return Login{}, err
	}
	mine, err := r.live(ctx, p)
	if err != nil {
		v.never()
		return Login{}, err
	}
	c := mine.first(kindTOTP)
	if c == nil {
		return Login{}, errTOTP
	}
	key, err := r.opts.Keys.Unwrap(p.Tenant, c.KeyVersion, c.Data)
	if err != nil {
		v.never()
		return Login{}, fmt.Errorf("open the seed: %w", err)
	}
	step := totpStepOf(key[:totpSeed], typed, r.opts.Clock())
	if step == 0 {
		return Login{}, errTOTP
	}
	fresh, err := r.opts.Store.Advance(ctx, c.ID, step)
	if err != nil {
		v.never()
		return Login{}, fmt.Errorf("keep that the one-time password was used: %w", err)
	}
	if !fresh {
		return Login{}, errTOTP
	}
	v.right()
	was := s
	s.Needs, s.Second = NeedsNothing, true
	return r.proceed(ctx, s, p, st, &was)
}

// keepState keeps what a session remembers, under the same cookie.
func (r *Room) keepState(ctx context.Context, s store.LoggedIn, st state) error {
	var err error
	if s.State, err = marshal(st); err != nil {
		return err
	}
	err = r.opts.Store.PutSession(ctx, s, s.Hash)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return errNobody
	}
	if err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	return nil
}

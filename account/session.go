package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// enrolTime is how long somebody who has shown a code has to set a password, and somebody
// who has shown a password has for the second factor.
const enrolTime = 30 * time.Minute

// freshFor is how long after a log-in credentials can be changed with a password alone.
const freshFor = 15 * time.Minute

// errNobody is the answer for a cookie that stands for nobody.
var errNobody = &doppelboden.Error{Code: doppelboden.NotFound, Public: "nobody is logged in with this; please log in"}

// state is what a session remembers of its steps.
type state struct {
	Network string `json:"n,omitempty"` // where it began
	Own     bool   `json:"o,omitempty"` // the city's own network
	Device  string `json:"d,omitempty"` // the cookie of the device
	Seed    []byte `json:"s,omitempty"` // sealed: of one-time passwords that are being set up
	Version int    `json:"v,omitempty"` // the key that seals it
}

// hashOf is what the store knows of a cookie. A cookie has 256 random bits.
func hashOf(cookie string) []byte {
	digest := sha256.Sum256([]byte("session\x00" + cookie))
	return digest[:]
}

// putSession begins a session with a new cookie, and ends the one that it replaces: who gets
// more rights is never known by a cookie that somebody may have planted.
func (r *Room) putSession(ctx context.Context, s store.LoggedIn, st state, replaces *store.LoggedIn) (cookie string, err error) {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	cookie = base64.RawURLEncoding.EncodeToString(raw[:])
	now := r.opts.Clock()
	s.Hash, s.Made, s.Seen = hashOf(cookie), now, now
	conf, _ := r.accounts(s.Tenant)
	s.Until = now.Add(conf.Longest)
	if s.Needs != NeedsNothing {
		s.Until = now.Add(enrolTime)
	}
	if s.State, err = marshal(st); err != nil {
		return "", err
	}
	var old []byte
	if replaces != nil {
		old = replaces.Hash
	}
	err = r.opts.Store.PutSession(ctx, s, old)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return "", errNobody
	}
	if err != nil {
		return "", fmt.Errorf("keep the session: %w", err)
	}
	return cookie, nil
}

// marshal writes what a session remembers.
func marshal(st state) ([]byte, error) {
	text, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("write the session: %w", err)
	}
	return text, nil
}

// session returns a living session and its person.
func (r *Room) session(ctx context.Context, cookie string) (s store.LoggedIn, p Person, st state, err error) {
	if len(cookie) != 43 {
		return s, p, st, errNobody
	}
	s, err = r.opts.Store.SessionOf(ctx, hashOf(cookie))
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return s, p, st, errNobody
	}
	if err != nil {
		return s, p, st, fmt.Errorf("read the session: %w", err)
	}
	now := r.opts.Clock()
	conf, ok := r.accounts(s.Tenant)
	p, there := r.PersonOf(PersonID(s.Person))
	if !ok || !there || !now.Before(s.Until) || now.Sub(s.Seen) > conf.Idle {
		_, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Hash: s.Hash})
		return s, p, st, errors.Join(errNobody, err)
	}
	if err := json.Unmarshal(s.State, &st); err != nil {
		return s, p, st, fmt.Errorf("read the session: %w", err)
	}
	if now.Sub(s.Seen) > conf.Idle/20 {
		s.Seen = now
		err := r.opts.Store.PutSession(ctx, s, s.Hash)
		if doppelboden.CodeOf(err) == doppelboden.NotFound {
			return s, p, st, errNobody // it ended this very moment
		}
		if err != nil {
			// She goes on all the same; only her session ends sooner.
			r.opts.Log.WarnContext(ctx, "cannot note that a session is used", "err", err)
		}
	}
	return s, p, st, nil
}

// Session returns who a cookie stands for. The code is NotFound when it stands for nobody,
// or no longer.
func (r *Room) Session(ctx context.Context, cookie string) (Session, error) {
	s, p, _, err := r.session(ctx, cookie)
	if err != nil {
		return Session{}, err
	}
	return Session{Person: p, Needs: s.Needs, Second: s.Second, Until: s.Until, Tenant: s.Tenant}, nil
}

// LogOut ends a session. One that has ended already is no error.
func (r *Room) LogOut(ctx context.Context, cookie string) error {
	if _, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Hash: hashOf(cookie)}); err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	return nil
}

// LogOutEverywhere ends all sessions of the person but this one, and returns how many.
func (r *Room) LogOutEverywhere(ctx context.Context, cookie string) (int, error) {
	s, _, _, err := r.session(ctx, cookie)
	if err != nil {
		return 0, err
	}
	n, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Person: s.Person, Except: s.Hash})
	if err != nil {
		return 0, fmt.Errorf("end the sessions: %w", err)
	}
	return n, nil
}

// Kinds of steps besides those that a session may need.
const (
	StepSetUpTOTP = "set up totp" // answer: a one-time password of the seed that SetUpTOTP has made
)

// Step takes a step of a session and gives it another cookie. kind and answer:
//
//   - NeedsTOTP: a one-time password.
//   - NeedsPassword: the new password, also in a session that needs NeedsEnrol or nothing.
//   - StepSetUpTOTP: the first one-time password of a new seed.
//
// The code is Policy for a wrong answer, Invalid for one that will never do (with what is
// wrong with it), NotFound when nobody is logged in.
func (r *Room) Step(ctx context.Context, cookie, kind, answer string) (Login, error) {
	s, p, st, err := r.session(ctx, cookie)
	if err != nil {
		return Login{}, err
	}
	switch kind {
	case NeedsTOTP:
		return r.showTOTP(ctx, s, p, st, answer)
	case NeedsPassword:
		return r.setPassword(ctx, s, p, st, answer, nil)
	case StepSetUpTOTP:
		return r.confirmTOTP(ctx, s, p, st, answer)
	}
	return Login{}, invalid("there is no such step")
}

// mayChange reports whether a session may change by what its person is known.
func (r *Room) mayChange(s store.LoggedIn) error {
	switch s.Needs {
	case NeedsEnrol, NeedsSecond:
		return nil
	case NeedsNothing:
		if s.Second || r.opts.Clock().Sub(s.Made) < freshFor {
			return nil
		}
	}
	return errStale
}

// errStale asks for a new log-in.
var errStale = &doppelboden.Error{Code: doppelboden.Policy, Public: "please log out and in again before you change how you log in"}

// Limits of passwords. NIST SP 800-63B wants length and no rules of composition.
const (
	shortestPassword = 12
	longestPassword  = 200
)

// badPassword says what is wrong with a new password, or nothing.
func badPassword(p Person, password string) error {
	n := len([]rune(password))
	lower := strings.ToLower(password)
	kinds := map[rune]bool{}
	for _, c := range lower {
		kinds[c] = true
	}
	switch {
	case n < shortestPassword:
		return invalid("the password is too short: take at least 12 characters, such as three words")
	case n > longestPassword:
		return invalid("the password is too long: take at most 200 characters")
	case len(kinds) < 5:
		return invalid("the password has too few different characters")
	case strings.Contains(lower, strings.ToLower(p.Address.Local)) && n < shortestPassword+len(p.Address.Local):
		return invalid("the password is little more than your address")
	}
	if _, isCode := ParseCode(password); isCode {
		return invalid("this is a code from a sheet; take a password that only you know")
	}
	return nil
}

// Why credentials have ended.
const (
	whyReplaced = "replaced"
	whyRevoked  = "revoked"
	whyVoid     = "void"
)

// setPassword gives a person her own password. It ends her other sessions. After a code,
// which is spent with it, it also ends the seed of one-time passwords: the telephone that
// has it may be lost. rest ends with it.
func (r *Room) setPassword(ctx context.Context, s store.LoggedIn, p Person, st state, password string, rest []store.CredentialEnd) (Login, error) {
	if err := r.mayChange(s); err != nil && s.Needs != NeedsPassword {
		return Login{}, err
	}
	if err := badPassword(p, password); err != nil {
		return Login{}, err
	}
	data, err := r.hasher.hash(ctx, password)
	if err != nil {
		return Login{}, err
	}
	now := r.opts.Clock()
	change := store.CredentialChange{At: now,
		End: append([]store.CredentialEnd{{Tenant: p.Tenant, Person: p.Mailbox, Kinds: []string{kindPassword}, Why: whyReplaced, At: now}}, rest...),
		Put: []store.Credential{{Tenant: p.Tenant, Person: p.Mailbox, Kind: kindPassword, Data: []byte(data), Made: now, By: madeBy(s, p)}},
	}
	return r.enrol(ctx, s, p, st, change)
}

// enrol carries out a change of credentials, which spends the code of a session that came by
// one, and lets the session go on with more rights.
func (r *Room) enrol(ctx context.Context, s store.LoggedIn, p Person, st state, change store.CredentialChange) (Login, error) {
	// A password may have waited long for its hash; who ended the session meanwhile must not
	// find it changed.
	change.Session = s.Hash
	if s.Needs == NeedsEnrol {
		change.Spend, change.Token = s.Code, s.Hash
		change.End = append(change.End, store.CredentialEnd{Tenant: p.Tenant, Person: p.Mailbox, Kinds: []string{kindTOTP}, Why: whyReplaced, At: change.At})
	}
	if _, err := r.opts.Store.ChangeCredentials(ctx, change); err != nil {
		switch doppelboden.CodeOf(err) {
		case doppelboden.NotFound:
			return Login{}, errNobody
		case doppelboden.Policy:
			return Login{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "this code was used or withdrawn meanwhile; please ask for a new one"}
		}
		return Login{}, fmt.Errorf("keep how she logs in: %w", err)
	}
	was := s
	if s.Needs == NeedsEnrol {
		if err := r.note(ctx, p.Tenant, byPerson(p), fmt.Sprintf("person %d has enrolled with a code (%s)", p.ID, s.Source)); err != nil {
			r.opts.Log.ErrorContext(ctx, "cannot note in the ledger that somebody has enrolled", "err", err)
		}
		s.Needs, s.Code = NeedsNothing, 0
		if conf, _ := r.accounts(p.Tenant); conf.SecondFactor && !s.Second {
			s.Needs = NeedsSecond
		}
	}
	st.Seed = nil
	if s.Second && s.Needs == NeedsSecond {
		s.Needs = NeedsNothing
	}
	login, err := r.proceed(ctx, s, p, st, &was)
	if err != nil {
		return Login{}, err
	}
	if _, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Person: s.Person, Except: hashOf(login.Session)}); err != nil {
		return Login{}, fmt.Errorf("end the other sessions: %w", err)
	}
	return login, nil
}

// proceed gives a session another cookie after a step.
func (r *Room) proceed(ctx context.Context, s store.LoggedIn, p Person, st state, was *store.LoggedIn) (Login, error) {
	device := st.Device
	if s.Needs == NeedsNothing {
		var err error
		if device, err = r.newDevice(ctx, p.Tenant, st.Device, p.ID); err != nil {
			return Login{}, err
		}
		st.Device = ""
	}
	cookie, err := r.putSession(ctx, s, st, was)
	if err != nil {
		return Login{}, err
	}
	return Login{Person: p, Session: cookie, Device: device, Needs: s.Needs}, nil
}

// byDirectory begins the By of what the directory's word has brought about.
const byDirectory = "directory"

// madeBy says by whom a credential is made in a session: whether she herself, or somebody
// who may be anybody in whose hands the directory is.
func madeBy(s store.LoggedIn, p Person) string {
	if s.Source == sourceDirectory {
		return byDirectory + ", for " + byPerson(p)
	}
	return byPerson(p)
}

// fromDirectory reports whether a credential is good only as long as the directory is
// believed.
func fromDirectory(c *store.Credential) bool {
	return c != nil && (c.By == byDirectory || strings.HasPrefix(c.By, byDirectory+", for "))
}

// byPerson names a person in the ledger.
func byPerson(p Person) string { return fmt.Sprintf("person:%d", p.ID) }

// Sweep removes sessions that have ended. It should run every hour or so.
func (r *Room) Sweep(ctx context.Context) error {
	_, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Before: r.opts.Clock()})
	if err != nil {
		return fmt.Errorf("remove sessions that have ended: %w", err)
	}
	return nil
}

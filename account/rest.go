package account

import (
	"context"
	"fmt"

	"doppelboden/store"
)

// restKinds are by what somebody can log in besides her own password and the seed of her
// one-time passwords, which asks for that password as well.
var restKinds = append([]string{kindApp, kindPasskey, kindDirectory}, codeKinds...)

// Rest says what somebody can log in with besides her own password.
type Rest struct {
	Apps     int `json:"apps"`     // programs
	Passkeys int `json:"passkeys"` // devices
	Codes    int `json:"codes"`    // that nobody has used yet
	// Directory says that the password which she has at work lets her in as well. It is changed
	// there, so nothing here ends it.
	Directory bool `json:"directory,omitempty"`
}

// Counted reports whether there is anything that can be ended here and counted.
func (e Rest) Counted() bool { return e.Apps+e.Passkeys+e.Codes > 0 }

// Any reports whether there is anything.
func (e Rest) Any() bool { return e.Counted() || e.Directory }

// restOf counts what a person has besides her password; spent is the code that she is about
// to spend, which does not count.
func (r *Room) restOf(ctx context.Context, p Person, spent int64) (e Rest, err error) {
	mine, err := r.live(ctx, p)
	if err != nil {
		return e, err
	}
	e.Apps, e.Passkeys = len(mine[kindApp]), len(mine[kindPasskey])
	for _, kind := range codeKinds {
		for _, c := range mine[kind] {
			if c.ID != spent {
				e.Codes++
			}
		}
	}
	e.Directory, err = r.asksDirectory(ctx, p)
	return e, err
}

// asksDirectory reports whether whoever knows a person's password of the directory is let in,
// whatever has ended here: the directory takes it, and it is kept anew; see checkKept.
func (r *Room) asksDirectory(ctx context.Context, p Person) (bool, error) {
	conf, _ := r.accounts(p.Tenant)
	if conf.KeepDays == 0 || r.opts.Verify == nil {
		return false, nil
	}
	distrusted, err := r.Distrusted(ctx, p.Tenant)
	return !distrusted, err
}

// RestOf counts what the person of a session could log in with besides a new password.
func (r *Room) RestOf(ctx context.Context, cookie string) (Rest, error) {
	s, p, _, err := r.session(ctx, cookie)
	if err != nil {
		return Rest{}, err
	}
	return r.restOf(ctx, p, s.Code)
}

// ChangePassword gives the person of a session a password of her own, and ends her other
// sessions. With rest it ends everything else by which somebody could log in as her: her
// programs, her passkeys, codes that were not used yet, and what was kept of the directory's
// password. It returns what ended, and with rest whether the directory's still lets in. For
// codes of errors see Step.
func (r *Room) ChangePassword(ctx context.Context, cookie, password string, rest bool) (Login, Rest, error) {
	s, p, st, err := r.session(ctx, cookie)
	if err != nil {
		return Login{}, Rest{}, err
	}
	var ended Rest
	var ends []store.CredentialEnd
	if rest {
		if ended, err = r.restOf(ctx, p, s.Code); err != nil {
			return Login{}, Rest{}, err
		}
		ends = []store.CredentialEnd{{Tenant: p.Tenant, Person: p.Mailbox, Kinds: restKinds, Why: whyRevoked, At: r.opts.Clock()}}
	}
	l, err := r.setPassword(ctx, s, p, st, password, ends)
	if err != nil {
		return Login{}, Rest{}, err
	}
	if ended.Counted() {
		err := r.note(ctx, p.Tenant, byPerson(p), fmt.Sprintf("person %d has changed her password and ended %d programs, %d passkeys and %d codes", p.ID, ended.Apps, ended.Passkeys, ended.Codes))
		if err != nil {
			r.opts.Log.ErrorContext(ctx, "cannot note in the ledger what somebody has ended", "err", err)
		}
	}
	return l, ended, nil
}

// RevokeAll ends everything by which a person could log in, her password too, and all her
// sessions: for who calls and says that somebody else has got in. A code lets her in again;
// so does the directory's password, where Directory is set in what it returns.
func (r *Room) RevokeAll(ctx context.Context, p Person, by string) (Rest, error) {
	ended, err := r.restOf(ctx, p, 0)
	if err != nil {
		return Rest{}, err
	}
	// First her sessions: no change of hers is carried out without one. They end once more
	// afterwards, for who logged in meanwhile by what ends now.
	if err := r.endSessions(ctx, p); err != nil {
		return Rest{}, err
	}
	kinds := append([]string{kindPassword, kindTOTP}, restKinds...)
	_, err = r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{
		End: []store.CredentialEnd{{Tenant: p.Tenant, Person: p.Mailbox, Kinds: kinds, Why: whyRevoked, At: r.opts.Clock()}}})
	if err != nil {
		return Rest{}, fmt.Errorf("revoke everything: %w", err)
	}
	if err := r.endSessions(ctx, p); err != nil {
		return Rest{}, err
	}
	return ended, r.note(ctx, p.Tenant, by, fmt.Sprintf("everything by which person %d logs in was revoked: her password, %d programs, %d passkeys and %d codes", p.ID, ended.Apps, ended.Passkeys, ended.Codes))
}

// endSessions ends all sessions of a person.
func (r *Room) endSessions(ctx context.Context, p Person) error {
	if _, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Person: p.Mailbox}); err != nil {
		return fmt.Errorf("end the sessions: %w", err)
	}
	return nil
}

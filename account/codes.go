package account

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	smsTime = 30 * time.Minute
	// crisisTime is long enough for who reads in the morning what came in the night.
	crisisTime = 12 * time.Hour
	// mostCrisis is how many such codes of one person are good at once: those of an SMS that
	// nobody knows the end of, of a node that was restarted meanwhile, of the outage before.
	mostCrisis = 8
	vouchTime  = time.Hour // the way from one room to another
	// codesAtOnce is how many codes go into one commit.
	codesAtOnce = 500
)

// A Sheet is a code for one person.
type Sheet struct {
	Person Person
	Code   string // six groups of three characters; shown once, and stored nowhere
	Until  time.Time
	Page   string // the address of the emergency page
	Tenant string // the tenant's name
}

// Link is the address with the code in its fragment, which browsers send to nobody.
func (s Sheet) Link() string { return s.Page + "/enrol#" + s.Code }

// Sheets makes a code for each of the people, to be printed. With replace, codes that they
// have had before are no longer good.
func (r *Room) Sheets(ctx context.Context, people []Person, replace bool, by string) ([]Sheet, error) {
	return r.codes(ctx, people, kindSheet, replace, by)
}

// codes makes codes of one kind.
func (r *Room) codes(ctx context.Context, people []Person, kind string, replace bool, by string) ([]Sheet, error) {
	now := r.opts.Clock()
	var sheets []Sheet
	for len(people) > 0 {
		part := people[:min(len(people), codesAtOnce)]
		people = people[len(part):]
		change := store.CredentialChange{At: now}
		for _, p := range part {
			conf, _ := r.accounts(p.Tenant)
			until := now.Add(time.Duration(conf.SheetDays) * 24 * time.Hour)
			switch kind {
			case kindSMS:
				until = now.Add(smsTime)
			case kindCrisis:
				until = now.Add(crisisTime)
			case kindVouch:
				until = now.Add(vouchTime)
			}
			key, err := r.key(ctx, p.Tenant)
			if err != nil {
				return nil, err
			}
			code := newCode()
			if replace {
				change.End = append(change.End, store.CredentialEnd{Tenant: p.Tenant, Person: p.Mailbox, Kinds: []string{kind}, Why: whyReplaced, At: now})
			}
			change.Put = append(change.Put, store.Credential{Tenant: p.Tenant, Person: p.Mailbox, Kind: kind,
				Lookup: sum(key, "code", plainCode(code)), Made: now, Until: until, By: by})
			sheets = append(sheets, Sheet{Person: p, Code: code, Until: until, Page: r.Page(p.Tenant), Tenant: r.opts.Directory().TenantName(p.Tenant)})
		}
		if _, err := r.opts.Store.ChangeCredentials(ctx, change); err != nil {
			return nil, fmt.Errorf("keep the codes: %w", err)
		}
		if err := r.note(ctx, part[0].Tenant, by, fmt.Sprintf("%d codes (%s) were made, the first for person %d", len(part), kind, part[0].ID)); err != nil {
			return nil, err
		}
	}
	return sheets, nil
}

// SendCode sends a code to a person's telephone; number "" is the one in the directory. The
// code is Invalid when there is none, or no way to send it.
func (r *Room) SendCode(ctx context.Context, p Person, number, by string) error {
	if r.opts.Notifier == nil {
		return invalid("city.toml names no way to send SMS")
	}
	phone, err := doppelboden.ParsePhone(number)
	if number == "" {
		m, _ := r.opts.Directory().Mailbox(p.Mailbox)
		phone, err = m.Phone, nil
		// Who has the directory may have put a number of his own into it.
		distrusted, asking := r.Distrusted(ctx, p.Tenant)
		if asking != nil {
			return asking
		}
		if m.Source != "" && distrusted {
			return invalid("the directory is not believed, and the number is from there; name one that you know")
		}
	}
	if err != nil {
		return err
	}
	if phone == "" {
		return invalid("the directory knows no telephone number of this person: name one with --number")
	}
	s, err := r.SMSCode(ctx, p, by)
	if err != nil {
		return err
	}
	if err := r.opts.Notifier.Send(ctx, p.Tenant, phone, smsText(p.Language, s)); err != nil {
		return fmt.Errorf("send the code: %w", err)
	}
	return nil
}

// CrisisCode makes a code that is good for half a day, for the telephone of somebody of the
// crisis team who has no way of her own to log in. ok is false when she has one. had is what
// it returned for her last, or nothing: it is returned once more while it is good for some
// hours, so that all SMS that she may have got let her in. Other codes stay good too.
func (r *Room) CrisisCode(ctx context.Context, p Person, had Sheet, by string) (s Sheet, ok bool, err error) {
	mine, err := r.live(ctx, p)
	if err != nil {
		return s, false, err
	}
	if len(mine[kindPassword])+len(mine[kindPasskey]) > 0 {
		return s, false, nil
	}
	key, err := r.key(ctx, p.Tenant)
	if err != nil {
		return s, false, err
	}
	lookup := sum(key, "code", plainCode(had.Code))
	long := had.Until.Sub(r.opts.Clock()) > crisisTime/2
	if long && slices.ContainsFunc(mine[kindCrisis], func(c store.Credential) bool { return bytes.Equal(c.Lookup, lookup) }) {
		return had, true, nil
	}
	if err := r.endOldest(ctx, mine[kindCrisis], mostCrisis-1); err != nil {
		return s, false, err
	}
	sheets, err := r.codes(ctx, []Person{p}, kindCrisis, false, by)
	if err != nil {
		return s, false, err
	}
	return sheets[0], true, nil
}

// endOldest ends the oldest of some codes, and leaves so many. They go by ID, and so by age.
func (r *Room) endOldest(ctx context.Context, codes []store.Credential, leave int) error {
	if len(codes) <= leave {
		return nil
	}
	change := store.CredentialChange{}
	for _, c := range codes[:len(codes)-leave] {
		change.End = append(change.End, store.CredentialEnd{ID: c.ID, Why: whyReplaced, At: r.opts.Clock()})
	}
	if _, err := r.opts.Store.ChangeCredentials(ctx, change); err != nil {
		return fmt.Errorf("end the oldest codes: %w", err)
	}
	return nil
}

// SMSCode makes a code that is good for half an hour, to be sent to a person's telephone. It
// ends those that were sent before.
func (r *Room) SMSCode(ctx context.Context, p Person, by string) (Sheet, error) {
	sheets, err := r.codes(ctx, []Person{p}, kindSMS, true, by)
	if err != nil {
		return Sheet{}, err
	}
	return sheets[0], nil
}

// smsText is what a telephone shows. It names nobody: telephones are read by others.
func smsText(language string, s Sheet) string {
	if language == "en" {
		return fmt.Sprintf("Your code for the emergency mailbox: %s (good for 30 minutes). Open %s/enrol", s.Code, s.Page)
	}
	return fmt.Sprintf("Ihr Code für das Notfall-Postfach: %s (30 Minuten gültig). Öffnen Sie %s/enrol", s.Code, s.Page)
}

// RevokeCodes ends all codes of people that nobody has used yet, and returns how many.
func (r *Room) RevokeCodes(ctx context.Context, people []Person, by string) (int, error) {
	n := 0
	for len(people) > 0 {
		part := people[:min(len(people), codesAtOnce)]
		people = people[len(part):]
		change := store.CredentialChange{}
		for _, p := range part {
			change.End = append(change.End, store.CredentialEnd{Tenant: p.Tenant, Person: p.Mailbox, Kinds: codeKinds, Why: whyRevoked, At: r.opts.Clock()})
		}
		ended, err := r.opts.Store.ChangeCredentials(ctx, change)
		if err != nil {
			return n, fmt.Errorf("revoke codes: %w", err)
		}
		n += ended
		if err := r.note(ctx, part[0].Tenant, by, fmt.Sprintf("%d codes were revoked, the first of person %d", ended, part[0].ID)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// A Way is one of the things by which a person can log in.
type Way struct {
	ID    int64     `json:"id"`
	Kind  string    `json:"kind"` // "password", "totp", "passkey", "app", "sheet", "sms", "vouch" or "directory"
	Label string    `json:"label,omitempty"`
	Made  time.Time `json:"made"`
	Until time.Time `json:"until,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	Why   string    `json:"why,omitempty"` // "spent", "replaced", "revoked" or "void"
}

// Ways returns what a person has had to log in with, the newest first; with live only what
// is good now.
func (r *Room) Ways(ctx context.Context, p Person, live bool) ([]Way, error) {
	var all []Way
	now := r.opts.Clock()
	err := r.opts.Store.Credentials(ctx, store.CredentialFilter{Person: p.Mailbox, Live: live}, func(c store.Credential) error {
		if !live || c.Until.IsZero() || now.Before(c.Until) {
			all = append([]Way{{ID: c.ID, Kind: c.Kind, Label: c.Label, Made: c.Made, Until: c.Until, Ended: c.Ended, Why: c.Why}}, all...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how she logs in: %w", err)
	}
	return all, nil
}

// Revoke ends one of the ways in which the person of a session logs in, and her other
// sessions. The last way that is left can be revoked too: codes make new ones.
func (r *Room) Revoke(ctx context.Context, cookie string, id int64) error {
	s, p, _, err := r.session(ctx, cookie)
	if err != nil {
		return err
	}
	if s.Needs != NeedsNothing {
		return errStale
	}
	if err := r.mayChange(s); err != nil {
		return err
	}
	return r.revoke(ctx, p, id, byPerson(p), s.Hash)
}

// RevokeWay ends a way of a person under the name of somebody who may.
func (r *Room) RevokeWay(ctx context.Context, p Person, id int64, by string) error {
	return r.revoke(ctx, p, id, by, nil)
}

func (r *Room) revoke(ctx context.Context, p Person, id int64, by string, keep []byte) error {
	var found bool
	err := r.opts.Store.Credentials(ctx, store.CredentialFilter{ID: id, Person: p.Mailbox, Live: true}, func(store.Credential) error {
		found = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("find what is to be revoked: %w", err)
	}
	if !found {
		return &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is nothing like that any more"}
	}
	_, err = r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{End: []store.CredentialEnd{{ID: id, Why: whyRevoked, At: r.opts.Clock()}}})
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if _, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Person: p.Mailbox, Except: keep}); err != nil {
		return fmt.Errorf("end the sessions: %w", err)
	}
	return r.note(ctx, p.Tenant, by, fmt.Sprintf("credential %d of person %d was revoked", id, p.ID))
}

// mostApps is how many programs one person may have.
const mostApps = 20

// NewApp makes a password for a program of the person of a session, which is shown once.
func (r *Room) NewApp(ctx context.Context, cookie, label string) (string, error) {
	s, p, _, err := r.session(ctx, cookie)
	if err != nil {
		return "", err
	}
	if s.Needs != NeedsNothing {
		return "", errStale
	}
	if err := r.mayChange(s); err != nil {
		return "", err
	}
	mine, err := r.live(ctx, p)
	if err != nil {
		return "", err
	}
	if len(mine[kindApp]) >= mostApps {
		return "", invalid("you have many programs already; remove one first")
	}
	password, now := newAppPassword(), r.opts.Clock()
	plain, _ := plainAppPassword(password)
	_, err = r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{Session: s.Hash, Put: []store.Credential{{Tenant: p.Tenant, Person: p.Mailbox,
		Kind: kindApp, Label: oneLine(label, 60), Lookup: appLookup(plain), Made: now, By: madeBy(s, p)}}})
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return "", errNobody
	}
	if err != nil {
		return "", fmt.Errorf("keep the password of a program: %w", err)
	}
	return password, nil
}

// SetPassword gives a person a password under the name of an administrator, and ends her
// sessions.
func (r *Room) SetPassword(ctx context.Context, p Person, password, by string) error {
	if err := badPassword(p, password); err != nil {
		return err
	}
	data, err := r.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	now := r.opts.Clock()
	_, err = r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{
		End: []store.CredentialEnd{{Tenant: p.Tenant, Person: p.Mailbox, Kinds: []string{kindPassword}, Why: whyReplaced, At: now}},
		Put: []store.Credential{{Tenant: p.Tenant, Person: p.Mailbox, Kind: kindPassword, Data: []byte(data), Made: now, By: by}},
	})
	if err != nil {
		return fmt.Errorf("keep the password: %w", err)
	}
	if _, err := r.opts.Store.EndSessions(ctx, store.SessionFilter{Person: p.Mailbox}); err != nil {
		return fmt.Errorf("end the sessions: %w", err)
	}
	return r.note(ctx, p.Tenant, by, fmt.Sprintf("person %d got a password", p.ID))
}

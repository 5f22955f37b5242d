package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// Kinds of credentials, as the store keeps them.
const (
	kindKey       = "key"       // the tenant's own: for sums of codes and cookies of devices
	kindPassword  = "password"  // Data: Argon2id
	kindDirectory = "directory" // the same, of a password that the directory took
	kindTOTP      = "totp"      // Data: the sealed seed; Counter: the last step that was used
	kindPasskey   = "passkey"   // Data: its public half, as JSON; Lookup: its id
	kindApp       = "app"       // Lookup: SHA-256 of a password for a program
	kindSheet     = "sheet"     // Lookup: the keyed sum of a printed code
	kindSMS       = "sms"       // the same, of a code that was sent to a telephone
	kindCrisis    = "crisis"    // the same, to the crisis team, when an outage began
	kindVouch     = "vouch"     // the same, of a code that somebody gave who knows her
)

// codeKinds are the kinds of codes that enrol.
var codeKinds = []string{kindSheet, kindSMS, kindCrisis, kindVouch}

// sourceDirectory is the source of sessions that the directory's password opened.
const sourceDirectory = "directory"

// errWrong is the answer to everybody who is not let in.
var errWrong = &doppelboden.Error{Code: doppelboden.Policy, Public: "this address, password or code is not right"}

// ErrClosed is what people hear while the doors are closed.
var ErrClosed = &doppelboden.Error{Code: doppelboden.Policy, Public: "the emergency mailboxes are not open now"}

// longestSecret bounds what somebody may send as a password, in bytes.
const longestSecret = 1024

// LogIn lets somebody in, or not. The code is Policy for every reason that is hers, with
// one text for all of them, and Busy when it would not be looked at now. With a code in
// the place of the password, at the door web, she may enrol.
func (r *Room) LogIn(ctx context.Context, a Attempt) (Login, error) {
	if len(a.User) > 320 || len(a.Password) > longestSecret {
		return Login{}, errWrong
	}
	if code, ok := ParseCode(a.Password); ok && a.Door == DoorWeb {
		return r.redeem(ctx, a, code)
	}
	who := r.whoIs(a.User)
	if who.conf.Name != "" && !r.Open(who.Tenant, a.Door) {
		return Login{}, ErrClosed
	}
	mine, err := r.live(ctx, who.Person)
	if err != nil {
		return Login{}, err
	}
	if a.Door != DoorWeb {
		return r.logInProgram(ctx, a, who, mine)
	}
	v, _, err := r.enter(ctx, a, who)
	if err != nil {
		return Login{}, err
	}
	source, err := r.checkPassword(ctx, who, mine, a.Password)
	if err != nil {
		v.never()
		return Login{}, err
	}
	if source == "" {
		return Login{}, errWrong
	}
	v.right()
	return r.begin(ctx, a, who, mine, source)
}

// A claim is somebody who says who she is.
type claim struct {
	Person
	known bool        // there is such a person
	typed string      // what she wrote, or her number: what tries are counted for
	conf  city.Tenant // of her domain; without a name when it is nobody's
}

// whoIs finds the person with an address.
func (r *Room) whoIs(user string) (who claim) {
	user = strings.TrimSpace(user)
	digest := sha256.Sum256([]byte(strings.ToLower(user)))
	who.typed = string(digest[:])
	a, err := doppelboden.ParseAddress(user)
	if err != nil {
		return who
	}
	d := r.opts.Directory()
	if t, ok := d.TenantOf(a.Domain); ok {
		who.conf, _ = d.City().Tenant(d.TenantName(t))
		who.Tenant = t
	}
	if p, ok := r.Find(a); ok {
		who.Person, who.known = p, true
		who.typed = fmt.Sprintf("p%d", p.ID)
		return who
	}
	who.Address = a
	return who
}

// credentials are a person's live credentials, by kind.
type credentials map[string][]store.Credential

// first returns the first of a kind, or nil.
func (c credentials) first(kind string) *store.Credential {
	if len(c[kind]) == 0 {
		return nil
	}
	return &c[kind][0]
}

// live reads what a person can log in with now. For nobody it asks as well, so that the
// answer takes the same steps.
func (r *Room) live(ctx context.Context, p Person) (credentials, error) {
	person := doppelboden.MailboxID(p.ID)
	if person == 0 {
		person = -1
	}
	mine, now := credentials{}, r.opts.Clock()
	err := r.opts.Store.Credentials(ctx, store.CredentialFilter{Person: person, Live: true}, func(c store.Credential) error {
		if c.Until.IsZero() || now.Before(c.Until) {
			mine[c.Kind] = append(mine[c.Kind], c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	return mine, nil
}

// enter counts a try, by person and network, or by person and known device.
func (r *Room) enter(ctx context.Context, a Attempt, who claim) (v *visit, device string, err error) {
	if who.known && a.Device != "" {
		name, _, known, err := r.device(ctx, who.Tenant, a.Device, who.ID)
		if err != nil {
			return nil, "", err
		}
		if known {
			device = name
		}
	}
	v, err = r.guard.enter(who.typed, networkOf(a.Peer), device, r.isOwn(who.conf.Accounts, a))
	return v, device, err
}

// isOwn reports whether somebody comes from the city's own network.
func (r *Room) isOwn(conf city.Accounts, a Attempt) bool {
	peer := a.Peer.Unmap().WithZone("")
	for _, p := range conf.Networks {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// checkPassword returns by what a password is right: kindPassword, kindDirectory, or ""
// when it is not. It computes one hash, and one more in cities that keep their directory's
// passwords, whoever asks.
func (r *Room) checkPassword(ctx context.Context, who claim, mine credentials, password string) (source string, err error) {
	own := mine.first(kindPassword)
	if own != nil && r.seen.has(own, password) {
		return kindPassword, nil
	}
	right, err := r.hasher.matches(ctx, dataOf(own), password)
	if err != nil {
		return "", err
	}
	if right {
		r.seen.put(own, password)
	}
	keeps := who.conf.Accounts.KeepDays > 0 && r.opts.Verify != nil
	if !keeps {
		return sourceIf(right, kindPassword), nil
	}
	kept, err := r.checkKept(ctx, who, mine, password, right)
	if err != nil {
		return "", err
	}
	if right {
		return kindPassword, nil
	}
	return sourceIf(kept, kindDirectory), nil
}

func sourceIf(right bool, source string) string {
	if right {
		return source
	}
	return ""
}

// dataOf returns the hash in a credential, or "" for none.
func dataOf(c *store.Credential) string {
	if c == nil {
		return ""
	}
	return string(c.Data)
}

// begin gives somebody who has shown a password her session.
func (r *Room) begin(ctx context.Context, a Attempt, who claim, mine credentials, source string) (Login, error) {
	needs := NeedsNothing
	switch {
	case len(mine[kindTOTP]) > 0:
		needs = NeedsTOTP
	case len(mine[kindPasskey]) > 0:
		needs = NeedsPasskey
	case who.conf.Accounts.SecondFactor:
		needs = NeedsSecond
	}
	if source == kindPassword && fromDirectory(mine.first(kindPassword)) {
		source = sourceDirectory
	}
	device := a.Device
	if needs == NeedsNothing {
		var err error
		if device, err = r.newDevice(ctx, who.Tenant, a.Device, who.ID); err != nil {
			return Login{}, err
		}
	}
	s := store.LoggedIn{Tenant: who.Tenant, Person: who.Mailbox, Needs: needs, Source: source}
	cookie, err := r.putSession(ctx, s, state{Network: networkOf(a.Peer), Own: r.isOwn(who.conf.Accounts, a), Device: a.Device}, nil)
	if err != nil {
		return Login{}, err
	}
	if err := r.stillBelieved(ctx, s, cookie); err != nil {
		return Login{}, err
	}
	return Login{Person: who.Person, Session: cookie, Device: device, Needs: needs}, nil
}

// logInProgram lets a program in: with a password of its own, or with the person's where
// that alone opens her mailbox.
func (r *Room) logInProgram(ctx context.Context, a Attempt, who claim, mine credentials) (Login, error) {
	if app := appIn(mine, a.Password); app != nil {
		return r.letProgramIn(ctx, who, app)
	}
	own := mine.first(kindPassword)
	single := len(mine[kindTOTP])+len(mine[kindPasskey]) == 0 && !who.conf.Accounts.SecondFactor
	if single && own != nil && r.seen.has(own, a.Password) {
		return r.letProgramIn(ctx, who, own)
	}
	v, _, err := r.enter(ctx, a, who)
	if err != nil {
		return Login{}, err
	}
	source, err := r.checkPassword(ctx, who, mine, a.Password)
	if err != nil {
		v.never()
		return Login{}, err
	}
	if source == "" || !single {
		return Login{}, errWrong
	}
	v.right()
	if source == kindDirectory { // it may have been kept just now
		if mine, err = r.live(ctx, who.Person); err != nil {
			return Login{}, err
		}
		own = mine.first(kindDirectory)
	}
	return r.letProgramIn(ctx, who, own)
}

// letProgramIn lets a program in by a credential, unless that comes from a directory that
// is not believed.
func (r *Room) letProgramIn(ctx context.Context, who claim, by *store.Credential) (Login, error) {
	if by == nil { // it ended this very moment
		return Login{}, errWrong
	}
	if fromDirectory(by) {
		if distrusted, err := r.Distrusted(ctx, who.Tenant); err != nil {
			return Login{}, err
		} else if distrusted {
			return Login{}, errWrong
		}
	}
	return Login{Person: who.Person, Way: by.ID}, nil
}

// Still reports whether what let a program in is good: passwords are changed, programs
// revoked, and directories found in the wrong hands while programs stay connected for days.
func (r *Room) Still(ctx context.Context, p PersonID, way int64) (bool, error) {
	who, ok := r.PersonOf(p)
	if !ok {
		return false, nil
	}
	good, doubtful := false, false
	err := r.opts.Store.Credentials(ctx, store.CredentialFilter{ID: way, Person: who.Mailbox, Live: true}, func(c store.Credential) error {
		good, doubtful = c.Until.IsZero() || r.opts.Clock().Before(c.Until), fromDirectory(&c)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("read what let a program in: %w", err)
	}
	if good && doubtful {
		distrusted, err := r.Distrusted(ctx, who.Tenant)
		return !distrusted, err
	}
	return good, nil
}

// appIn returns the app password that somebody has shown, or nil. It has 130 random bits,
// so that no limit is needed where it is right.
func appIn(mine credentials, password string) *store.Credential {
	plain, ok := plainAppPassword(password)
	if !ok {
		return nil
	}
	digest := appLookup(plain)
	for i := range mine[kindApp] {
		if string(mine[kindApp][i].Lookup) == string(digest) {
			return &mine[kindApp][i]
		}
	}
	return nil
}

// appLookup is the SHA-256 of an app password.
func appLookup(plain string) []byte {
	digest := sha256.Sum256([]byte("app\x00" + plain))
	return digest[:]
}

// redeem begins to enrol who shows a code. The code is spent when she has set a password or
// a passkey, so that a closed window costs nobody her code.
func (r *Room) redeem(ctx context.Context, a Attempt, code string) (Login, error) {
	c, found, err := r.findCode(ctx, code)
	if err != nil {
		return Login{}, err
	}
	p, there := r.PersonOf(PersonID(c.Person))
	if !found || !there || a.User != "" && r.whoIs(a.User).ID != p.ID {
		// With 85 random bits a right code needs no limit, so nobody can use one up for
		// others. Who tries many wrong ones is stopped because of the noise.
		digest := sha256.Sum256([]byte(code))
		if _, err := r.guard.enter("c"+string(digest[:]), "codes "+networkOf(a.Peer), "", r.OwnNetwork(a.Peer)); err != nil {
			return Login{}, err
		}
		return Login{}, errWrong
	}
	s := store.LoggedIn{Tenant: p.Tenant, Person: p.Mailbox, Needs: NeedsEnrol, Source: c.Kind, Code: c.ID}
	if fromDirectory(&c) {
		s.Source = sourceDirectory
	}
	cookie, err := r.putSession(ctx, s, state{Network: networkOf(a.Peer)}, nil)
	if err != nil {
		return Login{}, err
	}
	if err := r.stillBelieved(ctx, s, cookie); err != nil {
		return Login{}, err
	}
	return Login{Person: p, Session: cookie, Device: a.Device, Needs: NeedsEnrol}, nil
}

// OwnNetwork reports whether an address is in a network of any tenant's own.
func (r *Room) OwnNetwork(peer netip.Addr) bool {
	for _, t := range r.opts.Directory().City().Tenants {
		if r.isOwn(t.Accounts, Attempt{Peer: peer}) {
			return true
		}
	}
	return false
}

// findCode looks for a live code. Its sum has the key of a tenant, so each is tried.
func (r *Room) findCode(ctx context.Context, code string) (got store.Credential, found bool, err error) {
	now := r.opts.Clock()
	for _, t := range r.opts.Directory().Tenants() {
		if _, ok := r.accounts(t.ID); !ok {
			continue
		}
		key, err := r.key(ctx, t.ID)
		if err != nil {
			return got, false, err
		}
		f := store.CredentialFilter{Lookup: sum(key, "code", code), Kinds: codeKinds, Live: true}
		err = r.opts.Store.Credentials(ctx, f, func(c store.Credential) error {
			if c.Until.IsZero() || now.Before(c.Until) {
				got, found = c, true
			}
			return nil
		})
		if err != nil {
			return got, false, fmt.Errorf("look for a code: %w", err)
		}
	}
	return got, found, nil
}

// checkKept asks the directory whether a password is right, and keeps it for the time
// without one; while nobody can ask, or the directory is not trusted, it looks at what was
// kept. ownRight says that the person's own password was right, so that nothing is asked.
func (r *Room) checkKept(ctx context.Context, who claim, mine credentials, password string, ownRight bool) (bool, error) {
	kept := mine.first(kindDirectory)
	right, err := r.hasher.matches(ctx, dataOf(kept), password)
	if err != nil || ownRight {
		return false, err
	}
	distrusted, err := r.Distrusted(ctx, who.Tenant)
	if err != nil || distrusted {
		return false, err
	}
	asked, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := r.opts.Verify(asked, who.conf, who.Address, password)
	if err != nil {
		var gone *doppelboden.Error
		if errors.As(err, &gone) && gone.Code == doppelboden.Policy {
			return false, nil
		}
		return right, nil // nobody can be asked: what was kept decides
	}
	if !now || !who.known {
		return false, nil
	}
	return true, r.keepDirectory(ctx, who, password, kept, right)
}

// keepDirectory keeps a password that the directory has just taken.
func (r *Room) keepDirectory(ctx context.Context, who claim, password string, kept *store.Credential, same bool) error {
	at := r.opts.Clock()
	life := time.Duration(who.conf.Accounts.KeepDays) * 24 * time.Hour
	if same && kept != nil && kept.Until.Sub(at) > life-24*time.Hour {
		return nil // it is fresh
	}
	data, err := r.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = r.opts.Store.ChangeCredentials(ctx, store.CredentialChange{
		End: []store.CredentialEnd{{Tenant: who.Tenant, Person: who.Mailbox, Kinds: []string{kindDirectory}, Why: whyReplaced, At: at}},
		Put: []store.Credential{{Tenant: who.Tenant, Person: who.Mailbox, Kind: kindDirectory, Data: []byte(data), Made: at, Until: at.Add(life), By: byDirectory}},
	})
	if err != nil {
		return fmt.Errorf("keep the directory's password: %w", err)
	}
	return nil
}

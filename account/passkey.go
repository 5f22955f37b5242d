package account

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"doppelboden"
	"doppelboden/store"
)

const (
	// ceremonyTime is how long somebody has to find her key.
	ceremonyTime = 5 * time.Minute
	// mostCeremonies bounds what is remembered: some 5 MB.
	mostCeremonies = 10_000
	// mostPasskeys of one person.
	mostPasskeys = 20
	// mostPages bounds the addresses of pages that are remembered: a tenant has one, but who
	// asks writes port and case as she likes.
	mostPages = 100
)

// A ceremony is a passkey that somebody is asked for. It lives in this node's memory, so
// it has to end where it began.
type ceremony struct {
	data   webauthn.SessionData
	person PersonID // who adds a passkey; 0: somebody logs in
	until  time.Time
}

// A keyHolder is a person as go-webauthn sees her.
type keyHolder struct {
	Person
	keys []webauthn.Credential
}

// WebAuthnID implements webauthn.User: the number of her mailbox, and nothing about her.
func (h keyHolder) WebAuthnID() []byte { return binary.BigEndian.AppendUint64(nil, uint64(h.ID)) }

// WebAuthnName implements webauthn.User.
func (h keyHolder) WebAuthnName() string { return h.Address.String() }

// WebAuthnDisplayName implements webauthn.User.
func (h keyHolder) WebAuthnDisplayName() string {
	if h.Name != "" {
		return h.Name
	}
	return h.Address.String()
}

// WebAuthnCredentials implements webauthn.User.
func (h keyHolder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// Page returns the address of a tenant's emergency page.
func (r *Room) Page(t doppelboden.TenantID) string {
	if conf, ok := r.accounts(t); ok && conf.Page != "" {
		return conf.Page
	}
	return strings.TrimSuffix(r.opts.Page(), "/")
}

// relying returns what go-webauthn needs for a host: passkeys belong to the name in the
// address that people open. A passkey of one name is of no use at another.
func (r *Room) relying(page string) (*webauthn.WebAuthn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.passkeys[page]; ok {
		return w, nil
	}
	u, err := url.Parse(page)
	if err != nil {
		return nil, fmt.Errorf("read the address of the page: %w", err)
	}
	w, err := webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "Doppelboden", RPOrigins: []string{page}})
	if err != nil {
		return nil, fmt.Errorf("prepare passkeys: %w", err)
	}
	if len(r.passkeys) >= mostPages {
		clear(r.passkeys)
	}
	r.passkeys[page] = w
	return w, nil
}

// startCeremony remembers what was asked, and names it.
func (r *Room) startCeremony(data *webauthn.SessionData, p PersonID) string {
	name, now := rand.Text(), r.opts.Clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ceremonies) >= mostCeremonies {
		for n, c := range r.ceremonies {
			if !now.Before(c.until) {
				delete(r.ceremonies, n)
			}
		}
		for n := range r.ceremonies {
			if len(r.ceremonies) < mostCeremonies {
				break
			}
			delete(r.ceremonies, n)
		}
	}
	r.ceremonies[name] = &ceremony{data: *data, person: p, until: now.Add(ceremonyTime)}
	return name
}

// endCeremony returns what was asked, once.
func (r *Room) endCeremony(name string) (*ceremony, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.ceremonies[name]
	delete(r.ceremonies, name)
	return c, ok && r.opts.Clock().Before(c.until)
}

// holder returns a person with her passkeys.
func (r *Room) holder(ctx context.Context, p Person) (h keyHolder, rows []store.Credential, err error) {
	mine, err := r.live(ctx, p)
	if err != nil {
		return h, nil, err
	}
	h.Person = p
	for _, c := range mine[kindPasskey] {
		var key webauthn.Credential
		if err := json.Unmarshal(c.Data, &key); err != nil {
			return h, nil, fmt.Errorf("read passkey %d: %w", c.ID, err)
		}
		h.keys = append(h.keys, key)
	}
	return h, mine[kindPasskey], nil
}

// errPasskey is the answer to a passkey that does not let in.
var errPasskey = &doppelboden.Error{Code: doppelboden.Policy, Public: "this passkey does not let you in here; take another way"}

// BeginPasskey asks the browser of a session for a new passkey: options is the JSON that
// navigator.credentials.create takes as publicKey, name belongs into FinishPasskey.
func (r *Room) BeginPasskey(ctx context.Context, cookie string) (name string, options []byte, err error) {
	s, p, _, err := r.session(ctx, cookie)
	if err != nil {
		return "", nil, err
	}
	if err := r.mayChange(s); err != nil {
		return "", nil, err
	}
	h, rows, err := r.holder(ctx, p)
	if err != nil {
		return "", nil, err
	}
	if len(rows) >= mostPasskeys {
		return "", nil, invalid("you have many passkeys already; remove one first")
	}
	w, err := r.relying(r.Page(p.Tenant))
	if err != nil {
		return "", nil, err
	}
	var have []protocol.CredentialDescriptor
	for i := range h.keys {
		have = append(have, h.keys[i].Descriptor())
	}
	creation, data, err := w.BeginRegistration(h, webauthn.WithExclusions(have),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired}))
	if err != nil {
		return "", nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	if options, err = json.Marshal(creation.Response); err != nil {
		return "", nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	return r.startCeremony(data, p.ID), options, nil
}

// FinishPasskey keeps the passkey that a browser has made; label is what its owner calls it.
func (r *Room) FinishPasskey(ctx context.Context, cookie, name, label string, response []byte) (Login, error) {
	s, p, st, err := r.session(ctx, cookie)
	if err != nil {
		return Login{}, err
	}
	if err := r.mayChange(s); err != nil {
		return Login{}, err
	}
	c, ok := r.endCeremony(name)
	if !ok || c.person != p.ID {
		return Login{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "that took too long; please begin again"}
	}
	h, _, err := r.holder(ctx, p)
	if err != nil {
		return Login{}, err
	}
	w, err := r.relying(r.Page(p.Tenant))
	if err != nil {
		return Login{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Login{}, refusedPasskey(err)
	}
	key, err := w.CreateCredential(h, c.data, parsed)
	if err != nil {
		return Login{}, refusedPasskey(err)
	}
	data, err := json.Marshal(key)
	if err != nil {
		return Login{}, fmt.Errorf("keep the passkey: %w", err)
	}
	now := r.opts.Clock()
	s.Second = true
	return r.enrol(ctx, s, p, st, store.CredentialChange{At: now, Put: []store.Credential{{Tenant: p.Tenant, Person: p.Mailbox,
		Kind: kindPasskey, Label: oneLine(label, 60), Lookup: append([]byte("passkey\x00"), key.ID...), Data: data, Made: now, By: madeBy(s, p)}}})
}

// refusedPasskey says nothing of why to the browser; the reason is for the log.
func refusedPasskey(why error) error {
	var detail *protocol.Error
	if errors.As(why, &detail) {
		why = fmt.Errorf("%w: %s", why, detail.DevInfo)
	}
	return &doppelboden.Error{Code: errPasskey.Code, Public: errPasskey.Public, Cause: why}
}

// BeginPasskeyLogin asks any browser for a passkey of a tenant's page: options is the JSON
// that navigator.credentials.get takes as publicKey.
func (r *Room) BeginPasskeyLogin(ctx context.Context, page string) (name string, options []byte, err error) {
	w, err := r.relying(page)
	if err != nil {
		return "", nil, err
	}
	assertion, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return "", nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	if options, err = json.Marshal(assertion.Response); err != nil {
		return "", nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	return r.startCeremony(data, 0), options, nil
}

// LogInPasskey lets in who has shown a passkey. With it she has shown two factors: that she
// has the key, and that it knows her. No limit is needed, because nobody can guess one.
func (r *Room) LogInPasskey(ctx context.Context, a Attempt, page, name string, response []byte) (Login, error) {
	c, ok := r.endCeremony(name)
	if !ok || c.person != 0 {
		return Login{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "that took too long; please begin again"}
	}
	w, err := r.relying(page)
	if err != nil {
		return Login{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Login{}, refusedPasskey(err)
	}
	var rows []store.Credential
	_, key, err := w.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if len(handle) != 8 {
			return nil, errPasskey
		}
		p, ok := r.PersonOf(PersonID(binary.BigEndian.Uint64(handle)))
		if !ok || !strings.EqualFold(r.Page(p.Tenant), page) {
			return nil, errPasskey
		}
		h, list, err := r.holder(ctx, p)
		rows = list
		return h, err
	}, c.data, parsed)
	if err != nil {
		return Login{}, refusedPasskey(err)
	}
	if key.Authenticator.CloneWarning {
		return Login{}, refusedPasskey(errors.New("its counter went back: there may be a copy of it"))
	}
	for i := range rows {
		if string(rows[i].Lookup) == "passkey\x00"+string(key.ID) {
			return r.passkeyShown(ctx, a, rows[i], key)
		}
	}
	return Login{}, errPasskey
}

// passkeyShown begins a session, and keeps what the passkey says of itself now.
func (r *Room) passkeyShown(ctx context.Context, a Attempt, row store.Credential, key *webauthn.Credential) (Login, error) {
	p, ok := r.PersonOf(PersonID(row.Person))
	if !ok {
		return Login{}, errPasskey
	}
	if !r.Open(p.Tenant, DoorWeb) {
		return Login{}, ErrClosed
	}
	var err error
	if row.Data, err = json.Marshal(key); err != nil {
		return Login{}, fmt.Errorf("keep the passkey: %w", err)
	}
	if err := r.opts.Store.Reseal(ctx, 0, []store.Credential{row}); err != nil {
		return Login{}, fmt.Errorf("keep the passkey: %w", err)
	}
	device, err := r.newDevice(ctx, p.Tenant, a.Device, p.ID)
	if err != nil {
		return Login{}, err
	}
	s := store.LoggedIn{Tenant: p.Tenant, Person: p.Mailbox, Source: kindPasskey, Second: true}
	if fromDirectory(&row) {
		s.Source = sourceDirectory
	}
	cookie, err := r.putSession(ctx, s, state{Network: networkOf(a.Peer)}, nil)
	if err != nil {
		return Login{}, err
	}
	if err := r.stillBelieved(ctx, s, cookie); err != nil {
		return Login{}, err
	}
	return Login{Person: p, Session: cookie, Device: device}, nil
}

// oneLine makes what somebody typed fit for one line.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most-1]) + "…"
	}
	return s
}

package account

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"doppelboden"
)

// An authenticator is a key as a browser and its device make one: ES256, with the user
// verified. It writes what WebAuthn Level 2, sections 6.1 and 6.5, say, in CBOR by hand.
type authenticator struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	user   []byte
	count  uint32
	flags  byte   // besides that a credential is attached
	origin string // where the browser says it is
}

func newAuthenticator(t testing.TB) *authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authenticator{t: t, key: key, id: make([]byte, 20), flags: 0x05, origin: "https://notfall.stadt.example"}
	rand.Read(a.id)
	return a
}

var b64 = base64.RawURLEncoding

// data is the authenticator data.
func (a *authenticator) data(attached []byte) []byte {
	rp := sha256.Sum256([]byte("notfall.stadt.example"))
	flags := a.flags
	if attached != nil {
		flags |= 0x40
	}
	a.count++
	return append(binary.BigEndian.AppendUint32(append(rp[:], flags), a.count), attached...)
}

// client is the client data.
func (a *authenticator) client(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// create answers navigator.credentials.create.
func (a *authenticator) create(options []byte) []byte {
	a.t.Helper()
	var o struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		a.t.Fatal(err)
	}
	a.user, _ = b64.DecodeString(o.User.ID)
	point, err := a.key.PublicKey.Bytes() // 0x04, X, Y
	if err != nil {
		a.t.Fatal(err)
	}
	// RFC 9053, section 2.1: {1: 2, 3: -7, -1: 1, -2: X, -3: Y}.
	cose := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	cose = append(append(append(cose, point[1:33]...), 0x22, 0x58, 0x20), point[33:]...)
	attached := append(make([]byte, 16), 0, byte(len(a.id)))
	data := a.data(append(append(attached, a.id...), cose...))
	// {"fmt": "none", "attStmt": {}, "authData": data}
	object := append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), byte(len(data)))
	object = append(object, data...)
	return a.answer(map[string]string{"clientDataJSON": b64.EncodeToString(a.client("webauthn.create", o.Challenge)), "attestationObject": b64.EncodeToString(object)})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(options []byte) []byte {
	a.t.Helper()
	var o struct {
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		a.t.Fatal(err)
	}
	client, data := a.client("webauthn.get", o.Challenge), a.data(nil)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(data[:len(data):len(data)], hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]string{"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data),
		"signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(a.user)})
}

func (a *authenticator) answer(response map[string]string) []byte {
	text, err := json.Marshal(map[string]any{"id": b64.EncodeToString(a.id), "rawId": b64.EncodeToString(a.id), "type": "public-key",
		"response": response, "clientExtensionResults": map[string]any{}})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

const pageOfStadt = "https://notfall.stadt.example"

// withPasskey adds a passkey to a session.
func (w *world) withPasskey(l Login, a *authenticator) Login {
	w.t.Helper()
	name, options, err := w.room.BeginPasskey(ctx, l.Session)
	w.must(err)
	l, err = w.room.FinishPasskey(ctx, l.Session, name, "Telefon", a.create(options))
	w.must(err)
	return l
}

// show logs in with a passkey.
func (w *world) show(a *authenticator) (Login, error) {
	w.t.Helper()
	name, options, err := w.room.BeginPasskeyLogin(ctx, pageOfStadt)
	w.must(err)
	return w.room.LogInPasskey(ctx, web("", ""), pageOfStadt, name, a.get(options))
}

func TestAPasskeyLogsInAloneAndIsASecondFactor(t *testing.T) {
	w := newWorld(t, "")
	a := newAuthenticator(t)
	l := w.withPasskey(w.enrolled("anna@stadt.example"), a)
	if s, err := w.room.Session(ctx, l.Session); err != nil || !s.Second {
		t.Errorf("the session that made it: %+v, %v", s, err)
	}
	for range 2 {
		got, err := w.show(a)
		w.must(err)
		if s, err := w.room.Session(ctx, got.Session); err != nil || s.Person.ID != l.Person.ID || !s.Second || s.Needs != "" || got.Device == "" {
			t.Errorf("with a passkey: %+v, %+v, %v", got, s, err)
		}
	}
	half, err := w.room.LogIn(ctx, web("anna@stadt.example", good))
	w.must(err)
	if half.Needs != NeedsPasskey {
		t.Errorf("the password alone needs %q, wanted the passkey", half.Needs)
	}
	ways, err := w.room.Ways(ctx, l.Person, true)
	w.must(err)
	got, err := w.show(a)
	w.must(err)
	w.must(w.room.Revoke(ctx, got.Session, ways[0].ID))
	_, err = w.show(a)
	code(t, "a revoked passkey", err, doppelboden.Policy)
}

func TestACodeCanEnrolWithAPasskeyAlone(t *testing.T) {
	w := newWorld(t, "second_factor = true")
	sheets, err := w.room.Sheets(ctx, []Person{w.person("anna@stadt.example")}, true, "test")
	w.must(err)
	l, err := w.room.LogIn(ctx, web("", sheets[0].Code))
	w.must(err)
	if l = w.withPasskey(l, newAuthenticator(t)); l.Needs != "" {
		t.Errorf("after a passkey it still needs %q", l.Needs)
	}
	_, err = w.room.LogIn(ctx, web("", sheets[0].Code))
	code(t, "the code, which is spent", err, doppelboden.Policy)
}

func TestWhoAsksForManyPagesFillsNoMemory(t *testing.T) {
	w := newWorld(t, "")
	for port := range 10 * mostPages {
		_, _, err := w.room.BeginPasskeyLogin(ctx, fmt.Sprintf("https://node.example:%d", port+1))
		w.must(err)
	}
	if n := len(w.room.passkeys); n > mostPages {
		t.Errorf("%d pages are remembered, wanted at most %d", n, mostPages)
	}
}

func TestWhatIsNoRightPasskeyLetsNobodyIn(t *testing.T) {
	w := newWorld(t, "")
	a := newAuthenticator(t)
	w.withPasskey(w.enrolled("anna@stadt.example"), a)
	begin := func() (string, []byte) {
		t.Helper()
		name, options, err := w.room.BeginPasskeyLogin(ctx, pageOfStadt)
		w.must(err)
		return name, options
	}
	for what, change := range map[string]func(*authenticator){
		"another key":   func(a *authenticator) { a.key = newAuthenticator(t).key },
		"an unknown id": func(a *authenticator) { a.id = make([]byte, 20) },
		"somebody else's handle": func(a *authenticator) {
			a.user = binary.BigEndian.AppendUint64(nil, uint64(w.boxes["bert@stadt.example"]))
		},
		"no handle":                func(a *authenticator) { a.user = nil },
		"a site that looks alike":  func(a *authenticator) { a.origin = "https://notfall.stadt.example.evil.example" },
		"a user who was not asked": func(a *authenticator) { a.flags = 0x01 },
		"a copy, whose count lags": func(a *authenticator) { a.count = 0 },
	} {
		name, options := begin()
		b := *a
		change(&b)
		_, err := w.room.LogInPasskey(ctx, web("", ""), pageOfStadt, name, b.get(options))
		code(t, what, err, doppelboden.Policy)
	}
	name, options := begin()
	response := a.get(options)
	other, _ := begin()
	_, err := w.room.LogInPasskey(ctx, web("", ""), pageOfStadt, other, response)
	code(t, "the answer to another question", err, doppelboden.Policy)
	_, err = w.room.LogInPasskey(ctx, web("", ""), "https://notfall.kreis.example", name, response)
	code(t, "at another page", err, doppelboden.Policy)
	_, err = w.room.LogInPasskey(ctx, web("", ""), pageOfStadt, name, response)
	code(t, "the same question for a second time", err, doppelboden.Policy)
	name, options = begin()
	w.forward(ceremonyTime + time.Second)
	_, err = w.room.LogInPasskey(ctx, web("", ""), pageOfStadt, name, a.get(options))
	code(t, "too late", err, doppelboden.Policy)
	for _, rubbish := range []string{"", "{}", "null", `{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA"}}`} {
		name, _ = begin()
		_, err = w.room.LogInPasskey(ctx, web("", ""), pageOfStadt, name, []byte(rubbish))
		code(t, "rubbish "+rubbish, err, doppelboden.Policy)
	}
	if _, err := w.show(a); err != nil {
		t.Errorf("the right one afterwards: %v", err)
	}
	w.leave("anna@stadt.example")
	_, err = w.show(a)
	code(t, "of somebody who has left", err, doppelboden.Policy)
}

package sender

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
)

// cheap is a hash that costs next to nothing, as no real one should.
func cheap(password string) Hash {
	h := Hash{memory: 8, passes: 1, lanes: 1, salt: []byte("saltsalt")}
	h.sum = h.of(password, hashSize)
	return h
}

func newBook(o Options, list ...Sender) *Book {
	b := NewBook(o)
	b.guard.nobody = cheap("nobody's")
	b.Use(list)
	return b
}

var home = netip.MustParseAddr("192.0.2.7")

func TestAHashMatchesItsPasswordAloneAndCanBeReadBack(t *testing.T) {
	h := NewHash("correct horse")
	text := h.String()
	if !strings.HasPrefix(text, "$argon2id$v=19$m=65536,t=3,p=4$") || strings.Contains(text, "horse") {
		t.Errorf("hash %q", text)
	}
	back, err := ParseHash(" " + text + "\n")
	if err != nil || !back.Matches("correct horse") || back.Matches("correct horse ") || back.String() != text {
		t.Errorf("%q was read as %v, %v", text, back, err)
	}
	if NewHash("correct horse").String() == text {
		t.Error("two hashes of one password are the same: there is no salt in them")
	}
	if a, b := NewPassword(), NewPassword(); a == b || len(a) < 26 {
		t.Errorf("passwords %q and %q", a, b)
	}
}

func TestWhatIsNoHashIsRefusedAndNotRepeated(t *testing.T) {
	good := cheap("x").String()
	for _, s := range []string{"", "hunter2", "$2a$10$abc", strings.Replace(good, "v=19", "v=16", 1), strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "m=8", "m=9999999", 1), strings.Replace(good, "m=8", "m=1", 1), strings.Replace(good, "t=1", "t=0", 1), strings.Replace(good, "t=1", "t=99", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=1x", 1), good + "$", good[:len(good)-30]} {
		if _, err := ParseHash(s); err == nil {
			t.Errorf("%q was taken", s)
		} else if s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("the error repeats what may be a password: %v", err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(cheap("x").String())
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHash(s)
		if err != nil {
			return
		}
		if h.memory > mostMemory || h.passes > mostPasses || len(h.salt) > 64 || len(h.sum) > 64 {
			t.Fatalf("%q costs too much: %+v", s, h)
		}
		if back, err := ParseHash(h.String()); err != nil || back.String() != h.String() {
			t.Fatalf("%q was read as %q and read back as %q (%v)", s, h, back, err)
		}
	})
}

func TestTheLongestNetworkSaysWhoAClientIs(t *testing.T) {
	b := newBook(Options{}, Sender{Key: "a/net", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		Sender{Key: "a/one", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}})
	for addr, want := range map[string]string{"192.0.2.7": "a/one", "192.0.2.8": "a/net", "::ffff:192.0.2.8": "a/net", "2001:db8::1%eth0": "a/net", "198.51.100.1": "", "::1": ""} {
		if got := b.Known(netip.MustParseAddr(addr), nil); got != want {
			t.Errorf("%s is %q, want %q", addr, got, want)
		}
	}
	if got := b.Known(netip.Addr{}, nil); got != "" {
		t.Errorf("a client without an address is %q", got)
	}
	b.Use(nil)
	if got := b.Known(home, nil); got != "" {
		t.Errorf("after the senders have gone: %q", got)
	}
}

// signed makes a certificate; without a parent it signs itself and may sign others.
func signed(t *testing.T, name string, usage []x509.ExtKeyUsage, until time.Time, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: usage, BasicConstraintsValid: true}
	if parent == nil {
		c.IsCA, c.KeyUsage, parent, by = true, x509.KeyUsageCertSign, c, key
	} else {
		c.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf, key
}

func TestACertificateCountsByItsFingerprintOrByWhoSignedItForAName(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	ca, key := signed(t, "ca", nil, soon, nil, nil)
	evil, evilKey := signed(t, "ca", nil, soon, nil, nil)
	app, _ := signed(t, "app.stadt.example", client, soon, ca, key)
	other, _ := signed(t, "other.stadt.example", client, soon, ca, key)
	old, _ := signed(t, "app.stadt.example", client, time.Now().Add(-time.Minute), ca, key)
	server, _ := signed(t, "app.stadt.example", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, soon, ca, key)
	forged, _ := signed(t, "app.stadt.example", client, soon, evil, evilKey)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	b := newBook(Options{}, Sender{Key: "a/app", CA: pool, CANames: []string{"app.stadt.example"}},
		Sender{Key: "a/print", Fingerprints: [][32]byte{sha256.Sum256(forged.Raw)}},
		Sender{Key: "a/near", Networks: []netip.Prefix{netip.PrefixFrom(home, 32)}})
	for _, c := range []struct {
		name string
		leaf *x509.Certificate
		want string
	}{
		{"signed for the name", app, "a/app"}, {"signed for another name", other, ""}, {"out of date", old, ""},
		{"a server's", server, ""}, {"signed by another CA of the same name, but named by its fingerprint", forged, "a/print"},
	} {
		s := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.leaf}}
		if got := b.Known(netip.Addr{}, s); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := b.Known(home, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{app}}); got != "a/app" {
		t.Errorf("a certificate and an address: %q, want the certificate's", got)
	}
	if got := b.Known(home, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{other}}); got != "a/near" {
		t.Errorf("an unknown certificate and an address: %q, want the address's", got)
	}
}

func TestOnlyTheRightPasswordOfAKnownUserGetsIn(t *testing.T) {
	b := newBook(Options{}, Sender{Key: "a/scanner", User: "scanner", Hash: cheap("right")}, Sender{Key: "a/none"})
	for _, c := range []struct {
		user, password, want string
	}{{"scanner", "right", "a/scanner"}, {"scanner", "wrong", ""}, {"scanner", "", ""}, {"", "", ""}, {"nobody", "right", ""}, {"Scanner", "right", ""}, {"scanner", "right", "a/scanner"}} {
		got, err := b.Login(t.Context(), home, c.user, c.password)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("%q with %q: %q, %v; want %q", c.user, c.password, got, err, c.want)
		}
	}
}

func TestGuessingIsSlowAndLocksNobodyOut(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	b := newBook(Options{Clock: func() time.Time { return now }}, Sender{Key: "a/scanner", User: "scanner", Hash: cheap("right")}, Sender{Key: "a/fax", User: "fax", Hash: cheap("other")})
	if _, err := b.Login(t.Context(), home, "scanner", "right"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := b.Login(t.Context(), home, "scanner", fmt.Sprint(i)); doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Fatalf("guess %d: %v, want policy", i, err)
		}
	}
	if _, err := b.Login(t.Context(), home, "scanner", "11"); doppelboden.CodeOf(err) != doppelboden.Busy {
		t.Errorf("guess 11: %v, want that it is not looked at", err)
	}
	if _, err := b.Login(t.Context(), home, "fax", "other"); doppelboden.CodeOf(err) != doppelboden.Busy {
		t.Errorf("a password of this address that was never right before: %v, want a temporary error", err)
	}
	if _, err := b.Login(t.Context(), home, "scanner", "right"); err != nil {
		t.Errorf("whose password was right before is locked out by a neighbour's guesses: %v", err)
	}
	if _, err := b.Login(t.Context(), netip.MustParseAddr("192.0.2.8"), "fax", "other"); err != nil {
		t.Errorf("another address is locked out: %v", err)
	}
	now = now.Add(time.Minute)
	if _, err := b.Login(t.Context(), home, "scanner", "12"); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("a minute later: %v, want one more guess", err)
	}
	if _, err := b.Login(t.Context(), home, "scanner", "13"); doppelboden.CodeOf(err) != doppelboden.Busy {
		t.Errorf("and another: %v, want none", err)
	}
	a, c := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	for range 10 {
		b.Login(t.Context(), a, "scanner", "x")
	}
	if _, err := b.Login(t.Context(), c, "scanner", "x"); doppelboden.CodeOf(err) != doppelboden.Busy {
		t.Errorf("another address of the same /64: %v, want that it counts with the first", err)
	}
}

func TestAPasswordThatWasChangedIsForgotten(t *testing.T) {
	b := newBook(Options{}, Sender{Key: "a/scanner", User: "scanner", Hash: cheap("old")})
	if _, err := b.Login(t.Context(), home, "scanner", "old"); err != nil {
		t.Fatal(err)
	}
	b.Use([]Sender{{Key: "a/scanner", User: "scanner", Hash: cheap("new")}})
	if _, err := b.Login(t.Context(), home, "scanner", "old"); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("the old password: %v, want policy", err)
	}
	if _, err := b.Login(t.Context(), home, "scanner", "new"); err != nil {
		t.Error(err)
	}
}

func TestNotTooManyPasswordsAreHashedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(Options{AtOnce: 1}, Sender{Key: "a/scanner", User: "scanner", Hash: cheap("right")})
		b.guard.turns <- struct{}{} // somebody is at it
		began := time.Now()
		_, err := b.Login(t.Context(), home, "scanner", "right")
		if doppelboden.CodeOf(err) != doppelboden.Busy || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v, want busy after the patience of 10 s", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Login(ctx, home, "scanner", "right"); doppelboden.CodeOf(err) != doppelboden.Busy {
			t.Errorf("with an end in sight: %v, want busy", err)
		}
		b.guard.leave()
		if _, err := b.Login(t.Context(), home, "scanner", "right"); err != nil {
			t.Error(err)
		}
	})
}

func TestAnUnknownUserCostsAsMuchAsAKnownOne(t *testing.T) {
	g := NewBook(Options{}).guard
	real := NewHash("x")
	if n := g.nobody; n.memory != real.memory || n.passes != real.passes || n.lanes != real.lanes || len(n.sum) != len(real.sum) {
		t.Errorf("what an unknown user is compared with costs %+v, a new hash %+v", n, real)
	}
	if g.nobody.Matches("") {
		t.Error("an unknown user has a password")
	}
}

func TestTheMemoryOfTheGuardIsBounded(t *testing.T) {
	g := newGuard(Options{})
	for i := range mostPeers + 100 {
		g.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	for i := range mostRemembered + 100 {
		g.remember(Sender{Key: "a", Hash: cheap("x")}, fmt.Sprint(i))
	}
	if len(g.tries) > mostPeers || len(g.right) > mostRemembered {
		t.Errorf("%d addresses and %d passwords are remembered", len(g.tries), len(g.right))
	}
}

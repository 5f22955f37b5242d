package mailauth

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/resolver"
	"doppelboden/test/peer"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/prometheus/client_golang/prometheus"
)

const us = "mx.stadt.example"

// newChecker returns a checker that asks one name server.
func newChecker(t testing.TB, server string, h Handling) *Checker {
	t.Helper()
	r, err := resolver.New(resolver.Options{Servers: []string{server}, Registry: prometheus.NewRegistry(), Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Wait)
	c, err := New(Options{
		AuthservID: us, DNS: r, Handling: func(doppelboden.TenantID) Handling { return h },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry(), Patience: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// incoming is a mail as intake shows it.
func incoming(t testing.TB, peer, helo, sender string, mail []byte) *intake.Incoming {
	t.Helper()
	var from doppelboden.Address
	if sender != "" {
		var err error
		if from, err = doppelboden.ParseAddress(sender); err != nil {
			t.Fatal(err)
		}
	}
	header := mail
	if i := bytes.Index(mail, []byte("\r\n\r\n")); i >= 0 {
		header = mail[:i+2]
	}
	return &intake.Incoming{
		Envelope: intake.Envelope{Door: "mx", Peer: peer, Helo: helo, Sender: from},
		Message:  &doppelboden.Message{Door: "mx", Tenant: 1, Received: time.Unix(1_800_000_000, 0), Peer: peer, Helo: helo, Sender: from},
		Header:   header,
		Open:     func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(mail)), nil },
	}
}

func sum256(s string) []byte { sum := sha256.Sum256([]byte(s)); return sum[:] }

// senderZone is a sender with everything in order, and the networks of two others.
func senderZone(s signer) string {
	return `
sender.example.               TXT "v=spf1 ip4:192.0.2.0/28 -all"
mail.sender.example.          TXT "v=spf1 a -all"
mail.sender.example.          A 192.0.2.1
1.2.0.192.in-addr.arpa.       PTR mail.sender.example.
2.2.0.192.in-addr.arpa.       PTR mail.sender.example.
_dmarc.sender.example.        TXT "v=DMARC1; p=reject"
bounce.example.               TXT "v=spf1 -all"
s._domainkey.sender.example.  TXT ` + quoteTXT(s.text) + "\n"
}

func TestAMailGetsOneLineForEachThingThatIsKnownAboutItsSender(t *testing.T) {
	key := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: senderZone(key)})
	c := newChecker(t, server.Addr(), Mark)
	mail := key.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(letter))
	in := incoming(t, "192.0.2.1", "mail.sender.example", "j@sender.example", mail)
	found, err := c.Check(t.Context(), in)
	got := regexp.MustCompile(`header\.b=[^;\s]+`).ReplaceAllString(string(found.Prefix), "header.b=…")
	want := "Authentication-Results: mx.stadt.example;\r\n" +
		"\tiprev=pass policy.iprev=192.0.2.1;\r\n" +
		"\tspf=pass smtp.mailfrom=j@sender.example;\r\n" +
		"\tspf=pass smtp.helo=mail.sender.example;\r\n" +
		"\tdkim=pass header.d=sender.example header.s=s header.a=ed25519-sha256 header.b=…;\r\n" +
		"\tdmarc=pass header.from=sender.example policy.dmarc=reject\r\n"
	if err != nil || got != want || !found.Confirmed || found.Hold != "" {
		t.Errorf("got\n%s%+v, %v\nwant\n%s", got, found, err, want)
	}
	for _, own := range []intake.Envelope{{Door: "submission"}, {Door: "mx", Own: &intake.Own{}}} {
		own.Peer, own.Helo, own.Sender = in.Envelope.Peer, in.Envelope.Helo, in.Envelope.Sender
		in.Envelope = own
		if found, err := c.Check(t.Context(), in); err != nil || found.Prefix != nil || found.Confirmed {
			t.Errorf("mail of an own sender by %s: %+v, %v; want nothing", own.Door, found, err)
		}
	}
}

func TestOnlySPFOrAnAlignedDMARCConfirmsTheReversePath(t *testing.T) {
	key := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: senderZone(key)})
	signed := key.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(letter))
	for _, tc := range []struct {
		what, peer, sender, trusted string
		mail                        []byte
		want                        bool
	}{
		{"SPF passes", "192.0.2.1", "j@sender.example", "", []byte(letter), true},
		{"SPF fails, DKIM and so DMARC pass", "203.0.113.1", "j@sender.example", "", signed, true},
		{"the same from a host below", "203.0.113.1", "j@x.sender.example", "", signed, true},
		{"nothing passes", "203.0.113.1", "j@sender.example", "", []byte(letter), false},
		{"DMARC passes for somebody who writes another's reverse-path", "203.0.113.1", "victim@bounce.example", "", signed, false},
		{"SPF passes for the HELO name alone", "192.0.2.1", "victim@bounce.example", "", []byte(letter), false},
		{"the null reverse-path", "192.0.2.1", "", "", signed, false},
		{"a trusted hop saw SPF pass", "", "j@bounce.example", "gw; spf=pass smtp.mailfrom=j@bounce.example", []byte(letter), true},
		{"a trusted hop saw SPF pass for another", "", "j@bounce.example", "gw; spf=pass smtp.mailfrom=j@x.example", []byte(letter), false},
		{"a trusted hop saw DMARC pass", "", "j@sender.example", "gw; dmarc=pass header.from=sender.example", []byte(letter), true},
		{"a trusted hop saw DMARC pass for another", "", "j@bounce.example", "gw; dmarc=pass header.from=sender.example", []byte(letter), false},
	} {
		in := incoming(t, tc.peer, "mail.sender.example", tc.sender, tc.mail)
		if tc.trusted != "" {
			in.Envelope.Trusted = []string{tc.trusted}
		}
		found, err := newChecker(t, server.Addr(), Mark).Check(t.Context(), in)
		if err != nil || found.Confirmed != tc.want {
			t.Errorf("%s: confirmed %v, %v; want %v\n%s", tc.what, found.Confirmed, err, tc.want, found.Prefix)
		}
	}
}

func TestADeadResolverMakesTemporaryResultsAndRefusesNothing(t *testing.T) {
	key := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: senderZone(key)})
	server.Treat("", peer.Silent)
	c := newChecker(t, server.Addr(), Refuse)
	mail := key.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(letter))
	for range 20 {
		in := incoming(t, "192.0.2.1", "mail.sender.example", "j@sender.example", mail)
		found, err := c.Check(t.Context(), in)
		_, results, ok := Parse(found.Prefix)
		if err != nil || found.Hold != "" || found.Confirmed || !ok || len(results) != 5 {
			t.Fatalf("%v, held %q, %s", err, found.Hold, found.Prefix)
		}
		for _, r := range results {
			if r.Value != TempError {
				t.Errorf("%s=%s, want temperror", r.Method, r.Value)
			}
		}
	}
}

func TestNothingThatAStrangerWritesLeavesItsPlace(t *testing.T) {
	server := peer.For(t, peer.DNS{Zone: "1.2.0.192.in-addr.arpa. PTR x.example."})
	c := newChecker(t, server.Addr(), Mark)
	for _, evil := range []string{
		"x; spf=pass smtp.mailfrom=bank.example", "x\" (", "x\\", "(((", "ümlaut.example", "a\x00b", "a\r\nX: y", strings.Repeat("x", 3000),
	} {
		mail := "DKIM-Signature: v=1; a=" + evil + "-sha256; d=" + evil + "; s=" + evil + "; h=from; bh=AAAA; b=" + evil + "\r\nFrom: " + evil + "@" + evil + "\r\n\r\nx\r\n"
		in := incoming(t, "192.0.2.1", "x", "a@b.example", []byte(mail))
		in.Envelope.Helo = evil
		in.Envelope.Sender.Local = evil
		found, err := c.Check(t.Context(), in)
		id, results, ok := Parse(found.Prefix)
		if err != nil || !ok || id != us || bytes.Count(found.Prefix, []byte("\r\n")) != bytes.Count(found.Prefix, []byte("\r\n\t"))+1 {
			t.Errorf("%.40q: %v\n%q", evil, err, found.Prefix)
		}
		for _, r := range results {
			if r.Value == Pass {
				t.Errorf("%.40q: %+v", evil, r)
			}
		}
	}
}

func TestAHeaderLongerThanWhatChecksSeeIsNotJudgedByItsBeginning(t *testing.T) {
	key := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: senderZone(key)})
	long := strings.Repeat("X-Long: "+strings.Repeat("x", 900)+"\r\n", 400)
	mail := key.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(strings.Replace(letter, "Subject", long+"Subject", 1)))
	in := incoming(t, "192.0.2.1", "x", "j@sender.example", mail)
	in.Header = mail[:256<<10]
	found, err := newChecker(t, server.Addr(), Mark).Check(t.Context(), in)
	if err != nil || !bytes.Contains(found.Prefix, []byte("dkim=neutral")) {
		t.Errorf("%v\n%s", err, found.Prefix)
	}
}

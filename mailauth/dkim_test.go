package mailauth

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"doppelboden/test/peer"

	"github.com/emersion/go-msgauth/dkim"
)

// crlf writes a text of this file as a mail.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// RFC 8463, appendix A: one mail with an Ed25519 and an RSA signature.
const (
	rfc8463Keys = `
brisbane._domainkey.football.example.com. TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
test._domainkey.football.example.com. TXT "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
`
	rfc8463Mail = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.

`
)

// RFC 6376, appendix A: the mail, in the form of both canonicalisations "simple", and
// its key.
const (
	rfc6376Key = `
brisbane._domainkey.example.com. TXT "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
`
	rfc6376Mail = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`
)

// verdicts checks the signatures of a mail.
func verdicts(t testing.TB, c *Checker, mail []byte) []Result {
	t.Helper()
	in := incoming(t, "192.0.2.1", "x", "a@b.example", mail)
	var got []Result
	for _, s := range c.dkim(t.Context(), in, fields(in.Header)) {
		got = append(got, s.result)
	}
	return got
}

func TestTheMailOfRFC8463PassesTwiceAndFailsWhenChanged(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: rfc8463Keys})
	c := newChecker(t, s.Addr(), Mark)
	got := verdicts(t, c, crlf(rfc8463Mail))
	if len(got) != 2 || got[0].Value != Pass || got[1].Value != Pass ||
		got[0].Prop("header", "a") != "ed25519-sha256" || got[1].Prop("header", "d") != "football.example.com" {
		t.Errorf("RFC 8463, appendix A: %+v; want two passes", got)
	}
	for _, change := range [][2]string{
		{"We lost", "We won"}, {"Is dinner", "Was dinner"}, {"t=1528637909", "t=1528637908"}, {"<joe@", "<jim@"},
	} {
		for _, r := range verdicts(t, c, crlf(strings.ReplaceAll(rfc8463Mail, change[0], change[1]))) {
			if r.Value != Fail {
				t.Errorf("%q instead of %q: %+v; want fail", change[1], change[0], r)
			}
		}
	}
	added := "From: Evil <x@evil.example>\n"
	for _, r := range verdicts(t, c, crlf(strings.Replace(rfc8463Mail, "From: Joe", added+"From: Joe", 1))) {
		if r.Value != Fail {
			t.Errorf("a second From above the signed one, which h= names twice: %+v; want fail", r)
		}
	}
}

func TestTheMailOfRFC6376Passes(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: rfc6376Key})
	got := verdicts(t, newChecker(t, s.Addr(), Mark), crlf(rfc6376Mail))
	if len(got) != 1 || got[0].Value != Pass || got[0].Prop("header", "s") != "brisbane" {
		t.Errorf("RFC 6376, appendix A: %+v; want a pass", got)
	}
}

func TestBodiesAreCanonicalAsRFC6376Section345Shows(t *testing.T) {
	// With the empty bodies of sections 3.4.3 and 3.4.4.
	if got := string(relaxed.field(nil, []byte("A: X\r\n"))) + string(relaxed.field(nil, []byte("B : Y\t\r\n\tZ  \r\n"))); got != "a:X\r\nb:Y Z\r\n" {
		t.Errorf("relaxed header: %q", got)
	}
	if got := string(simple.field(nil, []byte("B : Y\t\r\n\tZ  \r\n"))); got != "B : Y\t\r\n\tZ  \r\n" {
		t.Errorf("simple header: %q", got)
	}
	for _, tc := range []struct {
		canon      canon
		body, want string
	}{
		{relaxed, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"},
		{simple, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n"},
		{relaxed, "", ""}, {simple, "", "\r\n"},
		{relaxed, "\r\n \t\r\n\r\n", ""}, {simple, "\r\n\r\n", "\r\n"},
		{relaxed, "a", "a\r\n"}, {simple, "a", "a\r\n"},
		{relaxed, "\r\n\r\na\r\n", "\r\n\r\na\r\n"}, {simple, "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{relaxed, "a\rb\nc \r\n", "a\rb\nc\r\n"}, {simple, "a\r", "a\r\r\n"},
	} {
		for piece := 1; piece <= len(tc.body)+1; piece++ {
			var got bytes.Buffer
			h := &bodyHash{canon: tc.canon, limit: -1, sum: recorder{&got}}
			for rest := []byte(tc.body); len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				h.write(rest[:min(piece, len(rest))])
			}
			h.end()
			if got.String() != tc.want || h.size != int64(len(tc.want)) {
				t.Errorf("body %q in pieces of %d, relaxed %v: %q, %d octets; want %q", tc.body, piece, tc.canon, got.String(), h.size, tc.want)
			}
		}
	}
}

// A recorder is a hash that keeps what it was given.
type recorder struct{ *bytes.Buffer }

func (recorder) Sum(b []byte) []byte { return b }
func (recorder) Size() int           { return 0 }
func (recorder) BlockSize() int      { return 1 }

// A signer signs mails with go-msgauth, which is not ours.
type signer struct {
	key  crypto.Signer
	text string // of its key record
}

func rsaSigner(t testing.TB, bits int) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, recordOf(t, &key.PublicKey)}
}

// rsaRecord is the record of a key of any size that nobody can sign with.
func rsaRecord(t testing.TB, bits int) string {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return recordOf(t, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
}

func recordOf(t testing.TB, key *rsa.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

func edSigner(t testing.TB) signer {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}
}

func (s signer) sign(t testing.TB, domain string, canon dkim.Canonicalization, mail []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	err := dkim.Sign(&b, bytes.NewReader(mail), &dkim.SignOptions{
		Domain: domain, Selector: "s", Signer: s.key, Hash: crypto.SHA256,
		HeaderCanonicalization: canon, BodyCanonicalization: canon,
		HeaderKeys: []string{"From", "To", "Subject", "Date"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const letter = "From: Jürgen  <j@sender.example>\r\nTo: a@stadt.example\r\nSubject: Grüße\r\n\taus  der\t Schule \r\nDate: Mon, 05 Jan 2026 08:00:00 +0000\r\n\r\nSehr  geehrte \t\r\n\r\nDamen\r\n \r\n\r\n"

func TestSignaturesOfAnotherProgramPass(t *testing.T) {
	for name, s := range map[string]signer{"rsa": rsaSigner(t, 2048), "ed25519": edSigner(t)} {
		server := peer.For(t, peer.DNS{Zone: `s._domainkey.sender.example. TXT ` + quoteTXT(s.text)})
		c := newChecker(t, server.Addr(), Mark)
		for _, canon := range []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed} {
			for _, mail := range []string{letter, "From: a@sender.example\r\n\r\n", "From: a@sender.example\r\n\r\n.\r\n", letter + strings.Repeat("x y\t \r\n", 20_000)} {
				got := verdicts(t, c, s.sign(t, "sender.example", canon, []byte(mail)))
				if len(got) != 1 || got[0].Value != Pass {
					t.Errorf("%s, %s, mail of %d octets: %+v; want pass", name, canon, len(mail), got)
				}
			}
		}
	}
}

func TestOfSeveralFieldsOfANameTheLowestAreSigned(t *testing.T) {
	// RFC 6376, section 5.4.2: whoever hands the mail on puts his fields above.
	s := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: "s._domainkey.sender.example. TXT " + quoteTXT(s.text)})
	c := newChecker(t, server.Addr(), Mark)
	var b bytes.Buffer
	err := dkim.Sign(&b, strings.NewReader("Received: two\r\nReceived: one\r\n"+letter), &dkim.SignOptions{
		Domain: "sender.example", Selector: "s", Signer: s.key, Hash: crypto.SHA256, HeaderKeys: []string{"From", "Received", "Received"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for mail, want := range map[string]Value{
		b.String(): Pass, "Received: three\r\n" + b.String(): Pass,
		strings.Replace(b.String(), "Received: one\r\n", "Received: one\r\nReceived: zero\r\n", 1): Fail,
	} {
		if got := verdicts(t, c, []byte(mail)); len(got) != 1 || got[0].Value != want {
			t.Errorf("%.60q: %+v; want %s", mail, got, want)
		}
	}
}

func TestWhatIsWrongWithASignatureDecidesTheVerdict(t *testing.T) {
	good := edSigner(t)
	signed := string(good.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(letter)))
	field := signed[:strings.Index(signed, "\r\nFrom:")+2]
	for _, tc := range []struct {
		what   string
		key    string // "": the right one; "-": none
		change [2]string
		mood   peer.Mood
		want   Value
	}{
		{what: "the key is gone", key: "-", want: PermError},
		{what: "the key is revoked", key: "v=DKIM1; p=", want: PermError},
		{what: "the key is no key", key: "v=DKIM1; k=ed25519; p=AAAA", want: PermError},
		{what: "the key is of another version", key: "v=DKIM2; " + good.text[8:], want: PermError},
		{what: "the key is for another use", key: good.text + "; s=tlsrpt", want: PermError},
		{what: "the key forbids the hash", key: good.text + "; h=sha1", want: PermError},
		{what: "the key is of another kind", key: rsaSigner(t, 1024).text, want: PermError},
		{what: "two keys in one place", key: "2", want: PermError},
		{what: "i= below d= with a key that forbids it", key: good.text + "; t=s", change: [2]string{" s=s;", " s=s; i=@x.sender.example;"}, want: PermError},
		{what: "another key", key: edSigner(t).text, want: Fail},
		{what: "the key's domain tries out", key: good.text + "; t=y", want: Pass},
		{what: "the DNS fails", mood: peer.ServFail, want: TempError},
		{what: "the DNS is silent", mood: peer.Silent, want: TempError},
		{what: "a body that is signed in part", change: [2]string{" s=s;", " s=s; l=3;"}, want: Fail},
		{what: "sha1", change: [2]string{"a=ed25519-sha256", "a=rsa-sha1"}, want: Policy},
		{what: "an unknown algorithm", change: [2]string{"a=ed25519-sha256", "a=ed448-shake256"}, want: Neutral},
		{what: "another version", change: [2]string{"v=1", "v=2"}, want: Neutral},
		{what: "expired", change: [2]string{" s=s;", " s=s; x=1500000000;"}, want: Policy},
		{what: "no domain", change: [2]string{"d=sender.example", "d=sen der..example"}, want: Neutral},
		{what: "From is not signed", change: [2]string{"From:To:", "To:"}, want: Neutral},
		{what: "i= elsewhere", change: [2]string{" s=s;", " s=s; i=@other.example;"}, want: Neutral},
		{what: "i= that only ends like d=", change: [2]string{" s=s;", " s=s; i=@evilsender.example;"}, want: Neutral},
		{what: "a tag twice", change: [2]string{" s=s;", " s=s; s=t;"}, want: Neutral},
		{what: "no base64", change: [2]string{"bh=", "bh=!"}, want: Neutral},
		{what: "another way to the key", change: [2]string{" s=s;", " s=s; q=http/x;"}, want: Neutral},
	} {
		t.Run(tc.what, func(t *testing.T) {
			zone := "x. TXT x"
			switch tc.key {
			case "-":
			case "2":
				zone = "s._domainkey.sender.example. TXT " + quoteTXT(good.text) + "\ns._domainkey.sender.example. TXT " + quoteTXT(good.text+";n=x")
			case "":
				zone = "s._domainkey.sender.example. TXT " + quoteTXT(good.text)
			default:
				zone = "s._domainkey.sender.example. TXT " + quoteTXT(tc.key)
			}
			server := peer.For(t, peer.DNS{Zone: zone})
			server.Treat("s._domainkey.sender.example", tc.mood)
			mail := signed
			if tc.change[0] != "" {
				changed := strings.Replace(field, tc.change[0], tc.change[1], 1)
				if changed == field {
					t.Fatalf("%q is not in %q", tc.change[0], field)
				}
				mail = changed + mail[len(field):]
			}
			got := verdicts(t, newChecker(t, server.Addr(), Mark), []byte(mail))
			if len(got) != 1 || got[0].Value != tc.want {
				t.Errorf("%+v; want %s", got, tc.want)
			}
		})
	}
	for _, bits := range []int{512, 1023, 4097, 40_000} {
		text, what := rsaRecord(t, bits), fmt.Sprint(bits)
		server := peer.For(t, peer.DNS{Zone: "s._domainkey.sender.example. TXT " + quoteTXT(text)})
		mail := strings.Replace(signed, "a=ed25519-sha256", "a=rsa-sha256", 1)
		got := verdicts(t, newChecker(t, server.Addr(), Mark), []byte(mail))
		if len(got) != 1 || got[0].Value != Policy || !strings.Contains(got[0].Reason, what) {
			t.Errorf("a key of %s bits: %+v; want policy", what, got)
		}
	}
}

func TestThousandsOfSignaturesCostNoMoreThanAFew(t *testing.T) {
	good := edSigner(t)
	server := peer.For(t, peer.DNS{Zone: "s._domainkey.sender.example. TXT " + quoteTXT(good.text)})
	c := newChecker(t, server.Addr(), Mark)
	signed := good.sign(t, "sender.example", dkim.CanonicalizationRelaxed, []byte(letter))
	field := signed[:bytes.Index(signed, []byte("\r\nFrom:"))+2]
	var mail bytes.Buffer
	for i := range 5000 {
		mail.WriteString(strings.Replace(string(field), " s=s;", fmt.Sprintf(" s=s%d;", i), 1))
	}
	mail.Write(signed)
	if got := verdicts(t, c, mail.Bytes()); len(got) != mostSignatures {
		t.Errorf("%d verdicts for 5,001 signatures, want %d", len(got), mostSignatures)
	}
	if asked := server.Asked("s9._domainkey.sender.example"); asked != 0 {
		t.Errorf("the key of the tenth signature was asked for %d times", asked)
	}
}

func TestASignatureOverAPartOfTheBodyIsNotEnough(t *testing.T) {
	// RFC 6376, section 8.2. The signer is ours: go-msgauth does not write l=.
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	server := peer.For(t, peer.DNS{Zone: "s._domainkey.sender.example. TXT " + quoteTXT(text)})
	c := newChecker(t, server.Addr(), Mark)
	header, body := "From: a@sender.example\r\n", "signed\r\n"
	for _, tc := range []struct {
		length int
		more   string
		want   Value
	}{
		{8, "", Pass}, {8, "unsigned\r\n", Policy}, {6, "", Policy}, {8, "\r\n\r\n", Pass},
	} {
		sum := sum256(body[:tc.length])
		field := fmt.Sprintf("DKIM-Signature: v=1; a=ed25519-sha256; c=simple; d=sender.example; s=s; h=From; l=%d; bh=%s; b=", tc.length, base64.StdEncoding.EncodeToString(sum))
		sig := ed25519.Sign(key, sum256(header+field))
		mail := field + base64.StdEncoding.EncodeToString(sig) + "\r\n" + header + "\r\n" + body + tc.more
		if got := verdicts(t, c, []byte(mail)); len(got) != 1 || got[0].Value != tc.want {
			t.Errorf("l=%d of %q: %+v; want %s", tc.length, body+tc.more, got, tc.want)
		}
	}
}

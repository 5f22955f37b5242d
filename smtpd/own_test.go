package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"

	"doppelboden"
)

// A gatekeeper is a Gate that knows one address, one certificate and one password.
type gatekeeper struct {
	addr  string
	err   error // of Login; nil: by user and password
	asked []string
}

func (g *gatekeeper) Known(peer netip.Addr, s *tls.ConnectionState) string {
	switch {
	case s != nil && len(s.PeerCertificates) > 0:
		return "certified"
	case peer.String() == g.addr:
		return "neighbour"
	}
	return ""
}

func (g *gatekeeper) Login(_ context.Context, peer netip.Addr, user, password string) (string, error) {
	g.asked = append(g.asked, peer.String()+" "+user)
	switch {
	case g.err != nil:
		return "", g.err
	case user == "scanner" && password == "pass word":
		return "scanner", nil
	}
	return "", fails(doppelboden.Policy, "wrong")
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// own makes a submission over TCP and a dialogue in TLS after EHLO.
func own(t *testing.T, g *gatekeeper) (*mailbag, *dialogue) {
	t.Helper()
	server, client := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server, Gate: g})
	d := connect(t, addr)
	d.ask("EHLO scanner.example", "250-")
	d.secure(client)
	d.ask("EHLO scanner.example", "250-")
	return bag, d
}

func TestStrangersSendNothingThroughTheSubmission(t *testing.T) {
	server, client := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server, Gate: &gatekeeper{addr: "192.0.2.9"}})
	d := connect(t, addr)
	if got := d.ask("EHLO x.example", "250-"); strings.Contains(got, "AUTH") {
		t.Errorf("EHLO in clear text offers a log-in: %q", got)
	}
	d.ask("MAIL FROM:<a@city.example>", "530 5.7.0 Issue STARTTLS")
	d.ask("AUTH PLAIN "+b64("\x00scanner\x00pass word"), "538 5.7.11")
	d.ask("AUTH LOGIN", "538 5.7.11")
	d.secure(client)
	if got := d.ask("EHLO x.example", "250-"); !strings.Contains(got, "250-AUTH PLAIN LOGIN\r\n") {
		t.Errorf("EHLO in TLS offers no log-in: %q", got)
	}
	d.ask("MAIL FROM:<a@city.example>", "530 5.7.0 Log in first")
	d.ask("RCPT TO:<b@strange.example>", "503")
	d.ask("DATA", "503")
	if len(bag.parcels()) != 0 || bag.open != 0 {
		t.Errorf("something was begun for a stranger")
	}
}

func TestASenderLogsInByPlainOrLogin(t *testing.T) {
	plain := b64("\x00scanner\x00pass word")
	for name, say := range map[string][][2]string{
		"PLAIN":                       {{"AUTH PLAIN " + plain, "235 2.7.0"}},
		"PLAIN, lower case":           {{"auth plain " + plain, "235 2.7.0"}},
		"PLAIN with a challenge":      {{"AUTH PLAIN", "334 \r\n"}, {plain, "235 2.7.0"}},
		"PLAIN as himself":            {{"AUTH PLAIN " + b64("scanner\x00scanner\x00pass word"), "235 2.7.0"}},
		"LOGIN":                       {{"AUTH LOGIN", "334 VXNlcm5hbWU6\r\n"}, {b64("scanner"), "334 UGFzc3dvcmQ6\r\n"}, {b64("pass word"), "235 2.7.0"}},
		"LOGIN with the user at once": {{"AUTH LOGIN " + b64("scanner"), "334 UGFzc3dvcmQ6\r\n"}, {b64("pass word"), "235 2.7.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			bag, d := own(t, &gatekeeper{})
			for _, s := range say {
				d.ask(s[0], s[1])
			}
			if got := d.ask("EHLO scanner.example", "250-"); strings.Contains(got, "AUTH") {
				t.Errorf("a log-in is offered again: %q", got)
			}
			d.ask("AUTH PLAIN "+plain, "503")
			d.ask("MAIL FROM:<a@city.example> AUTH=a+4", "501")
			d.ask("MAIL FROM:<a@city.example> AUTH=<> AUTH=<>", "501 5.5.4 Parameter given twice")
			d.ask("MAIL FROM:<a@city.example> AUTH=<>", "250")
			d.ask("RCPT TO:<b@strange.example>", "250")
			d.ask("AUTH PLAIN "+plain, "503")
			d.ask("DATA", "354")
			d.ask(".", "250")
			if e := bag.parcels()[0].envelope; e.Login != "scanner" || e.Proto != "ESMTPSA" {
				t.Errorf("envelope %+v, wanted the sender's name and ESMTPSA", e)
			}
		})
	}
}

func TestALoginThatDoesNotWorkIsAnsweredAsTheStandardHasIt(t *testing.T) {
	for _, c := range []struct{ say, want string }{
		{"AUTH PLAIN " + b64("\x00scanner\x00wrong"), "535 5.7.8"},
		{"AUTH PLAIN " + b64("\x00nobody\x00pass word"), "535 5.7.8"},
		{"AUTH PLAIN " + b64("mayor\x00scanner\x00pass word"), "535 5.7.8"},
		{"AUTH PLAIN " + b64("scanner"), "501 5.5.2"},
		{"AUTH PLAIN " + b64("\x00\x00"), "501 5.5.2"},
		{"AUTH PLAIN " + b64("\x00a\x00b\x00c"), "501 5.5.2"},
		{"AUTH PLAIN =", "501 5.5.2"},
		{"AUTH PLAIN !!", "501 5.5.2 That is not base64"},
		{"AUTH PLAIN *", "501 5.7.0"},
		{"AUTH CRAM-MD5", "504 5.5.4"},
		{"AUTH", "501 5.5.4"},
	} {
		_, d := own(t, &gatekeeper{})
		d.ask(c.say, c.want)
		d.ask("MAIL FROM:<a@city.example>", "530")
	}
	_, d := own(t, &gatekeeper{err: fails(doppelboden.Busy, "too many, try later")})
	d.ask("AUTH PLAIN "+b64("\x00scanner\x00pass word"), "454 4.7.0 too many, try later")
}

func TestAConnectionEndsAfterThreeFailedLogins(t *testing.T) {
	g := &gatekeeper{}
	_, d := own(t, g)
	wrong := "AUTH PLAIN " + b64("\x00scanner\x00wrong")
	d.ask(wrong, "535")
	d.ask(wrong, "535")
	d.say(wrong + "\r\n" + wrong + "\r\n")
	d.hear("535")
	d.hear("421 4.7.0 Too many failed log-ins")
	d.ended()
	if len(g.asked) != 3 {
		t.Errorf("the gate was asked %d times, wanted 3", len(g.asked))
	}
}

func TestASenderIsKnownByItsAddressOrItsCertificate(t *testing.T) {
	server, client := certificate(t)
	server.ClientAuth = tls.RequestClientCert
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server, Gate: &gatekeeper{addr: "127.0.0.1"}})
	d := connect(t, addr)
	d.ask("EHLO x.example", "250-")
	d.mail()
	d.ask(".", "250")
	with := client.Clone()
	with.Certificates = server.Certificates
	d.secure(with)
	d.ask("EHLO x.example", "250-")
	d.mail()
	d.ask(".", "250")
	kept := bag.parcels()
	if a, b := kept[0].envelope.Login, kept[1].envelope.Login; a != "neighbour" || b != "certified" {
		t.Errorf("known as %q and %q, wanted neighbour and certified", a, b)
	}
	if p := kept[1].envelope.Proto; p != "ESMTPS" {
		t.Errorf("without a log-in: %q, wanted ESMTPS (RFC 3848)", p)
	}
}

func TestAtTheMXNobodyLogsIn(t *testing.T) {
	server, client := certificate(t)
	_, addr := overTCP(t, Options{Intake: newBag(), TLS: server})
	d := connect(t, addr)
	d.ask("EHLO x.example", "250-")
	d.secure(client)
	if got := d.ask("EHLO x.example", "250-"); strings.Contains(got, "AUTH") || strings.Contains(got, "XCLIENT") {
		t.Errorf("EHLO at the MX offers what is for others: %q", got)
	}
	d.ask("AUTH PLAIN "+b64("\x00a\x00b"), "502")
	d.ask("XCLIENT ADDR=192.0.2.1", "550 5.7.0")
	d.ask("MAIL FROM:<a@sender.example> AUTH=x", "555")
}

func TestTLSMayBeginWithTheConnection(t *testing.T) {
	server, client := certificate(t)
	bag := newBag()
	s, l := newServer(t, Options{Intake: bag, TLS: server, Gate: &gatekeeper{}}), newPipeListener()
	go s.ServeTLS(context.Background(), l)
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	raw := l.dial()
	d := &dialogue{t: t, conn: tls.Client(plainEnd{raw, newReader(raw)}, client)}
	d.r = newReader(d.conn)
	d.hear("220 ")
	if got := d.ask("EHLO x.example", "250-"); !strings.Contains(got, "AUTH PLAIN LOGIN") || strings.Contains(got, "STARTTLS") {
		t.Errorf("EHLO: %q, wanted AUTH and no STARTTLS", got)
	}
	d.ask("AUTH PLAIN "+b64("\x00scanner\x00pass word"), "235")
	d.mail()
	d.ask(".", "250")
	raw.Close()
}

// mended is the reference: what becomes of a body of an own sender.
func mended(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte{0}, nil)
	var out []byte
	for i, c := range body {
		if c != '\r' {
			out = append(out, c)
			continue
		}
		if out = append(out, '\r'); i+1 == len(body) || body[i+1] != '\n' {
			out = append(out, '\n')
		}
	}
	return out
}

// TestNothingInABodyOfAnOwnSenderIsReadAsACommand plays the smuggling matrix at the
// submission, where nothing is refused for its octets: at every cut exactly one mail is
// kept, and it holds no line end but CRLF.
func TestNothingInABodyOfAnOwnSenderIsReadAsACommand(t *testing.T) {
	for _, c := range smuggles() {
		t.Run(c.name, func(t *testing.T) {
			bag := newBag()
			_, l := overPipes(t, Options{Intake: bag, Gate: &gatekeeper{addr: "invalid IP"}, Mend: true, MaxErrors: 1 << 30, MaxJunk: 1 << 30})
			d := talk(t, l.dial())
			d.ask("EHLO sender.example", "250-")
			slow, _, _, _, _ := slowBody([]byte(c.in), true)
			want := string(mended(slow))
			for cut := range len(c.in) + 1 {
				d.mail()
				for _, part := range []string{c.in[:cut], c.in[cut:] + "NOOP\r\n"} {
					if part != "" {
						d.say(part)
					}
				}
				d.hear("250 2.0.0 Ok: receipt ")
				d.hear("250 2.0.0 Ok\r\n")
				if got := bag.bodies(); len(got) != 1 || got[0] != want {
					t.Fatalf("%q cut at %d: kept %q, wanted %q", c.in, cut, got, want)
				}
				bag.change(func() { bag.kept = nil })
			}
		})
	}
}

func TestAnEndlessBodyOfNULsEnds(t *testing.T) {
	_, l := overPipes(t, Options{Intake: newBag(), Gate: &gatekeeper{addr: "invalid IP"}, Mend: true, MaxSize: 1000})
	d := talk(t, l.dial())
	d.ask("EHLO sender.example", "250-")
	d.mail()
	go d.conn.Write(make([]byte, 1<<20))
	d.hear("552 5.3.4")
}

// FuzzMendedBody compares the body reader of the submission with the reference.
func FuzzMendedBody(f *testing.F) {
	for _, c := range smuggles() {
		f.Add([]byte(c.in), []byte{0})
		f.Add([]byte(c.in), []byte{2, 0, 5})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		for _, dots := range []bool{true, false} {
			slow, _, ended, _, _ := slowBody(in, dots)
			if !ended && dots {
				continue
			}
			var kept bytes.Buffer
			var b body
			b.start(&kept, 1<<40, NormaliseBareLF, !dots)
			b.mend = true
			feed(&b, in, cuts)
			if !dots {
				b.finish()
				if slow = mended(slow); len(in) > 0 && !bytes.HasSuffix(slow, crlf) {
					slow = append(slow, crlf...)
				}
			}
			if want := mended(slow); !bytes.Equal(kept.Bytes(), want) || b.err() != nil {
				t.Fatalf("dots %v, %q: %q and %v, wanted %q", dots, in, kept.Bytes(), b.err(), want)
			}
		}
	})
}

// feed gives in to b in pieces whose sizes come from cuts.
func feed(b *body, in, cuts []byte) {
	var window []byte
	for i := 0; ; i++ {
		n, end := b.take(window)
		window = window[n:]
		if end || len(in) == 0 {
			return
		}
		step := 1
		if len(cuts) > 0 {
			step += int(cuts[i%len(cuts)])
		}
		step = min(step, len(in))
		window = append(bytes.Clone(window), in[:step]...)
		in = in[step:]
	}
}

// FuzzPlain checks that what is read as a log-in holds no NUL and is what came.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"\x00a\x00b", "a\x00b\x00c", "", "\x00", "\x00\x00\x00", "a\x00\xff\x00c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		as, user, password, ok := parsePlain(s)
		if ok && (as+"\x00"+user+"\x00"+password != s || user == "" || password == "" || strings.Contains(as+user+password, "\x00")) {
			t.Fatalf("%q was read as %q, %q, %q", s, as, user, password)
		}
	})
}

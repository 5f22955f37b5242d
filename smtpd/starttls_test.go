package smtpd

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"
)

// secure says STARTTLS and puts TLS under the dialogue.
func (d *dialogue) secure(client *tls.Config) {
	d.t.Helper()
	d.ask("STARTTLS", "220 2.0.0")
	conn := tls.Client(plainEnd{d.conn, d.r}, client)
	if err := conn.Handshake(); err != nil {
		d.t.Fatalf("handshake: %v", err)
	}
	d.conn, d.r = conn, newReader(conn)
}

func TestAfterStartTLSNothingOfBeforeIsRemembered(t *testing.T) {
	server, client := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server})
	d := connect(t, addr)
	if got := d.ask("EHLO before.example", "250-"); !strings.Contains(got, "250-STARTTLS\r\n") {
		t.Errorf("EHLO was answered with %q, without STARTTLS", got)
	}
	d.secure(client)
	d.ask("MAIL FROM:<>", "503 5.5.1 EHLO or HELO first")
	if got := d.ask("EHLO after.example", "250-"); strings.Contains(got, "STARTTLS") {
		t.Errorf("EHLO in TLS was answered with %q, with STARTTLS", got)
	}
	d.ask("STARTTLS", "503 5.5.1 TLS is on already")
	d.mail()
	d.ask(strings.Repeat("a long body\r\n", 10_000)+".", "250 2.0.0")
	d.ask("MAIL FROM:<> SMTPUTF8", "250")
	d.ask("RCPT TO:<b@city.example>", "250")
	d.ask("DATA", "354")
	d.ask(".", "250")
	d.ask("QUIT", "221")
	kept := bag.parcels()
	if len(kept) != 2 {
		t.Fatalf("kept %d mails, wanted 2", len(kept))
	}
	if e := kept[0].envelope; e.Helo != "after.example" || e.Proto != "ESMTPS" || e.TLS == nil || e.TLS.Version != tls.VersionTLS13 {
		t.Errorf("envelope %+v, wanted that of the session in TLS", e)
	}
	if got := kept[1].envelope.Proto; got != "UTF8SMTPS" {
		t.Errorf("Proto %q, wanted UTF8SMTPS", got)
	}
}

// TestNothingSentInClearTextIsReadAfterStartTLS plays CVE-2011-0411: somebody between
// us and the client puts commands behind its STARTTLS.
func TestNothingSentInClearTextIsReadAfterStartTLS(t *testing.T) {
	server, _ := certificate(t)
	const injected = "EHLO evil\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<b@city.example>\r\nDATA\r\nx\r\n.\r\n"
	bag := newBag()
	_, l := overPipes(t, Options{Intake: bag, TLS: server})
	t.Run("in the same write", func(t *testing.T) {
		d := talk(t, l.dial())
		d.ask("EHLO x", "250-")
		d.say("STARTTLS\r\n" + injected)
		d.hear("554 5.5.1")
		d.ended()
	})
	t.Run("in the next write", func(t *testing.T) {
		d := talk(t, l.dial())
		d.ask("EHLO x", "250-")
		d.ask("STARTTLS", "220")
		io.WriteString(d.conn, injected) // the handshake breaks at its first octets
		rest, _ := io.ReadAll(d.r)
		if strings.Contains(string(rest), "250 ") {
			t.Errorf("clear text in the handshake was answered with %q", rest)
		}
	})
	if !bag.await(func() bool { return bag.open == 0 }) || len(bag.bodies()) > 0 {
		t.Errorf("kept %q, wanted nothing", bag.bodies())
	}
}

func TestStartTLSIsRefusedWhereItDoesNotBelong(t *testing.T) {
	server, _ := certificate(t)
	d := begin(t, Options{Intake: newBag(), TLS: server})
	d.ask("STARTTLS now", "501 5.5.4")
	d.ask("MAIL FROM:<>", "250")
	d.ask("STARTTLS", "503 5.5.1")
	d.ask("RSET", "250")
	d.ask("STARTTLS", "220")
}

func TestAHandshakeThatHangsEndsAfterAMinute(t *testing.T) {
	server, _ := certificate(t)
	inBubble(t, Options{Intake: newBag(), TLS: server}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		start := time.Now()
		d.ask("STARTTLS", "220")
		d.ended()
		if got := time.Since(start); got != time.Minute {
			t.Errorf("closed after %v, wanted a minute", got)
		}
	})
}

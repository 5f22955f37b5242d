package send

import (
	"net"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/sink"
)

// start starts a server that behaves as the script says.
func start(t *testing.T, script string) *sink.Sink {
	t.Helper()
	parsed, err := sink.Parse("script", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sink.Start(sink.Options{Script: parsed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func address(t *testing.T, text string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var now = time.Date(2026, 7, 14, 9, 0, 0, 0, time.UTC)

func TestAMailArrivesWholeAndItsReceiptIsRead(t *testing.T) {
	s := start(t, `[[rule]]
phase = "dot"
reply = "250 2.0.0 kept, receipt 1V09-1DCB-G0ET-CCR0-XJ1C thank you"
`)
	c, err := Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, from := range []doppelboden.Address{address(t, "a@example.org"), {}} {
		a, err := c.Send(Mail{From: from, To: address(t, "bürger@a.de"), Subject: "Straße", Text: ".\nzwei\n..drei", MessageID: "1@x"}, now)
		if err != nil || !a.Kept() || a.Receipt.String() != "1V09-1DCB-G0ET-CCR0-XJ1C" {
			t.Fatalf("from %q: %+v, %v; want it kept with its receipt", from, a, err)
		}
	}
	got := s.Messages()
	if len(got) != 2 {
		t.Fatalf("%d mails arrived, want 2", len(got))
	}
	text := string(got[0].Data)
	for _, want := range []string{"Message-ID: <1@x>\r\n", "Subject: =?utf-8?q?Stra=C3=9Fe?=\r\n", "Date: Tue, 14 Jul 2026 09:00:00 +0000\r\n", "\r\n\r\n.\r\nzwei\r\n..drei\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the mail:\n%s", want, text)
		}
	}
	if !s.Stats().Seen.Clean() {
		t.Errorf("the server saw %+v", s.Stats().Seen)
	}
}

func TestARefusalIsAnAnswerAndTheNextMailGoesThrough(t *testing.T) {
	for phase, reply := range map[string]string{"mail": "450 4.7.1 wait", "rcpt": "550 5.1.1 nobody", "data": "451 4.3.0 later", "dot": "554 5.6.0 no"} {
		s := start(t, "[[rule]]\nphase = \""+phase+"\"\nreply = \""+reply+"\"\ntimes = 1\n")
		c, err := Dial(t.Context(), s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		m := Mail{From: address(t, "a@example.org"), To: address(t, "b@a.de")}
		a, err := c.Send(m, now)
		if err != nil || a.Kept() || a.Text != reply[4:] {
			t.Errorf("%s: %+v, %v; want the refusal %q", phase, a, err, reply)
		}
		if a, err = c.Send(m, now); err != nil || !a.Kept() {
			t.Errorf("after a refusal at %s: %+v, %v; want the next one kept", phase, a, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func TestABrokenConnectionIsAnErrorAndNeverKept(t *testing.T) {
	for _, phase := range []string{"mail", "rcpt", "data", "body", "dot"} {
		s := start(t, "[[rule]]\nphase = \""+phase+"\"\naction = \"drop\"\n")
		c, err := Dial(t.Context(), s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Send(Mail{To: address(t, "b@a.de"), Text: strings.Repeat("x\n", 100_000)}, now)
		if err == nil || a.Kept() {
			t.Errorf("dropped at %s: %+v, %v; want an error", phase, a, err)
		}
		c.Close()
	}
}

func TestNobodyThereAndNonsenseAreErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := ln.Accept(); err == nil {
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	if _, err := Dial(t.Context(), ln.Addr().String()); err == nil {
		t.Error("a web server was taken for an MX")
	}
	ln.Close()
	if _, err := Dial(t.Context(), ln.Addr().String()); err == nil {
		t.Error("nobody was taken for an MX")
	}
}

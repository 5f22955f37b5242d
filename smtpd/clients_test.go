package smtpd

import (
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"doppelboden"
)

func TestTheClientOfTheStandardLibraryIsServed(t *testing.T) {
	server, client := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server})
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	steps := []func() error{
		func() error { return c.Hello("sender.example") },
		func() error { return c.StartTLS(client) },
		func() error { return c.Mail("a@sender.example") },
		func() error { return c.Rcpt("b@city.example") },
		func() error {
			w, err := c.Data()
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte("Subject: x\n\n.\n..\nend")); err != nil {
				return err
			}
			return w.Close()
		},
		c.Quit,
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if got, want := bag.bodies(), "Subject: x\r\n\r\n.\r\n..\r\nend\r\n"; len(got) != 1 || got[0] != want {
		t.Errorf("kept %q, wanted %q", got, want)
	}
}

func TestTheClientOfGoSMTPIsServed(t *testing.T) {
	server, client := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server})
	c, err := gosmtp.DialStartTLS(addr, client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mail := &gosmtp.MailOptions{Size: 10, UTF8: true, Body: gosmtp.Body8BitMIME, Return: gosmtp.DSNReturnHeaders, EnvelopeID: "id=1"}
	if err := c.Mail("jürgen@sender.example", mail); err != nil {
		t.Fatal(err)
	}
	rcpt := &gosmtp.RcptOptions{Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifyFailure},
		OriginalRecipientType: gosmtp.DSNAddressTypeRFC822, OriginalRecipient: "o=x@city.example"}
	if err := c.Rcpt("b@city.example", rcpt); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, ".\r\nx\r\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	kept := bag.parcels()
	if len(kept) != 1 || kept[0].body.String() != ".\r\nx\r\n" {
		t.Fatalf("kept %q, wanted the dot and x", bag.bodies())
	}
	e, r := kept[0].envelope, kept[0].recipients[0]
	if e.Sender != (doppelboden.Address{Local: "jürgen", Domain: "sender.example"}) || !e.SMTPUTF8 || !e.EightBit ||
		e.Ret != "HDRS" || e.EnvID != "id+3D1" || e.Size != 10 || r.Notify != "FAILURE" || r.ORcpt != "RFC822;o+3Dx@city.example" {
		t.Errorf("envelope %+v and recipient %+v, wanted what the client said", e, r)
	}
}

func TestSwaksIsServed(t *testing.T) {
	path, err := exec.LookPath("swaks")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("swaks is missing, and CI must not skip")
		}
		t.Skip("SKIPPED: swaks is not installed, so no test with it (apt-get install swaks)")
	}
	server, _ := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, TLS: server})
	host, port, _ := strings.Cut(addr, ":")
	for _, extra := range [][]string{nil, {"--pipeline"}, {"--protocol", "SMTP"}, {"--tls-optional"}} {
		args := append([]string{"--server", host, "--port", port, "--from", "a@sender.example",
			"--to", "b@city.example,c@city.example", "--data", `Subject: x\n\n.dot\nend`}, extra...)
		out, err := exec.Command(path, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("swaks %v: %v\n%s", extra, err, out)
		}
		kept := bag.parcels()
		last := kept[len(kept)-1]
		if want := "Subject: x\r\n\r\n.dot\r\nend\r\n"; !strings.HasPrefix(last.body.String(), want) {
			t.Errorf("swaks %v: kept %q, wanted %q", extra, last.body.String(), want)
		}
		if !strings.Contains(string(out), "receipt "+last.receipt.String()) || len(last.recipients) != 2 {
			t.Errorf("swaks %v did not see the receipt %v, or not both recipients were kept:\n%s", extra, last.receipt, out)
		}
	}
	if got := len(bag.bodies()); got != 4 {
		t.Errorf("kept %d mails, wanted 4", got)
	}
}

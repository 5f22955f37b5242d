package scenario

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden/test/peer"
)

// gatewayZone says that mail of strange.example comes from one address, and that other
// mail in its name is to be rejected.
const gatewayZone = `
strange.example. 60 IN TXT "v=spf1 ip4:192.0.2.77 -all"
strange.example. 60 IN MX 10 mail.strange.example.
_dmarc.strange.example. 60 IN TXT "v=DMARC1; p=reject"
mail.strange.example. 60 IN A 192.0.2.77
77.2.0.192.in-addr.arpa. 60 IN PTR mail.strange.example.
`

// configure changes city.toml and makes it the one in use.
func (c *city) configure(change func(text string) string) {
	c.t.Helper()
	path := filepath.Join(c.dir, "city.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(change(string(text))), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if out, code := c.run("config", "apply", path); code == 0 && !strings.Contains(out, "Nothing was changed") {
		return
	}
	c.must("config", "apply", path, "--yes", "2") // both mailboxes go another way
}

// TestBehindAGatewaySendersAreJudgedByTheirOwnAddressAndNobodyGetsABounceForUs has a
// real Postfix in front of us, which hands over what strangers bring.
func TestBehindAGatewaySendersAreJudgedByTheirOwnAddressAndNobodyGetsABounceForUs(t *testing.T) {
	t.Parallel()
	peer.Need(t, "swaks", peer.PostfixProgram)
	names := peer.For[*peer.DNSServer](t, peer.DNS{Zone: gatewayZone})
	groupware := peer.For[*peer.Postfix](t, peer.PostfixReceiver{Domain: "stadt.example"})
	c := found(t, "", "smtp://"+groupware.Addr(), 2)
	c.stop()
	node := filepath.Join(c.dir, "node.toml")
	text, err := os.ReadFile(node)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ = cutDNS(text)
	if err := os.WriteFile(node, fmt.Appendf(text, "\n[dns]\nservers = [%q]\n", names.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.configure(func(text string) string {
		text = strings.Replace(text, "dmarc = \"mark\"", "dmarc = \"refuse\"", 1)
		return text + "\n[[hop]]\nname = \"gateway\"\nnetworks = [\"127.0.0.20\"]\nreceived_by = [\"relay.test\"]\n"
	})
	gateway := peer.For[*peer.Postfix](t, peer.PostfixRelay{Domain: "stadt.example", NextHop: c.mx, Log: true, Settings: []string{
		"smtp_bind_address = 127.0.0.20",
		"smtpd_authorized_xclient_hosts = 127.0.0.0/8", // so that the test can come from elsewhere
	}})
	through := func(client, box string) (string, error) {
		return peer.Swaks{Addr: gateway.Addr(), From: "citizen@strange.example", To: []string{box},
			Args: []string{"--helo", "mail.strange.example", "--xclient-addr", client, "--h-From", "citizen@strange.example"}}.Run(t.Context())
	}
	boxes := users(2)

	// The real client is the domain's own; the gateway is not.
	if out, err := through("192.0.2.77", boxes[0]); err != nil {
		t.Fatalf("through the gateway: %v\n%s", err, out)
	}
	got, err := peer.WaitMails(groupware, boxes[0], 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"spf=pass smtp.mailfrom=citizen@strange.example", "dmarc=pass", "Received: from relay.test (", "[127.0.0.20]"} {
		if !bytes.Contains(got[0], []byte(want)) {
			t.Errorf("the mail that the domain sent itself does not say %q:\n%s", want, got[0])
		}
	}

	// A forger through the gateway: a 5xx of ours would make the gateway send a bounce to
	// the person whose address he took. So the mail is held.
	if out, err := through("198.51.100.9", boxes[1]); err != nil {
		t.Fatalf("through the gateway: %v\n%s", err, out)
	}
	deadline := time.Now().Add(time.Minute)
	for b := c.balance(); b.Held != 1; b = c.balance() {
		if time.Now().After(deadline) {
			t.Fatalf("the forged mail is not held: %+v", b)
		}
		time.Sleep(100 * time.Millisecond) // the command is a poll by its nature
	}
	// It makes a bounce before it forgets the mail, and nobody would take it.
	for n, err := gateway.Queued(); n != 0 || err != nil; n, err = gateway.Queued() {
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the gateway has %d mails in its queue (%v), want none: no bounce", n, err)
		}
		time.Sleep(100 * time.Millisecond) // polls a real server
	}

	// The same forger comes to us himself and says that the gateway took it from the
	// domain's own server.
	forged := []byte("Received: from mail.strange.example (mail.strange.example [192.0.2.77])\n\tby relay.test (Postfix) with ESMTP id 1; Sun, 22 Nov 2026 10:00:00 +0000\n" +
		"From: citizen@strange.example\nSubject: forged\n\nhello\n")
	out, err := peer.Swaks{Addr: c.mx, From: "citizen@strange.example", To: []string{boxes[1]}, Data: forged, Args: []string{"--helo", "mail.strange.example"}}.Run(t.Context())
	if err == nil || !strings.Contains(out, "554 5.7.1") {
		t.Errorf("a stranger's forged Received line of the gateway was believed: %v\n%s", err, out)
	}
	if b := c.settled(time.Minute); b.Accepted != 2 || b.Delivered != 1 || b.Held != 1 || b.Difference != 0 {
		t.Errorf("balance %+v, want one delivered and one held", b)
	}
}

// cutDNS takes [dns] out of a node.toml.
func cutDNS(text []byte) (before, after []byte, was bool) {
	before, after, was = bytes.Cut(text, []byte("[dns]\n"))
	if !was {
		return text, nil, false
	}
	_, rest, _ := bytes.Cut(after, []byte("\n"))
	return append(bytes.Clone(before), rest...), rest, true
}

// TestBeforeAGatewayItsAnswersReachTheSenderAndItsMailIsOursWhileItIsDown has a real
// Postfix behind us that knows better than we what it takes.
func TestBeforeAGatewayItsAnswersReachTheSenderAndItsMailIsOursWhileItIsDown(t *testing.T) {
	t.Parallel()
	peer.Need(t, "swaks", peer.PostfixProgram)
	boxes := users(2)
	gateway := peer.For[*peer.Postfix](t, peer.PostfixReceiver{Domain: "stadt.example", Settings: []string{
		"virtual_mailbox_maps = inline:{ {" + boxes[0] + " = all/} }", // it has never heard of the other one
		"smtpd_end_of_data_restrictions = check_sender_access inline:{ {virus@strange.example = REJECT no viruses here} }",
		"smtpd_authorized_xclient_hosts = 127.0.0.1",
	}})
	c := found(t, "", "smtp://"+gateway.Addr(), 2)
	c.configure(func(text string) string {
		return strings.Replace(text, "connections = 8 ", "pass_through = true\nconnections = 8 ", 1)
	})
	mail := func(from, box string) (string, error) {
		return peer.Swaks{Addr: c.mx, From: from, To: []string{box},
			Args: []string{"--helo", "mail.strange.example", "--local-interface", "127.0.0.5"}}.Run(t.Context())
	}

	if out, err := mail("citizen@strange.example", boxes[1]); err == nil || !strings.Contains(out, "550 5.1.1 <"+boxes[1]+">: Recipient address rejected") {
		t.Errorf("the gateway's 550 to RCPT did not reach the sender: %v\n%s", err, out)
	}
	if out, err := mail("virus@strange.example", boxes[0]); err == nil || !strings.Contains(out, "554 5.7.1") || !strings.Contains(out, "no viruses here") {
		t.Errorf("the gateway's 554 to the mail did not reach the sender: %v\n%s", err, out)
	}
	if out, err := mail("citizen@strange.example", boxes[0]); err != nil || !strings.Contains(out, "receipt ") {
		t.Fatalf("a mail that the gateway takes: %v\n%s", err, out)
	}
	// It was handed over before the sender had its 250.
	if b := c.balance(); b.Accepted != 1 || b.Delivered != 1 || b.Queued != 0 || b.Difference != 0 {
		t.Errorf("balance %+v, want one mail, which is delivered: of the refused ones there is none", b)
	}
	got, err := peer.WaitMails(gateway, boxes[0], 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if want := "Received: from mail.strange.example (unknown [127.0.0.5])"; !bytes.Contains(got[0], []byte(want)) {
		t.Errorf("the gateway does not know the client, want %q:\n%s", want, got[0])
	}

	if err := gateway.Halt(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if out, err := mail("citizen@strange.example", boxes[0]); err != nil || !strings.Contains(out, "receipt ") {
			t.Fatalf("while the gateway is down the mail was not taken: %v\n%s", err, out)
		}
	}
	if b := c.balance(); b.Accepted != 4 || b.Queued != 3 || b.Difference != 0 {
		t.Errorf("while the gateway is down: %+v, want three queued", b)
	}
	c.kill() // custody is custody
	c.start()
	if err := gateway.Resume(); err != nil {
		t.Fatal(err)
	}
	b := c.settled(2 * time.Minute)
	if b.Accepted != 4 || b.Delivered != 4 || b.Duplicates != 0 || b.Difference != 0 {
		t.Errorf("after its return: %+v, want all four delivered", b)
	}
	if got, err = peer.WaitMails(gateway, boxes[0], 4, time.Minute); err != nil {
		t.Fatal(err)
	}
	for i, m := range got {
		if !bytes.Contains(m, []byte("(unknown [127.0.0.5])")) {
			t.Errorf("mail %d was handed over without its client's address:\n%s", i, m)
		}
	}
}

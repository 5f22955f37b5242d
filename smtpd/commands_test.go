package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"doppelboden"
)

// begin returns a client that has said EHLO over a pipe.
func begin(t *testing.T, o Options) *dialogue {
	t.Helper()
	_, l := overPipes(t, o)
	d := talk(t, l.dial())
	d.ask("EHLO sender.example", "250-")
	return d
}

func TestAMailIsKeptAndItsReceiptIsToldToTheSender(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.ask("MAIL FROM:<Anna.A@Sender.Example> SIZE=30 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1", "250 2.1.0")
	d.ask("RCPT TO:<b@city.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@city.example", "250 2.1.5")
	d.ask("RCPT TO:<Postmaster>", "250 2.1.5")
	d.ask("DATA", "354")
	got := d.ask("Subject: x\r\n\r\n..\r\n.", "250 2.0.0 Ok: receipt ")
	d.ask("QUIT", "221 2.0.0")
	d.ended()

	kept := bag.parcels()
	if len(kept) != 1 {
		t.Fatalf("%d mails were kept, wanted 1", len(kept))
	}
	p := kept[0]
	if want := "250 2.0.0 Ok: receipt " + p.receipt.String() + "\r\n"; got != want {
		t.Errorf("reply %q, wanted %q", got, want)
	}
	if want := "Subject: x\r\n\r\n.\r\n"; p.body.String() != want {
		t.Errorf("body %q, wanted %q", p.body.String(), want)
	}
	e := p.envelope
	e.Peer, e.PeerName = p.envelope.Peer, ""
	want := Envelope{Peer: e.Peer, Helo: "sender.example", Proto: "ESMTP", EightBit: true, Ret: "HDRS", EnvID: "QQ+2B1",
		Size: 30, Sender: doppelboden.Address{Local: "Anna.A", Domain: "sender.example"}}
	if e != want {
		t.Errorf("envelope %+v, wanted %+v", e, want)
	}
	wantRcpts := fmt.Sprint([]Recipient{
		{Address: doppelboden.Address{Local: "b", Domain: "city.example"}, Notify: "SUCCESS,DELAY", ORcpt: "rfc822;b+2Bx@city.example"},
		{Address: doppelboden.Address{Local: "postmaster"}},
	})
	if got := fmt.Sprint(p.recipients); got != wantRcpts {
		t.Errorf("recipients %v, wanted %v", got, wantRcpts)
	}
	if len(bag.acked) != 1 || !bag.acked[0] {
		t.Errorf("Acked was told %v, wanted [true]", bag.acked)
	}
}

func TestEhloAnnouncesWhatTheDoorCan(t *testing.T) {
	_, l := overPipes(t, Options{Intake: newBag()})
	d := talk(t, l.dial())
	want := "250-mx.city.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ENHANCEDSTATUSCODES\r\n" +
		"250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"
	if got := d.ask("EHLO sender.example", "250-"); got != want {
		t.Errorf("EHLO was answered with %q, wanted %q", got, want)
	}
	if got := d.ask("HELO sender.example", "250 "); got != "250 mx.city.example\r\n" {
		t.Errorf("HELO was answered with %q", got)
	}
}

// TestRepliesToCommands says each line to a fresh connection, after setup.
func TestRepliesToCommands(t *testing.T) {
	const sender = "MAIL FROM:<a@b.example>"
	long := strings.Repeat("x", 65)
	for _, c := range []struct{ before, line, want string }{
		{"", "NOOP", "250 2.0.0"},
		{"", "noop with words", "250 2.0.0"},
		{"", "RSET", "250 2.0.0"},
		{"", "RSET now", "501 5.5.4"},
		{"", "VRFY anna", "252 2.5.0"},
		{"", "VRFY", "501 5.5.4"},
		{"", "EXPN list", "502 5.5.1"},
		{"", "AUTH PLAIN AAAA", "502 5.5.1"},
		{"", "STARTTLS", "502 5.5.1"},
		{"", "HELP", "214 2.0.0"},
		{"", "QUIT now", "501 5.5.4"},
		{"", "WORDS", "500 5.5.1"},
		{"", "", "500 5.5.1"},
		{"", " NOOP", "500 5.5.1"},
		{"", "NOOPNOOPNOOP", "500 5.5.1"},
		{"", "NO\x00OP", "500 5.5.2"},
		{"", "NOOP\rMAIL FROM:<a@b.example>", "500 5.5.2"},
		{"", "NOOP\tx", "500 5.5.2"},
		{"", "GET / HTTP/1.1", "554 5.5.1"},
		{"", "EHLO", "501 5.5.4"},
		{"", "EHLO (evil)", "501 5.5.4"},
		{"", "EHLO " + strings.Repeat("x", 256), "501 5.5.4"},
		{"", "EHLO [IPv6:2001:db8::1]", "250-"},
		{"", "HELO win_pc", "250 "},
		{"", "EHLO sender.example   ", "250-"},

		{"", "RCPT TO:<b@city.example>", "503 5.5.1"},
		{"", "DATA", "503 5.5.1"},
		{"", sender, "250 2.1.0"},
		{"", "mail from:<a@b.example>", "250 2.1.0"},
		{"", "MAIL FROM: <a@b.example>", "250 2.1.0"},
		{"", "MAIL FROM:<>", "250 2.1.0"},
		{"", `MAIL FROM:<"a b\"c>"@b.example>`, "250 2.1.0"},
		{"", "MAIL FROM:<@x.example,@y.example:a@b.example>", "250 2.1.0"},
		{"", "MAIL FROM:<a@[192.0.2.1]>", "250 2.1.0"},
		{"", "MAIL FROM:a@b.example", "501 5.1.7"},
		{"", "MAIL FROM:<a>", "501 5.1.7"},
		{"", "MAIL FROM:<a@b.example", "501 5.1.7"},
		{"", "MAIL FROM:<a@b@c.example>", "501 5.1.7"},
		{"", "MAIL FROM:<a..b@c.example>", "501 5.1.7"},
		{"", "MAIL FROM:<" + long + "@b.example>", "501 5.1.7"},
		{"", "MAIL FROM:<@x.example:>", "501 5.1.7"},
		{"", "MAIL FROM:<postmaster>", "501 5.1.7"},
		{"", "MAIL TO:<a@b.example>", "501 5.5.4"},
		{"", "MAIL", "501 5.5.4"},
		{"", sender + "SIZE=1", "501 5.5.4"},
		{"", sender + " SIZE=1 SIZE=1", "501 5.5.4"},
		{"", sender + " SIZE=x", "501 5.5.4"},
		{"", sender + " SIZE=-1", "501 5.5.4"},
		{"", sender + " SIZE=", "501 5.5.4"},
		{"", sender + " SIZE", "501 5.5.4"},
		{"", sender + " SIZE=52428800", "250 2.1.0"},
		{"", sender + " SIZE=52428801", "552 5.3.4"},
		{"", sender + " SIZE=99999999999999999999", "552 5.3.4"},
		{"", sender + " SIZE=999999999999999999999", "501 5.5.4"},
		{"", sender + " size=1  body=7bit ", "250 2.1.0"},
		{"", sender + " BODY=7BIT BODY=8BITMIME", "501 5.5.4"},
		{"", sender + " BODY=BINARYMIME", "555 5.5.4"},
		{"", sender + " BODY", "555 5.5.4"},
		{"", sender + " AUTH=<>", "555 5.5.4"},
		{"", sender + " X-WHATEVER", "555 5.5.4"},
		{"", sender + " =1", "501 5.5.4"},
		{"", sender + " RET=SOME", "501 5.5.4"},
		{"", sender + " RET=FULL RET=HDRS", "501 5.5.4"},
		{"", sender + " ENVID=a+2", "501 5.5.4"},
		{"", sender + " ENVID=" + strings.Repeat("x", 101), "501 5.5.4"},
		{"", sender + " SMTPUTF8=1", "501 5.5.4"},
		{"", "MAIL FROM:<jürgen@b.example>", "553 5.6.7"},
		{"", "MAIL FROM:<jürgen@b.example> SMTPUTF8", "250 2.1.0"},
		{"", "MAIL FROM:<a@bücher.example>", "553 5.6.7"},
		{"", "MAIL FROM:<a\xff@b.example> SMTPUTF8", "501 5.1.7"},

		{sender, sender, "503 5.5.1"},
		{sender, "DATA", "503 5.5.1 RCPT first"},
		{sender, "DATA now", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example>", "250 2.1.5"},
		{sender, "RCPT TO:<postmaster>", "250 2.1.5"},
		{sender, "RCPT TO:<po\u017ftmaster>", "501 5.1.3"},
		{sender, "RCPT TO:<>", "501 5.1.3"},
		{sender, "RCPT TO:<b>", "501 5.1.3"},
		{sender, "RCPT TO:b@city.example", "501 5.1.3"},
		{sender, "RCPT FROM:<b@city.example>", "501 5.5.4"},
		{sender, "RCPT TO:<jürgen@city.example>", "553 5.6.7"},
		{sender, "RCPT TO:<b@city.example> NOTIFY=NEVER", "250 2.1.5"},
		{sender, "RCPT TO:<b@city.example> NOTIFY=NEVER,DELAY", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example> NOTIFY=DELAY,DELAY", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example> NOTIFY=", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example> ORCPT=rfc822;a ORCPT=rfc822;a", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example> ORCPT=rfc822", "501 5.5.4"},
		{sender, "RCPT TO:<b@city.example> SIZE=1", "555 5.5.4"},
		{sender + " SMTPUTF8", "RCPT TO:<jürgen@city.example> ORCPT=utf-8;jürgen@city.example", "250 2.1.5"},
	} {
		t.Run(c.before+" / "+c.line, func(t *testing.T) {
			bag := newBag()
			d := begin(t, Options{Intake: bag})
			if c.before != "" {
				d.ask(c.before, "250 2.1.0")
			}
			d.ask(c.line, c.want)
			d.conn.Close()
			if !bag.await(func() bool { return bag.open == 0 }) {
				t.Errorf("%d transactions were never ended", bag.open)
			}
		})
	}
}

func TestMailNeedsEhlo(t *testing.T) {
	_, l := overPipes(t, Options{Intake: newBag()})
	d := talk(t, l.dial())
	d.ask("MAIL FROM:<a@b.example>", "503 5.5.1 EHLO or HELO first")
}

func TestTheProtocolIsNamedAsRFC3848And6531HaveIt(t *testing.T) {
	bag := newBag()
	_, l := overPipes(t, Options{Intake: bag})
	d := talk(t, l.dial())
	for _, c := range []struct{ hello, param, want string }{
		{"HELO x", "", "SMTP"}, {"EHLO x", "", "ESMTP"}, {"EHLO x", " SMTPUTF8", "UTF8SMTP"},
	} {
		d.ask(c.hello, "250")
		d.ask("MAIL FROM:<>"+c.param, "250")
		d.ask("RCPT TO:<b@city.example>", "250")
		d.ask("DATA", "354")
		d.ask(".", "250")
		kept := bag.parcels()
		if got := kept[len(kept)-1].envelope.Proto; got != c.want {
			t.Errorf("%s, MAIL%s: Proto %q, wanted %q", c.hello, c.param, got, c.want)
		}
	}
}

func TestEveryErrorOfTheIntakeHasItsReplyAndTellsNothingElse(t *testing.T) {
	for _, c := range []struct {
		code             doppelboden.Code
		mail, rcpt, body string
	}{
		{doppelboden.Temporary, "451 4.3.0", "451 4.3.0", "451 4.3.0"},
		{doppelboden.Busy, "451 4.3.2", "451 4.3.2", "451 4.3.2"},
		{doppelboden.StorageFull, "452 4.3.1", "452 4.3.1", "452 4.3.1"},
		{doppelboden.NoSuchMailbox, "550 5.1.1", "550 5.1.1", "550 5.1.1"},
		{doppelboden.MailboxListStale, "450 4.4.3", "450 4.4.3", "450 4.4.3"},
		{doppelboden.OtherTenant, "452 4.5.3", "452 4.5.3", "452 4.5.3"},
		{doppelboden.TooManyRecipients, "452 4.5.3", "452 4.5.3", "452 4.5.3"},
		{doppelboden.TenantPaused, "450 4.3.2", "450 4.3.2", "450 4.3.2"},
		{doppelboden.TenantClosed, "550 5.7.1", "550 5.7.1", "550 5.7.1"},
		{doppelboden.TooLarge, "552 5.3.4", "552 5.3.4", "552 5.3.4"},
		{doppelboden.Loop, "554 5.4.6", "554 5.4.6", "554 5.4.6"},
		{doppelboden.BadMessage, "550 5.6.0", "550 5.6.0", "550 5.6.0"},
		{doppelboden.Policy, "554 5.7.1", "550 5.7.1", "554 5.7.1"},
		{doppelboden.Invalid, "553 5.1.7", "553 5.1.3", "550 5.6.0"},
		{doppelboden.NotFound, "550 5.1.1", "550 5.1.1", "550 5.1.1"},
		{doppelboden.Fenced, "451 4.3.2", "451 4.3.2", "451 4.3.2"},
		{doppelboden.Code(99), "451 4.3.0", "451 4.3.0", "451 4.3.0"},
	} {
		for at, want := range map[where]string{atMail: c.mail, atRcpt: c.rcpt, atBody: c.body} {
			got := string(errorReply(fails(c.code, "sorry"), at))
			if got != want+" sorry\r\n" {
				t.Errorf("%v at %d: reply %q, wanted %q", c.code, at, got, want+" sorry")
			}
			if permanent := got[0] == '5'; permanent != c.code.Permanent() {
				t.Errorf("%v at %d: reply %q, but Permanent is %v", c.code, at, got, c.code.Permanent())
			}
		}
	}
	for _, err := range []error{errors.New("secret"), fmt.Errorf("secret: %w", fails(doppelboden.Busy, "a\r\n250 b\x00ü"+strings.Repeat("x", 900)))} {
		got := string(errorReply(err, atRcpt))
		if isSecret(got) || strings.Count(got, "\n") != 1 || len(got) > maxReply {
			t.Errorf("reply %q to %v tells too much, or more than one line", got, err)
		}
	}
}

func TestARefusedRecipientChangesNothingForTheOthers(t *testing.T) {
	bag := newBag()
	bag.rcpt = func(r Recipient) error {
		if r.Address.Local == "nobody" {
			return fails(doppelboden.NoSuchMailbox, "no such mailbox")
		}
		return nil
	}
	d := begin(t, Options{Intake: bag})
	// All in one write, as PIPELINING allows.
	d.say("MAIL FROM:<>\r\nRCPT TO:<nobody@city.example>\r\nRCPT TO:<b@city.example>\r\nDATA\r\n")
	d.hear("250 2.1.0")
	d.hear("550 5.1.1 no such mailbox\r\n")
	d.hear("250 2.1.5")
	d.hear("354")
	d.ask("x\r\n.", "250 2.0.0")
	if kept := bag.parcels(); len(kept) != 1 || len(kept[0].recipients) != 1 {
		t.Errorf("kept %d mails, wanted one with one recipient", len(kept))
	}
}

func TestDataWithoutRecipientsIsRefusedAndTheConnectionGoesOn(t *testing.T) {
	bag := newBag()
	bag.rcpt = func(r Recipient) error {
		if r.Address.Local == "later" {
			return fails(doppelboden.Busy, "later")
		}
		return fails(doppelboden.NoSuchMailbox, "no such mailbox")
	}
	d := begin(t, Options{Intake: bag})
	d.say("MAIL FROM:<>\r\nRCPT TO:<later@city.example>\r\nDATA\r\n")
	d.hear("250 2.1.0")
	d.hear("451 4.3.2")
	d.hear("451 4.5.1") // nothing was refused for good, so neither is the mail
	d.say("RCPT TO:<nobody@city.example>\r\nDATA\r\n")
	d.hear("550 5.1.1")
	d.hear("554 5.5.1")
	d.ask("RSET", "250 2.0.0")
	d.ask("NOOP", "250 2.0.0")
	if bag.aborted != 1 || bag.open != 0 {
		t.Errorf("aborted %d, open %d, wanted 1 and 0", bag.aborted, bag.open)
	}
}

// TestABodySentBehindARefusedDataIsNotReadAsCommands: a client that does not wait for
// 354, and somebody else wrote the body.
func TestABodySentBehindARefusedDataIsNotReadAsCommands(t *testing.T) {
	const body = evil + "RCPT TO:<b@city.example>\r\nDATA\r\nsmuggled\r\n.\r\n"
	bag := newBag()
	t.Run("in the same write", func(t *testing.T) {
		d := begin(t, Options{Intake: bag})
		d.say("DATA\r\n" + body)
		d.hear("503 5.5.1")
		d.hear("421 4.7.0")
		d.ended()
	})
	t.Run("in the next write", func(t *testing.T) {
		d := begin(t, Options{Intake: bag})
		d.ask("DATA", "503 5.5.1")
		d.ask("Subject: x", "421 4.7.0")
		d.ended()
	})
	if got := bag.bodies(); len(got) > 0 {
		t.Errorf("kept %q, wanted nothing", got)
	}
}

func TestNothingBehindABareLFIsReadAsACommand(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.say("NOOP x\nMAIL FROM:<a@b.example>\r\nRCPT TO:<b@city.example>\r\nDATA\r\nx\r\n.\r\n")
	d.hear("500 5.5.2")
	d.ended()
	if got := bag.bodies(); len(got) > 0 {
		t.Errorf("kept %q, wanted nothing", got)
	}
}

func TestAnErrorOfTheIntakeInTheBodyIsAnsweredAtItsEnd(t *testing.T) {
	bag := newBag()
	bag.write = func([]byte) error { return fails(doppelboden.StorageFull, "no room") }
	d := begin(t, Options{Intake: bag})
	d.mail()
	d.ask(strings.Repeat("a line\r\n", 20_000)+evil+".", "452 4.3.1 no room")
	d.ask("NOOP", "250 2.0.0")
	bag.write = nil
	bag.commit = func(context.Context, *parcel) error { return errors.New("secret") }
	d.mail()
	if got := d.ask("x\r\n.", "451 4.3.0"); isSecret(got) {
		t.Errorf("reply %q tells the cause", got)
	}
	d.ask("NOOP", "250 2.0.0")
	if bag.aborted != 2 || len(bag.acked) != 0 {
		t.Errorf("aborted %d and acked %v, wanted 2 and none", bag.aborted, bag.acked)
	}
}

// TestAMailWhoseSenderIsKnownToBeGoneIsNotKept: all of it is in our buffer already when
// the first replies, more than fit into one write, cannot be written. The sender cannot
// hear a 250 and will send it again.
func TestAMailWhoseSenderIsKnownToBeGoneIsNotKept(t *testing.T) {
	for _, c := range []struct {
		hellos, kept int
	}{{0, 1}, {40, 0}} {
		bag := newBag()
		s := newServer(t, Options{Intake: bag})
		in := strings.Repeat("EHLO x\r\n", c.hellos) + "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@city.example>\r\nBDAT 3 LAST\r\nx\r\n"
		client := &script{parts: [][]byte{[]byte(in)}, done: make(chan struct{}), deaf: true}
		conn := newConn(t.Context(), s, client, netip.Addr{})
		conn.wire.in, conn.wire.w = conn.wire.base, copy(conn.wire.base, in)
		conn.serve()
		if len(bag.kept) != c.kept || bag.open != 0 || len(bag.acked) != c.kept || slices.Contains(bag.acked, true) {
			t.Errorf("after %d EHLO: kept %d, open %d, acked %v, wanted %d kept and none acked",
				c.hellos, len(bag.kept), bag.open, bag.acked, c.kept)
		}
	}
}

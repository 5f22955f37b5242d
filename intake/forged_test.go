package intake

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"doppelboden"
)

// alsoTo is a directory of a pilot group: each mailbox has a second way.
type alsoTo struct{ passing }

func (p alsoTo) Find(e *Envelope, a doppelboden.Address) (Found, error) {
	found, err := p.passing.Find(e, a)
	if err == nil && len(found.Targets) == 1 && found.Targets[0].Mailbox != 0 {
		m := found.Targets[0].Mailbox
		found.Targets = append(found.Targets, Target{Mailbox: m, Box: -doppelboden.BoxID(m) - 100})
	}
	return found, err
}

func TestTwoAddressesOfOnePilotMailboxPassThroughAsOne(t *testing.T) {
	s := &nextServer{}
	in, tx := passThrough(t, s)
	tx.Abort()
	in.opts.Directory = func() Directory { return alsoTo{passing{s.f}} }
	tx, _ = in.Begin(Envelope{Door: "mx", Peer: "192.0.2.77", Sender: address(t, "a@strange.example")})
	if err := send(t, tx, "anna@stadt.example", "anna+x@stadt.example"); err != nil {
		t.Fatal(err)
	}
}

func TestNoDeliveryOfAPilotIsAskedOrHandedOverTwice(t *testing.T) {
	s := &nextServer{}
	in, tx := passThrough(t, s)
	tx.Abort()
	in.opts.Directory = func() Directory { return alsoTo{passing{s.f}} }
	tx, _ = in.Begin(Envelope{Door: "mx", Peer: "192.0.2.77", Sender: address(t, "a@strange.example")})
	if err := send(t, tx, "anna@stadt.example", "anna+x@stadt.example", "bert@stadt.example"); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, d := range s.handed {
		if seen[d.N] {
			t.Errorf("delivery %d to %s was handed over twice", d.N, d.Recipient)
		}
		seen[d.N] = true
	}
	if len(s.handed) == 0 {
		t.Error("nothing passed through")
	}
}

func TestAFirstLineThatBeginsWithASpaceDoesNotContinueOurReceivedLine(t *testing.T) {
	in, f := newIntake(t, 0)
	tx := begin(t, in, "anna@stadt.example")
	io.WriteString(tx, " ; Mon, 1 Jan 2001 00:00:00 +0000\r\n\r\nhello\r\n")
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := f.accepted[0].Prefix; !bytes.HasSuffix(p, []byte("\r\n\r\n")) {
		t.Errorf("the prefix ends in %q, want an empty line", p[len(p)-20:])
	}
}

func TestTheOneMemberOfAListIsNotAskedAboutAtTheNextServer(t *testing.T) {
	one := Target{Mailbox: 10, Recipient: address(t, "anna@stadt.example"), Through: "stadt/gateway"}
	if got := throughOf(Found{Targets: []Target{one}}); got != "" {
		t.Errorf("a list with one member passes through %q", got)
	}
	one.Recipient = doppelboden.Address{}
	if got := throughOf(Found{Targets: []Target{one}}); got == "" {
		t.Error("a mailbox of the route does not pass through")
	}
}

func TestAnOwnSenderCannotHideInWhoseNameItWrites(t *testing.T) {
	in, _ := newIntake(t, 0)
	for name, mail := range map[string]string{
		"behind 256 KiB": strings.Repeat("X-Long: "+strings.Repeat("x", 900)+"\r\n", 300) + "From: a@bund.example\r\n\r\nhi\r\n",
		"a group's name": "From: \"a@bund.example\" :;\r\n\r\nhi\r\n",
	} {
		own := &Own{Tenant: 1, Name: "app", MaySend: func(a doppelboden.Address) bool { return a.Domain == "stadt.example" }}
		tx, err := in.Begin(Envelope{Door: "submission", Peer: "192.0.2.7", Sender: address(t, "anna@stadt.example"), Own: own})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "bert@stadt.example")}); err != nil {
			t.Fatal(err)
		}
		for p := []byte(mail); len(p) > 0; {
			n := min(len(p), 32<<10)
			tx.Write(p[:n])
			p = p[n:]
		}
		if _, err := tx.Commit(t.Context()); doppelboden.CodeOf(err) == 0 || err == nil {
			t.Errorf("%s: %v; want it refused", name, err)
		}
	}
}

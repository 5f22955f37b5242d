package app

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/folder"
	"doppelboden/intake"
	"doppelboden/send"
	"doppelboden/store"
	"doppelboden/test/peer"
)

// An office is a city with a real Dovecot, whose own mail comes back to us (hairpin), with an
// application, and with a world.
type office struct {
	telling
	dovecot *peer.DovecotServer
	t       *testing.T
}

func startOffice(t *testing.T, script string) office {
	t.Helper()
	peer.Need(t, peer.DovecotProgram)
	o := office{dovecot: peer.For(t, peer.Dovecot{Users: []string{"anna@stadt.example", "bert@stadt.example", "clara@stadt.example", "postmaster@stadt.example"}, Quiet: true}), t: t}
	o.world = playing(t, script)
	node := install(t, "lmtp://"+o.dovecot.Addr())
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf(`
[tenant.internet]
relay = ["smtp://%s"]

[tenant.mailboxes]
recipients_per_hour = 10

[[tenant.sender]]
name = "groupware"
networks = ["127.0.0.1"]
from = ["*"]

[[tenant.sender]]
name = "newsletter"
networks = ["127.0.0.2"]
`, o.world.Addr())
	if err := os.WriteFile(node.City, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Node = start(t, node)
	o.client = control.NewClient(node.Data, nil)
	for _, name := range []string{"anna", "bert", "clara", "postmaster"} {
		if _, err := o.client.AddMailbox(t.Context(), control.Mailbox{Address: name + "@stadt.example", Kind: "person", Priority: 5}); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// box opens somebody's mailbox.
func (o office) box(name string) *folder.Box { return o.opened(name, name) }

// opened opens a mailbox as somebody who may.
func (o office) opened(name, by string) *folder.Box {
	o.t.Helper()
	d := o.house.Directory()
	found, err := d.Lookup(parse(o.t, name+"@stadt.example"))
	if err != nil {
		o.t.Fatal(err)
	}
	who, err := d.Lookup(parse(o.t, by+"@stadt.example"))
	if err != nil {
		o.t.Fatal(err)
	}
	return o.folders.Open(found.Tenant, found.Mailbox, fmt.Sprintf("%s%d", personPrefix, who.Mailbox))
}

// subjects returns the subjects of what lies in the folder with a use of somebody's mailbox.
func (o office) subjects(name string, u store.Use) (list []string) {
	o.t.Helper()
	b := o.box(name)
	folders, err := b.Folders(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	f := folders[slices.IndexFunc(folders, func(f store.Folder) bool { return f.Use == u })]
	if _, err := b.Look(o.t.Context(), f.Folder); err != nil {
		o.t.Fatal(err)
	}
	var ids []doppelboden.ID
	if err := b.Shown(o.t.Context(), f.Folder, store.ShownFilter{}, func(s store.Shown) error { ids = append(ids, s.Message); return nil }); err != nil {
		o.t.Fatal(err)
	}
	for _, id := range ids {
		m, err := b.Open(o.t.Context(), id)
		if err != nil {
			o.t.Fatal(err)
		}
		r, err := m.Reader()
		if err != nil {
			o.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			o.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\r\nSubject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		list = append(list, subject)
	}
	return list
}

// inGroupware reports whether somebody's mailbox in the groupware has a mail.
func (o office) inGroupware(name, subject string) bool {
	o.t.Helper()
	mails, err := o.dovecot.Mails(name + "@stadt.example")
	if err != nil {
		o.t.Fatal(err)
	}
	return slices.ContainsFunc(mails, func(m []byte) bool { return strings.Contains(string(m), "\nSubject: "+subject) })
}

// write sends a mail from somebody's emergency mailbox.
func (o office) write(from, subject string, to ...string) error {
	return o.writeAs(from, from, subject, to...)
}

// writeAs sends a mail from a mailbox that somebody else has opened.
func (o office) writeAs(by, from, subject string, to ...string) error {
	text := "From: " + from + "@stadt.example\r\nTo: " + strings.Join(to, ", ") + "\r\nSubject: " + subject + "\r\n\r\nGuten Tag\r\n"
	out := folder.Outgoing{From: parse(o.t, from+"@stadt.example"), Size: int64(len(text)), Body: strings.NewReader(text), Door: "webmail"}
	for _, a := range to {
		out.To = append(out.To, intake.Recipient{Address: parse(o.t, a)})
	}
	_, err := o.opened(from, by).Send(o.t.Context(), out)
	return err
}

// relay sends a mail through the smart host, as the groupware does for its people.
func (o office) relay(from, subject, to string) {
	o.t.Helper()
	c, err := send.Dial(o.t.Context(), o.Listeners()["submission"])
	if err != nil {
		o.t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(o.t, from), To: parse(o.t, to), Subject: subject, Text: "Guten Tag"}, time.Now())
	if err != nil || !a.Kept() {
		o.t.Fatalf("through the smart host: %v, %+v", err, a)
	}
}

// TestMailboxesInTheEmergencyAndInTheGroupwareWriteToEachOther moves one mailbox, by hand,
// while the groupware works.
func TestMailboxesInTheEmergencyAndInTheGroupwareWriteToEachOther(t *testing.T) {
	o := startOffice(t, "[[rule]]\nphase = \"rcpt\"\nrecipient = \"gone@*\"\nreply = \"550 5.1.1 no such user\"\n")
	got, err := o.client.SetMode(t.Context(), control.ModeChange{Move: control.Move{Addresses: []string{"anna@stadt.example", "clara@stadt.example"}}, Mode: "emergency"})
	if err != nil || got.Changed != 2 {
		t.Fatalf("mine does not work: %+v, %v", got, err)
	}
	if err := o.write("anna", "Frage", "bert@stadt.example", "clara@stadt.example", "eva@example.org"); err != nil {
		t.Fatal(err)
	}
	if s := o.subjects("clara", store.UseInbox); !slices.Equal(s, []string{"Frage"}) {
		t.Errorf("clara, in the emergency, has %q at once, want the question", s)
	}
	for _, name := range []string{"bert", "clara"} {
		waitFor(t, name+"'s groupware has the mail", func() bool { return o.inGroupware(name, "Frage") })
	}
	waitFor(t, "the world has it", func() bool { return o.world.Stats().Messages == 1 })
	if s := o.subjects("anna", store.UseSent); !slices.Equal(s, []string{"Frage"}) {
		t.Errorf("anna's sent mail: %q", s)
	}

	o.relay("bert@stadt.example", "Antwort", "anna@stadt.example")
	waitFor(t, "the answer is in the emergency mailbox", func() bool { return slices.Contains(o.subjects("anna", store.UseInbox), "Antwort") })
	waitFor(t, "and in the groupware", func() bool { return o.inGroupware("anna", "Antwort") })
	if s := o.subjects("bert", store.UseSent); !slices.Equal(s, []string{"Antwort"}) {
		t.Errorf("bert, who wrote in the groupware, has sent %q here, want the answer", s)
	}
	if err := o.write("anna", "Bescheid", "gone@example.org"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "what became of it is in her mailbox", func() bool { return len(o.subjects("anna", store.UseInbox)) == 2 })
	waitFor(t, "nothing waits", func() bool { return balance(t, o.Node).Queued == 0 })
	if b := balance(t, o.Node); b.Difference != 0 || b.Unacknowledged != 0 {
		t.Errorf("difference %d, unacknowledged %d: %+v", b.Difference, b.Unacknowledged, b.Findings)
	}
	n := 0
	if err := o.client.Modes(t.Context(), "", func(m control.Mode) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d mailboxes are used here, %v; want 2", n, err)
	}
	if len(o.spared()) < 2 {
		t.Errorf("retention spares %v, want the mailboxes that are used here", o.spared())
	}
}

// TestOnlyThePeoplesOwnMailOfTheGroupwareLiesAmongSentMail sends what a groupware sends.
func TestOnlyThePeoplesOwnMailOfTheGroupwareLiesAmongSentMail(t *testing.T) {
	o := startOffice(t, "")
	o.relay("anna@stadt.example", "Brief", "eva@example.org")
	o.relay("stranger@example.net", "Weiterleitung", "eva@example.org")
	waitFor(t, "the world has both", func() bool { return o.world.Stats().Messages == 2 })
	if s := o.subjects("anna", store.UseSent); !slices.Equal(s, []string{"Brief"}) {
		t.Errorf("anna's sent mail: %q, want her own", s)
	}
	counts, err := o.store.DeedCounts(t.Context())
	if err != nil || len(counts) != 0 {
		t.Errorf("what the groupware sent goes back to it: %+v, %v", counts, err)
	}
	for name, want := range map[string]bool{"newsletter": false, "groupware": true} {
		own, err := o.own.asOwn(o.house.Directory().City().Tenants[0].Name + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := own.SentBy != nil; got != want {
			t.Errorf("mail of %s lies among sent mail: %v, want %v", name, got, want)
		}
	}
}

// TestAStolenPasswordIsStoppedAndTold writes to more people than an hour allows.
func TestAStolenPasswordIsStoppedAndTold(t *testing.T) {
	o := startOffice(t, "")
	var many []string
	for i := range 11 {
		many = append(many, fmt.Sprintf("victim%d@example.org", i))
	}
	if err := o.write("anna", "Gewinn", many...); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("to 11 recipients, of 10 an hour: %v, want policy", err)
	}
	waitFor(t, "the alarm is stored", func() bool { return strings.Contains(openAlarms(t, o.Node)["limit"], "anna@stadt.example") })
	if _, err := o.client.AddMailbox(t.Context(), control.Mailbox{Address: "amt@stadt.example", Kind: "function", Priority: 5}); err != nil {
		t.Fatal(err)
	}
	if err := o.writeAs("anna", "amt", "Gewinn", many...); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("to 11 recipients from a function: %v, want policy", err)
	}
	waitFor(t, "the alarm tells of the function", func() bool { return strings.Contains(openAlarms(t, o.Node)["limit"], "amt@stadt.example") })
	// Without --everything only unused codes end, and a function has no log-in.
	said := openAlarms(t, o.Node)["limit"]
	if !strings.Contains(said, "anna@stadt.example wanted to write from amt@") || !strings.Contains(said, "account revoke --person anna@stadt.example --everything") {
		t.Errorf("the alarm does not say how whoever has anna's password is put out: %s", said)
	}
	if len(o.subjects("anna", store.UseSent)) != 0 || o.world.Stats().Messages != 0 {
		t.Error("it was sent all the same")
	}
}

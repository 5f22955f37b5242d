package app

import (
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/harvest"
	"doppelboden/store"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

// reported adds a journal address, whose sender is this machine, to a city.toml.
func reported(t *testing.T, node *city.Node) {
	t.Helper()
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	table := "\n[[tenant.sender]]\nname = \"exchange\"\nnetworks = [\"127.0.0.1\"]\nfrom = [\"*\"]\n\n[tenant.journal]\naddress = \"journal@journal.example\"\nsenders = [\"exchange\"]\n"
	if err := os.WriteFile(node.City, append(text, table...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// journalReport is what Exchange reports of a mail.
func journalReport(sender, to, mail string) string {
	return "From: exchange@stadt.example\r\nX-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" +
		"Sender: " + sender + "\r\nSubject: x\r\nMessage-Id: <x>\r\nBcc: " + to + "\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + mail + "\r\n--b--\r\n"
}

// deliver sends a mail as it is.
func deliver(at, from, to, text string) error {
	c, err := smtp.Dial(at)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail(from), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.Close()
}

// lies returns the subjects that a mailbox shows here, with their folders.
func lies(t *testing.T, n *Node, address string) map[string]string {
	t.Helper()
	to, err := n.house.Directory().Lookup(parse(t, address))
	if err != nil {
		t.Fatal(err)
	}
	folders, err := n.store.Folders(t.Context(), to.Tenant, to.Mailbox)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range folders {
		if _, err := n.store.Look(t.Context(), f.Place); err != nil {
			t.Fatal(err)
		}
		var ids []doppelboden.ID
		if err := n.store.Shown(t.Context(), f.Place, store.ShownFilter{}, func(s store.Shown) error { ids = append(ids, s.Message); return nil }); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			m, err := n.store.Message(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			r, err := n.bodies.Reader(m.Tenant, m.Body)
			if err != nil {
				t.Fatal(err)
			}
			head := make([]byte, 4096)
			k, _ := r.Read(head)
			r.Close()
			_, rest, _ := strings.Cut(string(head[:k]), "Subject: ")
			subject, _, _ := strings.Cut(rest, "\r\n")
			found[subject] += f.Name + " "
		}
	}
	return found
}

// TestInternalMailIsThereByJournalAndBySyncAndStillInTheTwelfthWeekOfAnOutage reports one
// mail and lets another one be read from a real Dovecot, and then lets twelve weeks pass
// without it.
func TestInternalMailIsThereByJournalAndBySyncAndStillInTheTwelfthWeekOfAnOutage(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	berta := "berta@stadt.example"
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{anna.Address, berta}, Quiet: true})
	node := install(t, "lmtp://"+dovecot.Addr())
	imapOf(t, node, dovecot.IMAP(), "sync = true")
	reported(t, node)
	h := hand.At(time.Now())
	inside(t, dovecot, berta, "Gelesen", h.Now().Add(-time.Hour))
	n := startAt(t, node, h)
	for _, m := range []control.Mailbox{anna, {Address: berta, Kind: "person", Priority: 5}} {
		if _, err := client(n).AddMailbox(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	letter := "From: " + anna.Address + "\r\nTo: x@example.org\r\nSubject: Gemeldet\r\nMessage-ID: <1@stadt.example>\r\n\r\nText\r\n"
	if err := deliver(n.Listeners()["submission"], "", "journal@journal.example", (journalReport(anna.Address, berta, letter))); err != nil {
		t.Fatal(err)
	}
	if err := deliver(n.Listeners()["mx"], "x@example.org", "journal@journal.example", (journalReport(anna.Address, berta, letter))); err == nil || err.Error()[0] != '5' {
		t.Errorf("a stranger's report: %v, want a 5xx", err)
	}
	waitFor(t, "both mails are there", func() bool {
		h.Forward(5 * time.Second)
		return fmt.Sprint(lies(t, n, berta)) == "map[Gelesen:INBOX  Gemeldet:INBOX ]"
	})
	if got := fmt.Sprint(lies(t, n, anna.Address)); got != "map[Gemeldet:Gesendet ]" {
		t.Errorf("anna's mailbox shows %s, want what she sent", got)
	}
	covered := func() (c control.Covered) {
		t.Helper()
		if _, err := client(n).Coverage(t.Context(), berta, "", func(got control.Covered) error { c = got; return nil }); err != nil {
			t.Fatal(err)
		}
		return c
	}
	waitFor(t, "the mailbox counts as filled", func() bool { h.Forward(5 * time.Second); return !covered().Sync.IsZero() })
	if c := covered(); !c.Internal.Now() || c.Internal.Source != harvest.SourceJournal || c.Folders.Source != harvest.SourceSync {
		t.Errorf("the coverage is %+v", c)
	}
	if b, err := (proof{n}).Balance(t.Context(), h.Now().Add(-time.Hour), h.Now().Add(time.Hour), nil); err != nil || b.Difference != 0 || b.Accepted != 0 {
		t.Errorf("the balance is %+v, %v; want nothing accepted, for nothing was to be handed over", b, err)
	}
	if _, err := dovecot.Halt(); err != nil {
		t.Fatal(err)
	}
	sendTo(t, n, berta)
	waitFor(t, "the outage is known", func() bool { h.Forward(30 * time.Second); return len(n.events.Concerned()) > 0 })
	for range 84 {
		h.Forward(24 * time.Hour)
		if _, err := n.store.Expire(t.Context(), h.Now().AddDate(0, 0, -30), n.spared(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if got := lies(t, n, berta); got["Gelesen"] != "INBOX " || got["Gemeldet"] != "INBOX " {
		t.Errorf("in the twelfth week the mailbox shows %v, want both mails", got)
	}
}

// inside puts a mail into the inbox of somebody in Dovecot.
func inside(t *testing.T, d *peer.DovecotServer, owner, subject string, at time.Time) {
	t.Helper()
	c, err := imapclient.DialInsecure(d.IMAP(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(owner, peer.DovecotPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	text := "From: kollege@stadt.example\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@stadt.example>\r\n\r\nText\r\n"
	cmd := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Time: at})
	if _, err := cmd.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// sendTo sends one mail as a stranger.
func sendTo(t *testing.T, n *Node, to string) {
	t.Helper()
	if a := mail(t, n, to); a.Code != 250 {
		t.Fatalf("send: %+v", a)
	}
}

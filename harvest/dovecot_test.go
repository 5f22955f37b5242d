package harvest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
	"doppelboden/test/peer"
)

// A groupware is a Dovecot with two people in it.
type groupware struct {
	t testing.TB
	*peer.DovecotServer
	backend *mailbox.IMAP
}

// withDovecot gives a world's mailboxes a groupware.
func withDovecot(t testing.TB, w *world) *groupware {
	t.Helper()
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	d := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{"anna@stadt.example", "bert@stadt.example", "postmaster@stadt.example"}, Quiet: true})
	b, err := mailbox.NewIMAP(mailbox.IMAPOptions{Addr: d.IMAP(), User: peer.DovecotMaster, Separator: "*", Inbox: "INBOX", AtOnce: 2,
		Password: func() (string, error) { return peer.DovecotPassword, nil }, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	w.route.Backend = b
	return &groupware{t: t, DovecotServer: d, backend: b}
}

// as logs in as one of the people.
func (g *groupware) as(user string, do func(c *imapclient.Client)) {
	g.t.Helper()
	c, err := imapclient.DialInsecure(g.IMAP(), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(user+"@stadt.example", peer.DovecotPassword).Wait(); err != nil {
		g.t.Fatal(err)
	}
	do(c)
	if err := c.Logout().Wait(); err != nil {
		g.t.Fatal(err)
	}
}

// put puts a mail into a folder.
func (g *groupware) put(user, folder, text string, at time.Time, flags ...imap.Flag) {
	g.t.Helper()
	g.as(user, func(c *imapclient.Client) { g.append(c, folder, text, at, flags...) })
}

func (g *groupware) append(c *imapclient.Client, folder, text string, at time.Time, flags ...imap.Flag) {
	g.t.Helper()
	cmd := c.Append(folder, int64(len(text)), &imap.AppendOptions{Flags: flags, Time: at})
	if _, err := cmd.Write([]byte(text)); err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		g.t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil {
		g.t.Fatal(err)
	}
}

// letter makes a mail from one to another.
func letter(from, to, subject string, at time.Time) string {
	return fmt.Sprintf("From: %s@stadt.example\r\nTo: %s@stadt.example\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@stadt.example>\r\n\r\nText: %s\r\n",
		from, to, subject, at.Format(time.RFC1123Z), strings.ReplaceAll(subject, " ", "."), subject)
}

func TestMailBetweenTwoColleaguesIsThereAfterASyncAndItsBodyOnlyOnce(t *testing.T) {
	w := open(t)
	g := withDovecot(t, w)
	anna, bert := w.boxes[0], w.boxes[1]
	at := w.clock().Add(-3 * time.Hour)
	mail := letter("anna", "bert", "Intern", at)
	g.as("anna", func(c *imapclient.Client) {
		if err := c.Create("Sent", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		g.append(c, "Sent", mail, at, imap.FlagSeen)
	})
	g.put("bert", "INBOX", "Return-Path: <anna@stadt.example>\r\nReceived: by groupware; now\r\n"+mail, at)
	g.put("bert", "INBOX", letter("eva", "bert", "Zu alt", at), w.clock().AddDate(0, 0, -40))
	w.fill(anna)
	w.fill(bert)
	same(t, "anna's mailbox", w.shows(anna), line{"Sent", "Intern", doppelboden.Seen})
	same(t, "bert's mailbox", w.shows(bert), line{doppelboden.Inbox, "Intern", 0})
	ids := map[doppelboden.ID]bool{}
	for _, box := range w.boxes[:2] {
		w.must(w.db.Copies(ctx, box.Tenant, box.ID, func(c doppelboden.Copy) error {
			ids[c.Message] = true
			if !c.Date.Equal(at) {
				t.Errorf("the copy in %s has the date %v, want %v", c.Folder, c.Date, at)
			}
			return nil
		}))
	}
	if len(ids) != 1 {
		t.Errorf("the mail is %d messages, want one that serves both", len(ids))
	}
	folders, err := w.db.Folders(ctx, anna.Tenant, anna.ID)
	w.must(err)
	for _, f := range folders {
		if f.Name == "Sent" && f.Use != store.UseSent {
			t.Errorf("the folder Sent is for %q, want sent mail", f.Use)
		}
	}
	c, err := w.room.Coverage(ctx, anna.Tenant, anna.ID)
	w.must(err)
	if c.Internal.Source != SourceSync || c.Internal.Until.IsZero() || c.Internal.Why != WhyRounds || c.Internal.Since.IsZero() {
		t.Errorf("internal mail is covered as %+v, want by sync up to a moment ago", c.Internal)
	}
}

func TestFlagsMovesAndDeletionsFollowTheGroupware(t *testing.T) {
	w := open(t)
	g := withDovecot(t, w)
	anna := w.boxes[0]
	at := w.clock().Add(-time.Hour)
	for _, s := range []string{"A", "B", "C", "D"} {
		g.put("anna", "INBOX", letter("bert", "anna", s, at), at)
	}
	w.fill(anna)
	g.as("anna", func(c *imapclient.Client) {
		if err := c.Create("Projekt", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, imap.FlagFlagged}, Silent: true}
		if err := c.Store(imap.SeqSetNum(1), flags, nil).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Move(imap.SeqSetNum(2), "Projekt").Wait(); err != nil {
			t.Fatal(err)
		}
		gone := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}
		if err := c.Store(imap.SeqSetNum(2), gone, nil).Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Expunge().Close(); err != nil {
			t.Fatal(err)
		}
	})
	w.fill(anna)
	want := []line{{doppelboden.Inbox, "A", doppelboden.Seen | doppelboden.Flagged}, {doppelboden.Inbox, "C", 0}, {doppelboden.Inbox, "D", 0}, {"Projekt", "B", 0}}
	same(t, "after a flag, a move, and a deletion that is not a day ago", w.shows(anna), want...)
	w.pass(25 * time.Hour)
	w.fill(anna)
	want[1].Flags = doppelboden.Hidden
	same(t, "a day later", w.shows(anna), want...)
	// What comes back is shown again.
	g.put("anna", "INBOX", letter("bert", "anna", "C", at), at)
	w.fill(anna)
	want[1].Flags = 0
	same(t, "after it came back", w.shows(anna), want...)
}

func TestWhatPeopleDidHereWinsUntilItWentBack(t *testing.T) {
	w := open(t)
	g := withDovecot(t, w)
	anna := w.boxes[0]
	at := w.clock().Add(-time.Hour)
	g.put("anna", "INBOX", letter("bert", "anna", "A", at), at)
	w.fill(anna)
	inbox := store.Place{Tenant: anna.Tenant, Mailbox: anna.ID, Folder: 1}
	_, err := w.db.Look(ctx, inbox)
	w.must(err)
	_, err = w.db.Change(ctx, []store.Change{{Place: inbox, Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Answered, Deed: true, At: w.clock()}})
	w.must(err)
	g.as("anna", func(c *imapclient.Client) {
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged, imap.FlagDeleted}, Silent: true}
		if err := c.Store(imap.SeqSetNum(1), flags, nil).Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Expunge().Close(); err != nil {
			t.Fatal(err)
		}
	})
	w.fill(anna)
	w.pass(48 * time.Hour)
	w.fill(anna)
	same(t, "a mail that somebody answered here and deleted there", w.shows(anna), line{doppelboden.Inbox, "A", doppelboden.Answered})
}

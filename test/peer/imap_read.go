package peer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// A Lying is a mail as an IMAP server shows it.
type Lying struct {
	UID   uint32
	Flags []string // sorted, without \Recent
	Date  time.Time
	Text  string
}

// ReadIMAP reads all folders of a mailbox of a Dovecot of ours, with a client that has nothing
// of what is tested.
func ReadIMAP(t testing.TB, addr, user string) map[string][]Lying {
	t.Helper()
	c, err := imapclient.DialInsecure(addr, nil)
	if err != nil {
		t.Fatalf("connect to IMAP: %v", err)
	}
	defer c.Close()
	if err := c.Login(user, DovecotPassword).Wait(); err != nil {
		t.Fatalf("log in: %v", err)
	}
	return ReadAll(t, c)
}

// ReadAll reads all folders of the mailbox that a client has opened.
func ReadAll(t testing.TB, c *imapclient.Client) map[string][]Lying {
	t.Helper()
	folders, err := c.List("", "*", nil).Collect()
	if err != nil {
		t.Fatalf("list folders: %v", err)
	}
	all := map[string][]Lying{}
	for _, f := range folders {
		if slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) {
			continue
		}
		all[strings.ReplaceAll(f.Mailbox, string(f.Delim), "/")] = readFolder(t, c, f.Mailbox)
	}
	return all
}

// readFolder reads one folder, without marking anything.
func readFolder(t testing.TB, c *imapclient.Client, name string) []Lying {
	t.Helper()
	is, err := c.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	if is.NumMessages == 0 {
		return nil
	}
	var set imap.SeqSet
	set.AddRange(1, is.NumMessages)
	body := &imap.FetchItemBodySection{Peek: true}
	mails, err := c.Fetch(set, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	var list []Lying
	for _, m := range mails {
		l := Lying{UID: uint32(m.UID), Date: m.InternalDate, Text: string(m.FindBodySection(body))}
		for _, f := range m.Flags {
			if f != `\Recent` {
				l.Flags = append(l.Flags, string(f))
			}
		}
		slices.Sort(l.Flags)
		list = append(list, l)
	}
	return list
}

package intake

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"doppelboden"
	"doppelboden/store"
)

func TestAMailThatOnlyLiesInAFolderNeedsNoRecipientAndGetsNothingOfOurs(t *testing.T) {
	asked := 0
	in, f := newIntake(t, 0, checkFunc(func(*Incoming) (Finding, error) { asked++; return Finding{}, nil }))
	copies := []doppelboden.Copy{{Mailbox: 12, Folder: "Archiv", Flags: doppelboden.Seen, New: true}}
	tx, err := in.Begin(Envelope{Door: "mailbox", Tenant: 1, Copies: copies})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Subject: a\n", "\r\nline\r", "\nbare\rNUL\x00", "\r\r\nend"} {
		io.WriteString(tx, part)
	}
	kept, err := tx.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := f.accepted[0]
	if got, want := string(f.bodies[m.Body.Sum]), "Subject: a\r\n\r\nline\r\nbare\r\nNUL\r\n\r\nend\r\n"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if m.ID != kept.ID || m.Tenant != 1 || len(m.Deliveries) != 0 || m.Recipients != 0 || len(m.Prefix) != 0 || asked != 0 {
		t.Errorf("message %+v, checked %d times; want no delivery, no prefix, no check", m, asked)
	}
	if c := m.Copies; len(c) != 1 || c[0].Message != m.ID || !c[0].Date.Equal(m.Received) || !c[0].New || c[0].Folder != "Archiv" {
		t.Errorf("copies %+v", c)
	}
	if copies[0].Message != (doppelboden.ID{}) {
		t.Error("the door's own list was changed")
	}
	if none, _ := in.Begin(Envelope{Door: "mailbox", Tenant: 1}); none != nil {
		if _, err := none.Commit(t.Context()); doppelboden.CodeOf(err) != doppelboden.BadMessage {
			t.Errorf("neither recipients nor copies: %v, want bad_message", err)
		}
	}
	other, _ := in.Begin(Envelope{Door: "webmail", Tenant: 1, Copies: copies})
	if err := other.Rcpt(t.Context(), Recipient{Address: address(t, "carl@kreis.example")}); doppelboden.CodeOf(err) != doppelboden.OtherTenant {
		t.Errorf("a recipient of another tenant than the copies': %v, want other_tenant", err)
	}
	other.Abort()
}

func TestSeveralMessagesAreKeptInOneCommitOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, f := newIntake(t, 0)
		post := func() ([]Kept, error) {
			first := begin(t, in, "anna@stadt.example")
			second := begin(t, in, "carl@kreis.example")
			id := in.NewID()
			first.Name(id)
			io.WriteString(first, "Subject: x\r\n\r\n")
			io.WriteString(second, "Subject: x\r\n\r\n")
			kept, err := in.CommitAll(t.Context(), []*Transaction{first, second})
			if err == nil && kept[0].ID != id {
				t.Errorf("the first is %s, want the name that it was given, %s", kept[0].ID, id)
			}
			return kept, err
		}
		f.acceptErr = func(n int) error {
			if n%2 == 0 {
				return errors.New("the disk hangs")
			}
			return nil
		}
		if _, err := post(); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
			t.Errorf("one of two can't be kept: %v, want temporary", err)
		}
		f.acceptErr, f.log = nil, nil
		kept, err := post()
		if err != nil || len(kept) != 2 || kept[0].ID == kept[1].ID {
			t.Fatalf("kept %+v, %v; want two", kept, err)
		}
		if got := strings.Join(f.log, " "); got != "intent intent" {
			t.Errorf("the door's log %q, want both intents before the answer", got)
		}
		if used := in.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes of the budget are still taken", used)
		}
	})
}

// sentBy is who shows what among sent mail in these tests.
func sentBy(a doppelboden.Address) (doppelboden.MailboxID, bool) {
	box := map[string]doppelboden.MailboxID{"anna@stadt.example": 10, "bert@stadt.example": 11}[a.String()]
	return box, box != 0
}

// groupware begins a mail of a groupware, which sends in anybody's name.
func groupware(t *testing.T, in *Intake, sender string, to string) *Transaction {
	t.Helper()
	e := Envelope{Door: "submission", Peer: "192.0.2.9", Proto: "ESMTP", Own: &Own{Tenant: 1, Name: "groupware", SentBy: sentBy}}
	if sender != "" {
		e.Sender = address(t, sender)
	}
	tx, err := in.Begin(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, to)}); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestWhatTheGroupwareSendsLiesAmongItsAuthorsSentMail(t *testing.T) {
	in, f := newIntake(t, 0)
	in.opts.Internet = internet
	for name, c := range map[string]struct {
		sender, header string
		want           doppelboden.MailboxID // 0: nobody's
	}{
		"her own":                 {"anna@stadt.example", "From: Anna <anna@stadt.example>\r\n", 10},
		"for somebody else":       {"bert@stadt.example", "From: anna@stadt.example\r\n", 10},
		"of a function":           {"bert@stadt.example", "From: Amt <amt@stadt.example>\r\n", 11},
		"without From":            {"bert@stadt.example", "Subject: x\r\n", 11},
		"with an odd From":        {"bert@stadt.example", "From: @@@\r\n", 11},
		"a forwarded stranger's":  {"eva@strange.example", "From: eva@strange.example\r\n", 0},
		"a vacation reply":        {"anna@stadt.example", "From: anna@stadt.example\r\nAuto-Submitted: auto-replied\r\n", 0},
		"said to be no machine's": {"anna@stadt.example", "From: anna@stadt.example\r\nAuto-Submitted: no\r\n", 10},
		"a DSN":                   {"", "From: anna@stadt.example\r\n", 0},
	} {
		tx := groupware(t, in, c.sender, "eva@strange.example")
		io.WriteString(tx, c.header+"\r\nhello\r\n")
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m := f.accepted[len(f.accepted)-1]
		var got doppelboden.MailboxID
		if len(m.Copies) > 0 {
			got = m.Copies[0].Mailbox
			if one := m.Copies[0]; one.Folder != store.FolderFor(store.UseSent) || one.New || one.Flags != doppelboden.Seen || one.Message != m.ID {
				t.Errorf("%s: copy %+v, want a seen one, which the groupware has", name, one)
			}
		}
		if got != c.want || len(m.Copies) > 1 {
			t.Errorf("%s: lies among the sent mail of %d, want %d", name, got, c.want)
		}
	}
}

func TestWhatTheGroupwareSendsToAnotherTenantLiesAmongSentMailAsAMessageOfItsOwn(t *testing.T) {
	for _, size := range []int{10, inMemory + 10} {
		in, f := newIntake(t, 0)
		tx := groupware(t, in, "anna@stadt.example", "carl@kreis.example")
		text := "From: anna@stadt.example\r\n\r\n" + strings.Repeat("x", size) + "\r\n"
		io.WriteString(tx, text)
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(f.accepted) != 2 {
			t.Fatalf("%d messages, want the other tenant's and the sender's copy", len(f.accepted))
		}
		theirs, mine := f.accepted[0], f.accepted[1]
		if theirs.Tenant != 2 || len(theirs.Deliveries) != 1 || slices.ContainsFunc(theirs.Copies, func(c doppelboden.Copy) bool { return c.Mailbox == 10 }) {
			t.Errorf("the other tenant's: %+v", theirs)
		}
		if mine.Tenant != 1 || len(mine.Deliveries) != 0 || len(mine.Copies) != 1 || mine.Copies[0].Mailbox != 10 || mine.Copies[0].Message != mine.ID || string(f.bodies[mine.Body.Sum]) != text {
			t.Errorf("the sender's copy: %+v with %d bytes, want one in mailbox 10 with %d", mine, len(f.bodies[mine.Body.Sum]), len(text))
		}
		if got := strings.Join(f.log, " "); got != "intent intent sent" {
			t.Errorf("the door's log %q, want the copy's word complete, for nobody waits for it", got)
		}
	}
}

func TestNobodyLearnsFromWhereAPersonWritesAndTooManyRecipientsAreRefused(t *testing.T) {
	in, f := newIntake(t, 0)
	asked := 0
	own := &Own{Tenant: 1, Name: "person:1", Person: true, MaySend: func(a doppelboden.Address) bool { return a.Local == "anna" },
		Allow: func(n int) error {
			if asked = n; n > 1 {
				return &doppelboden.Error{Code: doppelboden.Busy, Public: "later"}
			}
			return nil
		}}
	post := func(to ...string) error {
		tx, err := in.Begin(Envelope{Door: "submission", Peer: "198.51.100.7", PeerName: "dsl.home.example", Helo: "laptop", Proto: "ESMTPSA", TLS: "TLS1.3", Sender: address(t, "anna@stadt.example"), Own: own})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range to {
			if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, one)}); err != nil {
				t.Fatal(err)
			}
		}
		io.WriteString(tx, "From: anna@stadt.example\r\n\r\n")
		_, err = tx.Commit(t.Context())
		return err
	}
	if err := post("bert@stadt.example"); err != nil || asked != 1 {
		t.Fatalf("%v, asked for %d", err, asked)
	}
	prefix := string(f.accepted[0].Prefix)
	if !strings.HasPrefix(prefix, "Received: by mx.stadt.example (Doppelboden submission) with ESMTPSA id ") ||
		strings.Contains(prefix, "198.51") || strings.Contains(prefix, "home") || strings.Contains(prefix, "laptop") {
		t.Errorf("the trace line %q, want nothing of the client", prefix)
	}
	if f.accepted[0].Peer != "198.51.100.7" {
		t.Error("who answers for the mail can't see where it came from")
	}
	if err := post("bert@stadt.example", "here@stadt.example"); doppelboden.CodeOf(err) != doppelboden.Busy || len(f.accepted) != 1 {
		t.Errorf("too many: %v, %d kept; want busy", err, len(f.accepted))
	}
}

package imapd

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func TestWhatIsOfferedIsWhatWorks(t *testing.T) {
	c := start(t, nil).rawIn(t, "anna@stadt.example")
	got := c.do("CAPABILITY", "OK")
	for _, want := range []string{"IMAP4rev2", "IMAP4rev1", "ID", "IDLE", "UIDPLUS", "MOVE", "SPECIAL-USE", "ESEARCH", "SEARCHRES", "NAMESPACE",
		"APPENDLIMIT=52428800", "LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE", "LITERAL-", "UNSELECT", "CHILDREN", "ENABLE", "UTF8=ACCEPT", "SASL-IR"} {
		if !strings.Contains(got+" ", " "+want+" ") && !strings.Contains(got, " "+want+"\n") {
			t.Errorf("CAPABILITY lacks %s: %s", want, got)
		}
	}
	for _, never := range []string{"STARTTLS", "LITERAL+", "CREATE-SPECIAL-USE"} {
		if strings.Contains(got, never) {
			t.Errorf("CAPABILITY offers %s: %s", never, got)
		}
	}
}

func TestAClientWorksInAMailbox(t *testing.T) {
	r := start(t, nil)
	r.put(t, 1, 1, 0, mail("Eins", "erste"))
	r.put(t, 1, 1, doppelboden.Seen, mail("Zwei", "zweite mit Umlaut: Bürgerbüro"))
	c := r.rawIn(t, "anna@stadt.example")
	got := c.do("SELECT INBOX", "OK [READ-WRITE]")
	for _, want := range []string{"* 2 EXISTS", "[UIDVALIDITY 1001]", "[UIDNEXT 3]", "[UNSEEN 1]", "PERMANENTFLAGS (\\Answered"} {
		if !strings.Contains(got, want) {
			t.Errorf("SELECT lacks %q: %s", want, got)
		}
	}
	for command, want := range map[string]string{
		"FETCH 1:* (UID FLAGS RFC822.SIZE)":            "* 2 FETCH (UID 2 FLAGS (\\Seen) RFC822.SIZE",
		"UID SEARCH SUBJECT zwei":                      "* SEARCH 2\n",
		"SEARCH CHARSET UTF-8 TEXT \"bürgerbüro\"":     "* SEARCH 2\n",
		"SEARCH FROM jörg":                             "* SEARCH 1 2\n",
		"SEARCH UNSEEN":                                "* SEARCH 1\n",
		"UID SEARCH RETURN (COUNT MIN MAX) ALL":        "MIN 1 MAX 2 COUNT 2",
		"SEARCH NOT SUBJECT Eins":                      "* SEARCH 2\n",
		"SEARCH OR SUBJECT Eins SUBJECT Zwei":          "* SEARCH 1 2\n",
		"SEARCH SENTON 22-Nov-2026 LARGER 10":          "* SEARCH 1 2\n",
		"SEARCH BODY erste":                            "* SEARCH 1\n",
		"SEARCH KEYWORD Unbekannt":                     "* SEARCH\n",
		"FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)])": "Subject: Eins",
		"FETCH 2 BODY.PEEK[TEXT]<4.3>":                 "BODY[TEXT]<4> {3}\nte )",
		"FETCH 2 ENVELOPE":                             "((\"=?utf-8?q?J=C3=B6rg?=\" NIL \"joerg\" \"fern.example\"))",
		"FETCH 2 BODYSTRUCTURE":                        "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"",
		"STATUS INBOX (MESSAGES UNSEEN SIZE UIDNEXT)":  "(MESSAGES 2 UIDNEXT 3 UNSEEN 1 SIZE ",
		"NAMESPACE":   `* NAMESPACE (("" "/")) NIL (("Funktionspostf&AOQ-cher/" "/"))`,
		`LIST "" "*"`: `* LIST (\HasNoChildren \Sent) "/" "Gesendet"`,
		`LIST (SPECIAL-USE) "" "*" RETURN (STATUS (MESSAGES))`: `* STATUS "Gesendet" (MESSAGES 0)`,
		`LSUB "" "%"`:        `* LSUB (\Noselect \HasChildren) "/" "Funktionspostf&AOQ-cher"`,
		"UID FETCH 99 FLAGS": "OK",
	} {
		if got := c.do(command, "OK"); !strings.Contains(got, want) {
			t.Errorf("%s: want %q in:\n%s", command, want, got)
		}
	}
}

func TestUTF8IsSpokenWhenAClientAsksForIt(t *testing.T) {
	c := start(t, nil).rawIn(t, "anna@stadt.example")
	if got := c.do("ENABLE UTF8=ACCEPT", "OK"); !strings.Contains(got, "* ENABLED UTF8=ACCEPT") {
		t.Errorf("ENABLE: %s", got)
	}
	for command, want := range map[string]string{"NAMESPACE": `ächer/" "/"))`, `LIST "" Entw*`: `"Entwürfe"`} {
		if got := c.do(command, "OK"); !strings.Contains(got, want) {
			t.Errorf("%s: want %q in %s", command, want, got)
		}
	}
}

func TestReadingMarksAsReadUnlessItPeeks(t *testing.T) {
	r := start(t, nil)
	r.put(t, 1, 1, 0, mail("Eins", "x"))
	c := r.rawIn(t, "anna@stadt.example")
	c.do("EXAMINE INBOX", "OK [READ-ONLY]")
	if got := c.do("FETCH 1 BODY[]", "OK"); strings.Contains(got, "Seen") {
		t.Errorf("a folder that was opened for reading: %s", got)
	}
	for _, command := range []string{"STORE 1 +FLAGS (\\Seen)", "EXPUNGE", "MOVE 1 Papierkorb"} {
		c.do(command, "NO")
	}
	c.do("SELECT INBOX", "OK")
	if got := c.do("FETCH 1 BODY.PEEK[]", "OK"); strings.Contains(got, "Seen") {
		t.Errorf("peeking: %s", got)
	}
	if got := c.do("FETCH 1 BODY[]", "OK"); !strings.Contains(got, "FLAGS (\\Seen)") {
		t.Errorf("reading says nothing of \\Seen: %s", got)
	}
}

func TestMailsAreMarkedCopiedMovedAndRemoved(t *testing.T) {
	r := start(t, nil)
	for _, s := range []string{"A", "B", "C", "D"} {
		r.put(t, 1, 1, 0, mail(s, s))
	}
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	steps := []struct{ command, want string }{
		{"STORE 1 +FLAGS (\\Flagged $Forwarded NonJunk Phantasie)", "* 1 FETCH (FLAGS (\\Flagged $Forwarded $NotJunk))"},
		{"UID STORE 2 +FLAGS.SILENT (\\Deleted)", ""},
		{"UID COPY 1:2 Papierkorb", "OK [COPYUID 1004 1:2 1:2]"},
		{"UID MOVE 4 Papierkorb", "* OK [COPYUID 1004 4 3] COPY completed\n* 4 EXPUNGE"},
		{"EXPUNGE", "* 2 EXPUNGE"},
		{"UID FETCH 1:* FLAGS", "* 2 FETCH (UID 3 FLAGS ())"},
		{"UID EXPUNGE 1:*", "OK"},
		{"STATUS Papierkorb (MESSAGES UIDNEXT)", "(MESSAGES 3 UIDNEXT 4)"},
		{"STORE 1 FLAGS (\\Seen)", "FLAGS (\\Seen)"},
		{"STORE 1 -FLAGS (\\Seen)", "FLAGS ()"},
		{"CREATE Projekte/2026", "OK"},
		{`LIST "" "Proj*"`, "* LIST (\\Noselect \\HasChildren) \"/\" \"Projekte\"\n* LIST (\\HasNoChildren) \"/\" \"Projekte/2026\""},
		{"RENAME Projekte/2026 Ablage", "OK"},
		{"MOVE 1 Ablage", "* 1 EXPUNGE"},
		{"SELECT Ablage", "* 1 EXISTS"},
		{"CLOSE", "OK"},
		{"DELETE Ablage", "OK"},
		{"UNSUBSCRIBE Papierkorb", "OK"},
	}
	for _, s := range steps {
		if got := c.do(s.command, "OK"); !strings.Contains(got, s.want) {
			t.Fatalf("%s: want %q in:\n%s", s.command, s.want, got)
		}
	}
	for command, want := range map[string]string{
		"SELECT Ablage": "NO [NONEXISTENT]", "DELETE Gesendet": "NO [CANNOT]", "DELETE INBOX": "NO [CANNOT]", "CREATE Gesendet": "NO [ALREADYEXISTS]",
		"CREATE &-x/Funktionspostf&AOQ-cher": "OK", "CREATE Funktionspostf&AOQ-cher/fremd": "NO [CANNOT]", "CREATE a//b": "NO [CANNOT]",
	} {
		c.do(command, want)
	}
	c.do("SELECT INBOX", "OK")
	c.do("COPY 1 Fehlt", "NO [TRYCREATE]")
	if got := c.do(`LIST (SUBSCRIBED) "" "*"`, "OK"); strings.Contains(got, "\"Papierkorb") || !strings.Contains(got, "Gesendet") {
		t.Errorf("LIST (SUBSCRIBED): %s", got)
	}
}

func TestAFunctionMailboxIsASharedFolderAndNobodyElsesIs(t *testing.T) {
	r := start(t, nil)
	r.put(t, 9, 1, 0, mail("An das Amt", "x"))
	r.put(t, 1, 1, 0, mail("An Anna", "x"))
	anna, bert := r.rawIn(t, "anna@stadt.example"), r.rawIn(t, "bert@stadt.example")
	const office = `"Funktionspostf&AOQ-cher/buergerbuero"`
	bert.do("SELECT "+office, "OK [READ-WRITE]")
	anna.do("SELECT INBOX", "OK")
	if got := anna.do("UID MOVE 1 "+office, "OK"); !strings.Contains(got, "COPYUID 1001 1 2") {
		t.Errorf("moving into the shared mailbox: %s", got)
	}
	if got := bert.do("NOOP", "OK"); !strings.Contains(got, "* 2 EXISTS") {
		t.Errorf("Bert hears nothing of it: %s", got)
	}
	if len(r.boxes[1].find(1).mails) != 0 || len(r.boxes[9].find(1).mails) != 2 {
		t.Errorf("after the move: %d mails at Anna's, %d at the office's, want 0 and 2", len(r.boxes[1].find(1).mails), len(r.boxes[9].find(1).mails))
	}
	if got := anna.do(`LIST "" "*"`, "OK"); !strings.Contains(got, `"Funktionspostf&AOQ-cher/buergerbuero/Gesendet"`) || strings.Contains(got, "bert") {
		t.Errorf("Anna sees: %s", got)
	}
	anna.do(`SELECT "Funktionspostf&AOQ-cher/bert"`, "NO [NONEXISTENT]")
	r.people.mu.Lock()
	defer r.people.mu.Unlock()
	if r.people.opened[9] != 1 || r.people.opened[1] != 1 || len(r.people.opened) != 2 {
		t.Errorf("told as opened: %v, want the office's mailbox and Anna's once", r.people.opened)
	}
}

func TestWhoLosesARightLosesTheFolderAtOnce(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	var r *rig
	r = start(t, func(o *Options) {
		o.Clock = func() time.Time {
			now = now.Add(2 * time.Minute)
			return now
		}
	})
	c := r.rawIn(t, "anna@stadt.example")
	c.do(`SELECT "Funktionspostf&AOQ-cher/buergerbuero"`, "OK")
	r.people.mu.Lock()
	r.people.grants[1] = r.people.grants[1][:1]
	r.people.mu.Unlock()
	c.do("FETCH 1:* FLAGS", "NO [AUTHORIZATIONFAILED]")
	if got := c.ended(); !strings.Contains(got, "* BYE") {
		t.Errorf("the connection ends with %q", got)
	}
}

func TestAProgramGoesWithThePasswordThatLetItIn(t *testing.T) {
	for _, command := range []string{"FETCH 1:* FLAGS", "SELECT INBOX"} {
		now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
		r := start(t, func(o *Options) {
			o.Clock = func() time.Time {
				now = now.Add(2 * time.Minute)
				return now
			}
		})
		c := r.rawIn(t, "anna@stadt.example")
		c.do("SELECT INBOX", "OK")
		r.people.mu.Lock()
		r.people.ended = map[int64]bool{101: true} // changed, revoked, or the directory's in an attack
		r.people.mu.Unlock()
		c.do(command, "NO [AUTHORIZATIONFAILED]")
		if got := c.ended(); !strings.Contains(got, "* BYE") {
			t.Errorf("after %s the connection ends with %q", command, got)
		}
	}
}

func TestLogInsAreRefusedInWordsThatHelp(t *testing.T) {
	r := start(t, nil)
	c := r.raw(t)
	c.do("LOGIN anna@stadt.example falsch", "NO [AUTHENTICATIONFAILED] Adresse oder Passwort ist falsch.")
	c.do("LOGIN later x", "NO [UNAVAILABLE] Gerade geht das nicht")
	r.people.open = false
	c.do("LOGIN anna@stadt.example geheim", "NO [UNAVAILABLE] Die Notfallpostfaecher sind gerade geschlossen")
	if got := c.ended(); !strings.Contains(got, "BYE Too many") {
		t.Errorf("after three log-ins that failed: %q", got)
	}
	r.people.open, r.people.needs = true, account.NeedsEnrol
	r.raw(t).do("LOGIN anna@stadt.example geheim", "NO [CONTACTADMIN]")
}

func TestSASLPlainLogsInAndCapabilitiesFollow(t *testing.T) {
	r := start(t, nil)
	c := r.raw(t)
	c.send("a AUTHENTICATE PLAIN\r\n")
	c.want("+")
	c.send("AGFubmFAc3RhZHQuZXhhbXBsZQBnZWhlaW0=\r\n")
	if got := c.want("a OK"); !strings.Contains(got, " ID ") || !strings.Contains(got, "UIDPLUS") {
		t.Errorf("AUTHENTICATE: %s", got)
	}
	c.do("SELECT INBOX", "OK")
}

func TestIDIsAnsweredBeforeAndAfterTheLogIn(t *testing.T) {
	r := start(t, nil)
	c := r.raw(t)
	if got := c.do(`ID ("name" "Outlook-iOS" "version" "2")`, "OK"); !strings.Contains(got, `* ID ("name" "Doppelboden")`) {
		t.Errorf("ID: %s", got)
	}
	c.send("x ID (\"name\" {5}\r\n")
	c.want("+")
	c.send("Phone)\r\n")
	c.want("* ID")
	c.want("x OK")
	c.send("y ID (\"name\" {5+}\r\nPhone)\r\nz LOGIN anna@stadt.example geheim\r\nq ID NIL\r\nr SELECT INBOX\r\n")
	c.want("* ID")
	c.want("y OK")
	c.want("z OK")
	c.want("* ID")
	c.want("q OK")
	c.until("r", "OK", "SELECT")
	if got := r.people.agents; len(got) != 1 || !strings.Contains(got[0], "Outlook-iOS") {
		t.Errorf("account heard of %q, want what the client said of itself", got)
	}
}

func TestIdleTellsOfNewMailFlagsAndRemovals(t *testing.T) {
	r := start(t, nil)
	for _, s := range []string{"A", "B", "C"} {
		r.put(t, 1, 1, 0, mail(s, s))
	}
	events := make(chan string, 20)
	exists := make(chan uint32, 20)
	c := r.client(t, "anna@stadt.example", &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(n uint32) { events <- "expunge"; _ = n },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				exists <- *d.NumMessages
			}
		},
		Fetch: func(m *imapclient.FetchMessageData) {
			data, err := m.Collect()
			if err == nil && slices.Contains(data.Flags, imap.FlagFlagged) {
				events <- "flags"
			}
		},
	}})
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	r.put(t, 1, 1, 0, mail("D", "d"))
	wait(t, exists, func(n uint32) bool { return n == 4 })
	box := r.boxes[1]
	if _, err := box.Change(context.Background(), []store.Change{{Place: store.Place{Folder: 1}, Action: store.ActFlag, UIDs: []uint32{2}, Set: doppelboden.Flagged}}); err != nil {
		t.Fatal(err)
	}
	wait(t, events, func(e string) bool { return e == "flags" })
	if _, err := box.Change(context.Background(), []store.Change{{Place: store.Place{Folder: 1}, Action: store.ActMove, To: 4, UIDs: []uint32{1, 3}}}); err != nil {
		t.Fatal(err)
	}
	wait(t, events, func(e string) bool { return e == "expunge" })
	wait(t, events, func(e string) bool { return e == "expunge" })
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Fatal(err)
	}
	uids, err := c.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if err != nil || !slices.Equal(uids.AllUIDs(), []imap.UID{2, 4}) {
		t.Errorf("after idling: %v, %v; want UIDs 2 and 4", uids, err)
	}
}

// wait waits for a value.
func wait[T any](t *testing.T, ch <-chan T, want func(T) bool) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case v := <-ch:
			if want(v) {
				return
			}
		case <-late:
			t.Fatal("what was waited for did not come")
		}
	}
}

func TestSequenceNumbersStayWhileRemovalsMayNotBeTold(t *testing.T) {
	r := start(t, nil)
	for _, s := range []string{"A", "B", "C"} {
		r.put(t, 1, 1, 0, mail(s, s))
	}
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	if _, err := r.boxes[1].Change(context.Background(), []store.Change{{Place: store.Place{Folder: 1}, Action: store.ActRemove, UIDs: []uint32{1}}}); err != nil {
		t.Fatal(err)
	}
	r.put(t, 1, 1, 0, mail("D", "d"))
	got := c.do("FETCH 3 (UID BODY.PEEK[HEADER.FIELDS (Subject)])", "OK")
	if !strings.Contains(got, "* 3 FETCH (UID 3") || strings.Contains(got, "EXPUNGE") || !strings.Contains(got, "* 4 EXISTS") {
		t.Errorf("after another one removed the first mail: %s", got)
	}
	c.do("FETCH 1 BODY.PEEK[]", "NO [EXPUNGEISSUED]")
	if got := c.do("NOOP", "OK"); !strings.Contains(got, "* 1 EXPUNGE") {
		t.Errorf("NOOP tells %q", got)
	}
	if got := c.do("FETCH 3 UID", "OK"); !strings.Contains(got, "UID 4") {
		t.Errorf("after the removal was told: %s", got)
	}
}

func TestMailThatNobodyMayReadIsNamedAndKeptBack(t *testing.T) {
	r := start(t, nil)
	for _, s := range []string{"A", "B"} {
		r.put(t, 1, 1, 0, mail(s, s))
	}
	r.boxes[1].find(1).mails[0].Scan = doppelboden.Malware
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	got := c.do("FETCH 1:* (UID BODY[])", "NO [UNAVAILABLE]")
	if !strings.Contains(got, "* 2 FETCH (UID 2") || strings.Contains(got, "* 1 FETCH") {
		t.Errorf("FETCH of a mail in quarantine beside another: %s", got)
	}
	c.do("FETCH 1:* (UID FLAGS RFC822.SIZE)", "OK")
	if got := c.do("SEARCH BODY A", "OK"); !strings.Contains(got, "* SEARCH\n") {
		t.Errorf("SEARCH looks into a mail in quarantine: %s", got)
	}
}

func TestAFolderThatIsNumberedAnewEndsTheSession(t *testing.T) {
	r := start(t, nil)
	r.put(t, 1, 1, 0, mail("A", "a"))
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	r.boxes[1].renumber()
	c.send("x NOOP\r\n")
	if got := c.ended(); !strings.Contains(got, "* BYE") || strings.Contains(got, "x OK") {
		t.Errorf("after another UIDVALIDITY: %q", got)
	}
}

func TestADatabaseThatIsAwayEndsNoSession(t *testing.T) {
	r := start(t, nil)
	r.put(t, 1, 1, 0, mail("A", "a"))
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	box := r.boxes[1]
	box.mu.Lock()
	box.fails = &doppelboden.Error{Public: "away"}
	box.mu.Unlock()
	r.put(t, 1, 1, 0, mail("B", "b"))
	c.do("NOOP", "OK")
	c.do("STATUS INBOX (MESSAGES)", "OK")
	c.do("SELECT INBOX", "NO [UNAVAILABLE]")
	box.mu.Lock()
	box.fails = nil
	box.mu.Unlock()
	c.do("SELECT INBOX", "OK")
}

func TestADeletedFolderIsEmptyForWhoHasItOpen(t *testing.T) {
	r := start(t, nil)
	anna, other := r.rawIn(t, "anna@stadt.example"), r.rawIn(t, "anna@stadt.example")
	anna.do("CREATE Weg", "OK")
	r.put(t, 1, 5, 0, mail("A", "a"))
	anna.do("SELECT Weg", "OK")
	other.do("DELETE Weg", "OK")
	if got := anna.do("NOOP", "OK"); !strings.Contains(got, "* 1 EXPUNGE") {
		t.Errorf("NOOP in a deleted folder: %s", got)
	}
}

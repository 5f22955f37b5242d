package harvest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/intake"
)

// sample reads a journal report of testdata, with the line ends of SMTP.
func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\n", "\r\n")
}

// report sends a journal report in pieces of some bytes.
func (w *world) report(text string, piece int) (intake.Kept, error) {
	take, err := w.room.Take(addr("journal@journal.example"), w.tenant.ID, "exchange", intake.Envelope{Peer: "192.0.2.9"})
	if err != nil {
		return intake.Kept{}, err
	}
	defer take.Abort()
	for len(text) > 0 {
		n := min(piece, len(text))
		if _, err := take.Write([]byte(text[:n])); err != nil {
			return intake.Kept{}, err
		}
		text = text[n:]
	}
	kept, err := take.Commit(ctx)
	if err == nil {
		take.Acked(true)
		w.must(w.landing.CatchUp(ctx))
	}
	return kept, err
}

func TestAReportIsACopyForEverybodyOfOursAndOneAmongWhatItsSenderSent(t *testing.T) {
	w := open(t)
	kept, err := w.report(sample(t, "bcc"), 1000)
	w.must(err)
	same(t, "anna, who sent it", w.shows(w.boxes[0]), line{"Gesendet", "Haushalt", doppelboden.Seen})
	same(t, "bert, a blind copy", w.shows(w.boxes[1]), line{doppelboden.Inbox, "Haushalt", 0})
	m, err := w.db.Message(ctx, kept.ID)
	w.must(err)
	if len(m.Deliveries) != 0 || m.Door != DoorJournal {
		t.Errorf("the message has %d deliveries and came by %q, want none, by journal", len(m.Deliveries), m.Door)
	}
	want := strings.SplitN(sample(t, "bcc"), "name=\"original.eml\"\r\n\r\n", 2)[1]
	want, _, _ = strings.Cut(want, "\r\n--outer_2f6b--")
	if got := w.text(kept.ID); got != want {
		t.Errorf("the mail is\n%q\nwant\n%q", got, want)
	}
}

func TestABigMailInAReportIsKeptAsItIs(t *testing.T) {
	w := open(t)
	mail := "From: anna@stadt.example\r\nSubject: Plan\r\nMessage-ID: <plan@stadt.example>\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 76)+"\r\n", 20_000) + strings.Repeat("y", 100_000) + "\r\n"
	kept, err := w.report(wrap("anna@stadt.example", "bert@stadt.example", mail), 32<<10)
	w.must(err)
	if got := w.text(kept.ID); got != mail {
		t.Errorf("the mail has %d bytes and is another one, want %d", len(got), len(mail))
	}
	same(t, "bert's mailbox", w.shows(w.boxes[1]), line{doppelboden.Inbox, "Plan", 0})
	again, err := w.report(wrap("anna@stadt.example", "bert@stadt.example", mail), 32<<10)
	w.must(err)
	if again.ID != kept.ID || again.Receipt != kept.Receipt {
		t.Errorf("the same report again is %v, want the message that there is: %v", again, kept)
	}
}

func TestReportsAreReadHoweverTheirTextIsWritten(t *testing.T) {
	for _, c := range []struct {
		name       string
		sender     string
		behalf     string
		recipients string
	}{
		{"bcc", "anna@stadt.example", "", "eva@example.org bert@stadt.example"},
		{"expanded", "anna@stadt.example", "amt@stadt.example", "bert@stadt.example postmaster@stadt.example eva@example.org"},
		{"base64", "jürgen@stadt.example", "", "bert@stadt.example"},
		{"quoted", "anna@stadt.example", "", "bert=x@stadt.example postmaster@stadt.example"},
		{"exchange2003", "anna@stadt.example", "", "bert@stadt.example eva@example.org"},
		{"bounce-sender", "", "", "anna@stadt.example"},
	} {
		for _, piece := range []int{1, 7, 100000} {
			var mail strings.Builder
			u := unwrapper{mail: &mail}
			text := sample(t, c.name)
			for at := 0; at < len(text); at += piece {
				u.Write([]byte(text[at:min(at+piece, len(text))]))
			}
			if why := u.end(); why != "" {
				t.Errorf("%s: not understood: %s", c.name, why)
				continue
			}
			var to []string
			for _, a := range u.Recipients {
				to = append(to, a.String())
			}
			if u.Sender.String() != c.sender || u.OnBehalfOf.String() != c.behalf || strings.Join(to, " ") != c.recipients {
				t.Errorf("%s: from %q for %q to %q, want %q, %q, %q", c.name, u.Sender, u.OnBehalfOf, to, c.sender, c.behalf, c.recipients)
			}
			if !strings.HasPrefix(mail.String(), "From: ") || strings.Contains(mail.String(), "--outer\r") || u.several {
				t.Errorf("%s: the mail is %q", c.name, mail.String())
			}
		}
	}
}

func TestWhatIsNoReportIsKeptWholeWithThePostmasterAndToldWhy(t *testing.T) {
	for name, c := range map[string]struct{ text, why string }{
		"plain":     {"From: a@example.org\r\nSubject: Kein Bericht\r\n\r\nHallo\r\n", whyNoReport},
		"bounce":    {"Content-Type: multipart/report; boundary=b\r\nSubject: Kein Bericht\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", whyBounce},
		"no fields": {strings.ReplaceAll(sample(t, "bcc"), "Sender:", "Absendende:"), whyNoText},
		"cut":       {strings.Split(sample(t, "bcc"), "Anbei")[0], whyCut},
		"encoded":   {strings.Replace(sample(t, "bcc"), "Content-Type: message/rfc822;", "Content-Transfer-Encoding: base64\r\nContent-Type: message/rfc822;", 1), whyEncoded},
		"rights":    {sample(t, "rights"), whySeveral},
		"long text": {strings.Replace(sample(t, "bcc"), "Sender:", strings.Repeat("X: y\r\n", 400_000)+"Sender:", 1), whyTooLong},
		"long line": {strings.Replace(sample(t, "bcc"), "Sender:", strings.Repeat("x", 20_000)+"\r\nSender:", 1), whyTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			_, err := w.report(c.text, 4096)
			w.must(err)
			whole := 0
			w.must(w.db.Copies(ctx, w.tenant.ID, w.boxes[2].ID, func(c2 doppelboden.Copy) error {
				if c2.Folder == Reports && w.text(c2.Message) == c.text {
					whole++
				}
				return nil
			}))
			alarms := w.room.Alarms()
			if whole != 1 || len(alarms) != 1 || alarms[0].Kind != AlarmJournal || !strings.Contains(alarms[0].Said.String(), c.why) {
				t.Errorf("%d whole reports lie with the postmaster, and the alarms are %+v; want one with %q", whole, alarms, c.why)
			}
			if name == "rights" {
				same(t, "bert's mailbox", w.shows(w.boxes[1]), line{doppelboden.Inbox, "Geschützt", 0})
			}
		})
	}
}

func TestReportsOfOthersAreRefusedAndWithoutAPostmasterNothingIsAcknowledged(t *testing.T) {
	w := open(t)
	for _, who := range []string{"", "scanner"} {
		if _, err := w.room.Take(addr("journal@journal.example"), w.tenant.ID, who, intake.Envelope{}); doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("a report of %q: %v, want policy", who, err)
		}
	}
	if _, err := w.room.Take(addr("journal@journal.example"), w.tenant.ID+1, "exchange", intake.Envelope{}); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("a report of another tenant's sender of the same name: %v, want policy", err)
	}
	w.boxes[2].ID = 0
	if _, err := w.report("Subject: x\r\n\r\nx\r\n", 10); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Errorf("what nobody can keep: %v, want a temporary error", err)
	}
}

func TestWhileTheDatabaseIsAwayReportsAreKeptAndDoublesGoLater(t *testing.T) {
	w := open(t)
	_, err := w.report(sample(t, "bcc"), 1000)
	w.must(err)
	w.late = errors.New("the database is away")
	kept, err := w.report(sample(t, "bcc"), 1000)
	w.must(err)
	if kept.ID.IsZero() {
		t.Error("the report was not kept")
	}
	w.late = nil
	same(t, "anna's mailbox", w.shows(w.boxes[0]), line{"Gesendet", "Haushalt", doppelboden.Seen})
	same(t, "bert's mailbox", w.shows(w.boxes[1]), line{doppelboden.Inbox, "Haushalt", 0})
}

// TestAMailIsOneCopyInAMailboxHoweverManyWaysItCame lets the same mails come by all ways in
// any order: from the groupware through us to the Internet and to colleagues (hairpin), by
// journal reports, by reading both mailboxes, and from strangers with a report that follows.
func TestAMailIsOneCopyInAMailboxHoweverManyWaysItCame(t *testing.T) {
	w := open(t)
	g := newFake()
	w.route.Backend = g
	w.fill(w.boxes[0]) // the folder of sent mail is called as in the groupware then
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		w.must(flag.Set("rapid.checks", "30")) // each has a dozen commits
	}
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		w.t = rt
		name := fmt.Sprintf("Intern %06d", runs)
		inner := letter("anna", "bert", name, w.clock())
		rewritten := strings.Replace(inner, "Text: ", "Text, neu umbrochen: ", 1)
		outer := strings.ReplaceAll(strings.ReplaceAll(inner, "anna@stadt", "eva@example"), "Intern", "Extern")
		ways := rapid.Permutation([]string{"hairpin", "journal", "journal again", "journal rewritten", "mx", "journal mx", "sent there", "got there", "got there rewritten", "sync", "sync again"}).Draw(rt, "order")
		skip := rapid.SampledFrom([]string{"", "hairpin", "journal", "sync"}).Draw(rt, "without")
		away := rapid.SliceOfN(rapid.Bool(), len(ways), len(ways)).Draw(rt, "away")
		rewrites := rapid.Bool().Draw(rt, "rewrites")
		var came doppelboden.ID
		var pending bool
		for i, way := range ways {
			if way == skip {
				continue
			}
			w.pass(20 * time.Second)
			if away[i] {
				w.late = errors.New("away")
			}
			switch way {
			case "hairpin":
				w.arrive("submission", "anna@stadt.example", inner, "bert@stadt.example")
			case "journal", "journal again":
				_, err := w.report(wrap("anna@stadt.example", "bert@stadt.example", inner), 64)
				w.must(err)
			case "journal rewritten":
				_, err := w.report(wrap("anna@stadt.example", "bert@stadt.example", rewritten), 64)
				w.must(err)
			case "mx":
				came = w.arrive("mx", "eva@example.example", outer, "bert@stadt.example")
			case "sent there":
				g.put(w.boxes[0].Address, "Sent", inner, w.clock(), doppelboden.Seen)
			case "got there":
				g.put(w.boxes[1].Address, "INBOX", "Received: by groupware; now\r\n"+inner, w.clock(), 0)
			case "got there rewritten":
				if rewrites {
					g.put(w.boxes[1].Address, "INBOX", rewritten, w.clock(), 0)
				}
			case "sync", "sync again":
				w.late = nil
				w.fill(w.boxes[0])
				w.fill(w.boxes[1])
			case "journal mx":
				pending = true // what the groupware reports has passed us before
			}
			w.late = nil
			if pending && !came.IsZero() {
				pending = false
				trace := fmt.Sprintf("Received: from mail.example.org by mx.stadt.example (Doppelboden) with ESMTP id %s;\r\n\tnow\r\n", came)
				g.put(w.boxes[1].Address, "INBOX", "Received: by exchange; now\r\n"+trace+outer, w.clock(), 0)
				_, err := w.report(wrap("eva@example.example", "bert@stadt.example", "Received: by exchange; now\r\n"+trace+outer), 64)
				w.must(err)
			}
		}
		w.fill(w.boxes[0])
		w.fill(w.boxes[1])
		same(rt, "anna's mailbox", w.showsOf(w.boxes[0], name[7:]), line{"Sent", name, doppelboden.Seen})
		same(rt, "bert's mailbox", w.showsOf(w.boxes[1], name[7:]), line{doppelboden.Inbox, strings.Replace(name, "Intern", "Extern", 1), 0}, line{doppelboden.Inbox, name, 0})
	})
	w.t = t
}

// showsOf returns what a mailbox shows of mails whose subject holds a text.
func (w *world) showsOf(box doppelboden.Mailbox, text string) []line {
	w.t.Helper()
	return slices.DeleteFunc(w.shows(box), func(l line) bool { return !strings.Contains(l.Subject, text) })
}

// wrap makes a journal report.
func wrap(sender, to, mail string) string {
	return "From: exchange@stadt.example\r\nX-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n--outer\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\r\n" +
		"Sender: " + sender + "\r\nSubject: x\r\nMessage-Id: <x>\r\nRecipient: " + to + "\r\n\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n" + mail + "\r\n--outer--\r\n"
}

func FuzzUnwrap(f *testing.F) {
	f.Add([]byte(wrap("a@b.example", "c@d.example", "x: y\r\n\r\nz")), 3)
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		piece = max(1, piece%100)
		var whole, parts strings.Builder
		a, b := unwrapper{mail: &whole}, unwrapper{mail: &parts}
		a.Write(text)
		for at := 0; at < len(text); at += piece {
			b.Write(text[at:min(at+piece, len(text))])
		}
		if why, other := a.end(), b.end(); why != other || why == "" && whole.String() != parts.String() {
			t.Errorf("at once: %q %q; in pieces of %d: %q %q", why, whole.String(), piece, other, parts.String())
		}
	})
}

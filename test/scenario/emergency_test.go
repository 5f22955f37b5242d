package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/send"
	"doppelboden/sink"
	"doppelboden/test/peer"
)

// payroll is what a payroll office has: with umlauts, as its program writes it.
const payroll = "\ufeffaddress;name;department;priority\r\n" +
	"postmaster@stadt.example;Poststelle;Hauptamt;5\r\n" +
	"anna.mueller@stadt.example;Müller, Anna;Bürgerbüro;5\r\n" +
	"bert.boss@stadt.example;Boß, Bert;Krisenstab;9\r\n"

// TestACityThatNeverPreparedAnswersItsFirstMailWithinTheHour begins with an empty machine
// and a list of the payroll office in the middle of an outage. Mail comes for people on the
// list and for one who is not; sheets are printed; a clerk answers; the one who was missing
// gets his mail; and when a groupware is there weeks later, all of it goes there, with what
// was done meanwhile.
func TestACityThatNeverPreparedAnswersItsFirstMailWithinTheHour(t *testing.T) {
	t.Parallel()
	peer.Need(t, "pdftotext", peer.DovecotProgram, peer.IMAPProgram)
	internet, err := sink.Start(sink.Options{Keep: sink.Everything})
	if err != nil {
		t.Fatal(err)
	}
	defer internet.Close()
	began := time.Now()
	dir, web := t.TempDir(), freePort(t)
	c := &city{t: t, dir: filepath.Join(dir, "city"), mx: "127.0.0.1:" + freePort(t), log: &lines{}}
	// The ports and names of a test; what an administrator types is only the domain.
	c.must("init", c.dir, "--domain", "stadt.example", "--emergency", "--acme", "none", "--dns", "none", "--listen", "127.0.0.1",
		"--hostname", "localhost", "--mx-port", c.mx[strings.LastIndexByte(c.mx, ':')+1:], "--web-port", web, "--submission-port", "0", "--imaps-port", "0", "--metrics-port", "0")
	c.edit("node.toml", "min_free_mb = 1024", "min_free_mb = 16")
	c.edit("city.toml", "helo = \"localhost\"\n", "helo = \"localhost\"\nrelay = [\"smtp://"+internet.Addr()+"\"]\ntls = \"off\"\n")
	c.start()
	t.Cleanup(c.end)
	list, sheets := filepath.Join(dir, "people.csv"), filepath.Join(dir, "sheets.pdf")
	if err := os.WriteFile(list, []byte(payroll), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("mailbox", "import", list)
	stranger := func(to, subject string) {
		t.Helper()
		s, err := send.Dial(t.Context(), c.mx)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		rcpt, err := doppelboden.ParseAddress(to)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Send(send.Mail{From: doppelboden.Address{Local: "citizen", Domain: "home.example"}, To: rcpt, Subject: subject, Text: "Wann haben Sie offen?"}, time.Now())
		if err != nil || !a.Kept() {
			t.Fatalf("a citizen who writes to %s is told %+v, %v", to, a, err)
		}
	}
	stranger("anna.mueller@stadt.example", "Oeffnungszeiten")
	stranger("carl@stadt.example", "Fuer Carl") // whom nobody has listed

	c.must("account", "codes", "--all", "--pdf", sheets)
	text, err := exec.Command("pdftotext", "-layout", sheets, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	code := codeOn(string(text), "anna")
	if code == "" {
		t.Fatalf("no sheet has a code for Anna:\n%s", text)
	}
	page := "https://localhost:" + web
	v := visit(t, page+"/enrol")
	v.submit("Weiter", map[string]string{"code": code})
	const password = "drei grüne Brücken"
	v.submit("Passwort speichern", map[string]string{"password": password, "again": password})
	v.open("/")
	v.follow("Oeffnungszeiten")
	v.follow("Antworten")
	v.submit("Senden", map[string]string{"text": "Heute bis 18 Uhr."})
	v.sees("gesendet")
	m := &mayors{city: c}
	m.until("the citizen has her answer", time.Minute, func() bool {
		for _, mail := range internet.Messages() {
			if strings.Contains(string(mail.Data), "Heute bis 18 Uhr.") {
				return true
			}
		}
		return false
	})
	took := time.Since(began)

	// The one who was missing is added, and gets what came for him.
	c.must("mailbox", "add", "carl@stadt.example", "--name", "Carl")
	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindString(c.must("queue", "list", "--state", "held", "--json"))
	c.must("mailbox", "assign", id, "carl@stadt.example")
	if out := c.must("queue", "list", "--state", "held", "--json"); strings.Contains(out, id) {
		t.Errorf("Carl's mail is still held: %s", out)
	}

	// Weeks later there is a groupware.
	people := []string{"postmaster@stadt.example", "anna.mueller@stadt.example", "bert.boss@stadt.example", "carl@stadt.example"}
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: people})
	if err := os.WriteFile(filepath.Join(c.dir, "keys", "imap.password"), []byte(peer.DovecotPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.edit("city.toml", "hosts = [\"smtp://groupware.invalid:25\"]", "hosts = [\"lmtp://"+dovecot.Addr()+"\"]")
	c.edit("city.toml", "tls = \"opportunistic\"    # or \"off\", \"required\", \"verified\"",
		"[tenant.route.imap]\nserver = \"imap://"+dovecot.IMAP()+"\"\ntls = \"off\"\nuser = \""+peer.DovecotMaster+"\"\nseparator = \"*\"\npassword_file = \"imap.password\"\n")
	c.must("config", "apply", filepath.Join(c.dir, "city.toml"), "--yes", "4")
	m.dovecot = dovecot
	m.until("the answer is among Anna's sent mail", 4*time.Minute, func() bool {
		return len(m.in("anna.mueller@stadt.example", "Gesendet", "Heute bis 18 Uhr.")) == 1
	})
	m.until("Carl has his mail", time.Minute, func() bool { return len(m.in("carl@stadt.example", "INBOX", "Fuer Carl")) == 1 })
	b := c.settled(time.Minute)
	if b.Difference != 0 || b.Bounced != 0 || b.Held != 0 {
		t.Errorf("balance %+v, want difference 0 and nothing returned or held", b)
	}
	if replies, err := dovecot.Replies(); err != nil || len(replies) != 0 {
		t.Logf("vacation replies: %q, %v", replies, err) // mail of the last hours goes by LMTP, as new mail does
	}
	t.Logf("from the first command to the first answer: %v; balance %+v", took.Round(time.Millisecond), b)
}

// codeOn returns the code on the sheet of somebody whose address begins so.
func codeOn(sheets, address string) string {
	for _, sheet := range strings.Split(sheets, "\f") {
		if strings.Contains(sheet, address) {
			groups := regexp.MustCompile(`([0-9A-Z]{3}) ([0-9A-Z]{3}) ([0-9A-Z]{3})\s+([0-9A-Z]{3}) ([0-9A-Z]{3}) ([0-9A-Z]{3})\s`).FindStringSubmatch(sheet)
			return strings.Join(groups[min(1, len(groups)):], " ")
		}
	}
	return ""
}

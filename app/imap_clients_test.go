package app

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppelboden/control"
	"doppelboden/test/peer"
)

// Programs of these tests.
const (
	mbsyncProgram = "/usr/bin/mbsync"
	curlProgram   = "/usr/bin/curl"
	muttProgram   = "/usr/bin/mutt"
	scriptProgram = "/usr/bin/script" // gives mutt a terminal
)

// A remote is an IMAP server that mbsync synchronizes with.
type remote struct {
	name, addr, password string
	tls                  bool
	speak                func() *speaker
}

// run runs a program in a folder and returns what it says.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// mbsync makes a configuration for a remote and returns what synchronizes with it.
func (r remote) mbsync(t *testing.T, cert string) (dir string, sync func()) {
	t.Helper()
	dir = t.TempDir()
	host, port, _ := net.SplitHostPort(r.addr)
	secure := "SSLType None\nAuthMechs LOGIN"
	if r.tls {
		secure = "SSLType IMAPS\nSystemCertificates no\nCertificateFile " + cert
	}
	conf := fmt.Sprintf(`IMAPAccount a
Host %s
Port %s
User anna@stadt.example
Pass "%s"
%s

IMAPStore far
Account a

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX Ablage Projekt
Create Both
Expunge Both
Remove None
SyncState *
CopyArrivalDate yes
`, host, port, r.password, secure, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "mbsyncrc"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, func() { run(t, dir, mbsyncProgram, "-c", "mbsyncrc", "-a", "-q") }
}

// files returns the files of a Maildir, by the subject of the mail in them.
func files(t *testing.T, dir, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, sub := range []string{"cur", "new"} {
		list, err := filepath.Glob(filepath.Join(dir, "mail", folder, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range list {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut("\n"+string(text), "\nSubject: ")
			subject, _, _ := strings.Cut(rest, "\n")
			found[strings.TrimSpace(subject)] = path
		}
	}
	return found
}

// mark gives a mail in a Maildir other flags.
func mark(t *testing.T, path, flags string) {
	t.Helper()
	base, _, _ := strings.Cut(filepath.Base(path), ":2,")
	if err := os.Rename(path, filepath.Join(filepath.Dir(filepath.Dir(path)), "cur", base+":2,"+flags)); err != nil {
		t.Fatal(err)
	}
}

// drop puts a mail into a Maildir.
func drop(t *testing.T, dir, folder, subject string) {
	t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "mail", folder, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "From: anna@stadt.example\nSubject: " + subject + "\nDate: Sun, 22 Nov 2026 10:00:00 +0100\n\nvon hier\n"
	if err := os.WriteFile(filepath.Join(dir, "mail", folder, "cur", subject+".local:2,S"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	subjectOf = regexp.MustCompile(`(?i)Subject: ([^\r\n]+)`)
	flagsIn   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// state returns what lies in the folders of a server: subject, flags and the date.
func state(t *testing.T, s *speaker) (list []string) {
	t.Helper()
	for _, folder := range []string{"INBOX", "Ablage", "Projekt"} {
		a, err := s.do("EXAMINE " + folder)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != "OK" {
			continue
		}
		a, err = s.do("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Subject)])")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range a.untagged {
			m := subjectOf.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			size := regexp.MustCompile(`RFC822.SIZE \d+`).FindString(line)
			list = append(list, folder+": "+m[1]+" "+flagsIn.FindString(sortFlags(line))+" "+size)
		}
	}
	slices.Sort(list)
	return list
}

func TestMbsyncLeavesTheSameMailboxesHereAndOnDovecot(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, mbsyncProgram)
	n, _ := startReaders(t, "anna")
	d := peer.For(t, peer.Dovecot{Users: []string{"anna@stadt.example"}, Quiet: true})
	remotes := []remote{
		{name: "ours", addr: n.Listeners()["imap"], password: readerPassword, tls: true},
		{name: "Dovecot", addr: d.IMAP(), password: peer.DovecotPassword},
	}
	var states [][]string
	for _, r := range remotes {
		speak := func() *speaker {
			if r.tls {
				return speakTo(t, r.addr, "anna@stadt.example", r.password)
			}
			return speakPlain(t, r.addr, "anna@stadt.example", r.password)
		}
		s := speak()
		must := func(command string, literal ...string) {
			t.Helper()
			if a, err := s.do(command, literal...); err != nil || a.status != "OK" {
				t.Fatalf("%s: %s: %+v, %v", r.name, command, a, err)
			}
		}
		must("CREATE Ablage")
		for i := range 6 {
			text := fmt.Sprintf("From: a@b.example\r\nSubject: Mail %d\r\n\r\nText %d\r\n", i, i)
			must(fmt.Sprintf("APPEND INBOX (%s) \"20-Nov-2026 08:00:0%d +0000\" {%d}", []string{"", `\Seen`}[i%2], i, len(text)), text)
		}
		dir, sync := r.mbsync(t, n.opts.Node.Certificate)
		sync()
		got := files(t, dir, "INBOX")
		if len(got) != 6 {
			t.Fatalf("%s: after the first synchronization %d mails lie here, want 6", r.name, len(got))
		}
		mark(t, got["Mail 0"], "FS") // flagged and read here
		mark(t, got["Mail 1"], "")   // unread again
		mark(t, got["Mail 2"], "RS") // answered
		mark(t, got["Mail 3"], "ST") // deleted
		drop(t, dir, "INBOX", "Neu hier")
		drop(t, dir, "Projekt", "Im neuen Ordner")
		must("SELECT INBOX")
		must("UID MOVE 5 Ablage")
		must(`UID STORE 6 +FLAGS (\Flagged)`)
		sync()
		sync() // has nothing left to do
		if got := files(t, dir, "Ablage"); got["Mail 4"] == "" {
			t.Errorf("%s: what was moved on the server did not come here: %v", r.name, got)
		}
		if got := files(t, dir, "INBOX"); len(got) != 5 || got["Mail 3"] != "" || got["Mail 4"] != "" {
			t.Errorf("%s: the inbox here has %v", r.name, got)
		}
		states = append(states, state(t, speak()))
	}
	if !slices.Equal(states[0], states[1]) {
		t.Errorf("after the same steps we have\n  %s\nDovecot\n  %s", strings.Join(states[0], "\n  "), strings.Join(states[1], "\n  "))
	}
	if len(states[0]) != 7 {
		t.Errorf("%d mails, want 7: %v", len(states[0]), states[0])
	}
}

func TestCurlReadsSearchesAndAppends(t *testing.T) {
	peer.Need(t, curlProgram)
	n, _ := startReaders(t, "anna")
	dir := t.TempDir()
	text := "From: a@b.example\r\nSubject: Von curl\r\n\r\nHallo\r\n"
	if err := os.WriteFile(filepath.Join(dir, "m.eml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "imaps://" + n.Listeners()["imap"]
	curl := func(args ...string) string {
		return run(t, dir, curlProgram, append([]string{"-sSk", "--user", "anna@stadt.example:" + readerPassword}, args...)...)
	}
	curl("-T", "m.eml", url+"/INBOX")
	if got := curl(url + "/INBOX;UID=1"); !strings.HasSuffix(got, text) {
		t.Errorf("curl reads %q, want %q at its end", got, text)
	}
	if got := curl(url+"/INBOX", "-X", "SEARCH SUBJECT curl"); !strings.Contains(got, "SEARCH 1") {
		t.Errorf("curl searches: %q", got)
	}
	if got := curl(url); !strings.Contains(got, `\Sent`) {
		t.Errorf("curl lists: %q", got)
	}
}

func TestPeopleSendWithTheirProgramsInTheirOwnNameAlone(t *testing.T) {
	peer.Need(t, curlProgram)
	n, _ := startReaders(t, "anna", "bert")
	dir := t.TempDir()
	send := func(from, header, password string) error {
		text := "From: " + header + "\r\nTo: bert@stadt.example\r\nSubject: Vom Handy\r\n\r\nHallo\r\n"
		if err := os.WriteFile(filepath.Join(dir, "m.eml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), curlProgram, "-sSk", "--ssl-reqd", "smtp://"+n.Listeners()["submission"], "--user", "anna@stadt.example:"+password,
			"--mail-from", from, "--mail-rcpt", "bert@stadt.example", "-T", filepath.Join(dir, "m.eml"))
		_, err := cmd.CombinedOutput()
		return err
	}
	for _, c := range []struct {
		from, header, password string
		taken                  bool
	}{
		{"anna@stadt.example", "Anna <anna@stadt.example>", readerPassword, true},
		{"bert@stadt.example", "anna@stadt.example", readerPassword, false},
		{"anna@stadt.example", "bert@stadt.example", readerPassword, false},
		{"anna@stadt.example", "anna@stadt.example", "falsch", false},
	} {
		if err := send(c.from, c.header, c.password); (err == nil) != c.taken {
			t.Errorf("MAIL FROM %s, From %s, password %q: %v, want taken %v", c.from, c.header, c.password, err, c.taken)
		}
	}
	bert, err := program(t, n, "bert").Select("INBOX", nil).Wait()
	if err != nil || bert.NumMessages != 1 {
		t.Errorf("Bert has %+v, %v; want one mail", bert, err)
	}
	// Programs put a copy there themselves: one of ours would be the second.
	s := speakTo(t, n.Listeners()["imap"], "anna@stadt.example", readerPassword)
	if a, err := s.do("STATUS Gesendet (MESSAGES)"); err != nil || !slices.Contains(a.untagged, `STATUS "Gesendet" (MESSAGES 0)`) {
		t.Errorf("Anna's sent mail: %+v, %v", a, err)
	}
}

func TestAProgramThatIsConnectedSendsNothingMoreWhenItsPasswordHasEnded(t *testing.T) {
	n, client := startReaders(t, "anna")
	c, err := smtp.Dial(n.Listeners()["submission"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", "anna@stadt.example", readerPassword, "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("anna@stadt.example"); err != nil {
		t.Fatalf("with her password: %v", err)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	// Somebody else had it, so she got another one.
	if err := client.SetPassword(t.Context(), control.Secret{Person: "anna@stadt.example", Password: "ein ganz anderes"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("anna@stadt.example"); err == nil || !strings.HasPrefix(err.Error(), "550") && !strings.HasPrefix(err.Error(), "554") {
		t.Errorf("with a password that has ended MAIL is answered with %v, wanted a refusal for good", err)
	}
}

func TestMuttFlagsDeletesAndSavesInBatch(t *testing.T) {
	peer.Need(t, muttProgram, scriptProgram)
	n, _ := startReaders(t, "anna")
	host, port, _ := net.SplitHostPort(n.Listeners()["imap"])
	s := speakTo(t, n.Listeners()["imap"], "anna@stadt.example", readerPassword)
	for i := range 3 {
		text := fmt.Sprintf("From: a@b.example\r\nSubject: Mail %d\r\n\r\nText\r\n", i)
		if a, err := s.do(fmt.Sprintf("APPEND INBOX {%d}", len(text)), text); err != nil || a.status != "OK" {
			t.Fatalf("APPEND: %+v, %v", a, err)
		}
	}
	if a, err := s.do("CREATE Ablage"); err != nil || a.status != "OK" {
		t.Fatalf("CREATE: %+v, %v", a, err)
	}
	dir := t.TempDir()
	rc := fmt.Sprintf(`set imap_user="anna@stadt.example" imap_pass="%s" certificate_file="%s" ssl_verify_host=no ssl_verify_dates=no
set folder="imaps://%s:%s/" confirmappend=no delete=yes move=no wait_key=no mark_old=no sort=mailbox-order tmpdir="%s" header_cache="" record=""
push "1<enter-command>set sort=mailbox-order<enter><flag-message>2<enter><save-message>=Ablage<enter>3<enter><delete-message><sync-mailbox><quit>"
`, readerPassword, n.opts.Node.Certificate, host, port, dir)
	if err := os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, scriptProgram, "-qec", "mutt -n -F rc -f imaps://"+host+":"+port+"/INBOX", "/dev/null")
	got := strings.Join(state(t, s), "\n")
	if !strings.Contains(got, `Mail 0 FLAGS (\Flagged)`) || !strings.Contains(got, "Ablage: Mail 1") || strings.Contains(got, "Mail 2") {
		t.Errorf("after mutt:\n%s", got)
	}
}

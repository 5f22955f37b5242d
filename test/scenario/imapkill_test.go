package scenario

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// programPassword is what the person of this scenario logs in with.
const programPassword = "ein langes Passwort"

// mailProgram logs an IMAP client in.
func (c *city) mailProgram(user string) (*imapclient.Client, error) {
	var status struct{ Listeners map[string]string }
	if err := json.Unmarshal([]byte(c.must("status", "--json")), &status); err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", status.Listeners["imap"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	p := imapclient.New(conn, nil)
	return p, p.Login(user, programPassword).Wait()
}

// wholeMail is a mail that shows at its end whether it is whole.
func wholeMail(subject string) string {
	return "From: a@b.example\r\nSubject: " + subject + "\r\n\r\n" + strings.Repeat("Eine Zeile des Textes.\r\n", 800) + "Ende von " + subject + "\r\n"
}

func TestKillInTheMiddleOfAppendAndMoveLosesNothingAndLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	c := found(t, "", "here", 1)
	user := users(1)[0]
	set := exec.Command(program, "--node", c.dir+"/node.toml", "mailbox", "add", user, "--password-stdin")
	set.Stdin = strings.NewReader(programPassword + "\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var mu sync.Mutex
	kept, tried := map[string]bool{}, map[string]bool{} // by subject: acknowledged, sent
	for round := range 3 {
		mover, err := c.mailProgram(user)
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if err := mover.Create("Ziel", nil).Wait(); err != nil {
				t.Fatal(err)
			}
		}
		var work sync.WaitGroup
		enough, now := make(chan struct{}), 0 // kept in this round
		for i := range 3 {
			p, err := c.mailProgram(user)
			if err != nil {
				t.Fatal(err)
			}
			work.Go(func() {
				defer p.Close()
				for n := 0; ; n++ {
					subject := fmt.Sprintf("%d-%d-%d", round, i, n)
					text := wholeMail(subject)
					mu.Lock()
					tried[subject] = true
					mu.Unlock()
					a := p.Append("INBOX", int64(len(text)), nil)
					_, werr := io.WriteString(a, text)
					cerr := a.Close()
					if _, err := a.Wait(); err != nil || werr != nil || cerr != nil {
						return // the node is gone
					}
					mu.Lock()
					kept[subject] = true
					if now++; now == 20 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		work.Go(func() {
			defer mover.Close()
			for {
				if _, err := mover.Select("INBOX", nil).Wait(); err != nil {
					return
				}
				if _, err := mover.Move(imap.SeqSet{{Start: 1, Stop: 3}}, "Ziel").Wait(); err != nil && strings.Contains(err.Error(), "EOF") {
					return
				} else if err != nil && !strings.Contains(err.Error(), "imap:") {
					return
				}
			}
		})
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Fatal("20 mails were not kept within a minute")
		}
		c.kill()
		work.Wait()
		c.start()
		wantWhole(t, c, user, kept, tried)
	}
}

// wantWhole looks whether every acknowledged mail lies in exactly one folder, and every mail
// that lies there is whole.
func wantWhole(t *testing.T, c *city, user string, kept, tried map[string]bool) {
	t.Helper()
	p, err := c.mailProgram(user)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	times := map[string]int{}
	for _, folder := range []string{"INBOX", "Ziel"} {
		if _, err := p.Select(folder, nil).Wait(); err != nil {
			t.Fatal(err)
		}
		section := &imap.FetchItemBodySection{Peek: true}
		list, err := p.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			text := string(m.FindBodySection(section))
			_, rest, _ := strings.Cut(text, "Subject: ")
			subject, _, _ := strings.Cut(rest, "\r\n")
			if !strings.HasSuffix(text, wholeMail(subject)) || !tried[subject] {
				t.Errorf("in %s lies half a mail of %d octets, %q", folder, len(text), subject)
			}
			times[subject]++
		}
	}
	for subject := range kept {
		if times[subject] != 1 {
			t.Errorf("mail %s was acknowledged and lies %d times in folders, want once", subject, times[subject])
		}
	}
	for subject, n := range times {
		if n > 1 {
			t.Errorf("mail %s lies %d times in folders", subject, n)
		}
	}
	if len(kept) < 20 {
		t.Errorf("only %d mails were acknowledged", len(kept))
	}
}

package courier_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/test/peer"
)

// TestPostfixSmtpSinkTakesWhatWeSend speaks with a server that is not ours, in all its
// moods: its own way to be unhelpful is what -f, -r and -q are for.
func TestPostfixSmtpSinkTakesWhatWeSend(t *testing.T) {
	peer.Need(t, peer.SinkProgram)
	for _, c := range []struct {
		args []string
		smtp string
		lmtp string // empty: as SMTP
	}{
		{nil, "0 took about message at dot 250 2.0.0; 1 took about message at dot 250 2.0.0", "0 took about recipient at dot 250 2.2.0; 1 took about recipient at dot 250 2.2.0"},
		{[]string{"-p"}, "0 took about message at dot 250 2.0.0; 1 took about message at dot 250 2.0.0", "0 took about recipient at dot 250 2.2.0; 1 took about recipient at dot 250 2.2.0"},
		{[]string{"-r", "MAIL"}, both("later about message at mail 450 4.3.0"), ""},
		{[]string{"-f", "MAIL"}, both("refused about message at mail 500 5.3.0"), ""},
		{[]string{"-f", "RCPT"}, both("refused about recipient at rcpt 500 5.3.0"), ""},
		{[]string{"-r", "RCPT"}, both("later about recipient at rcpt 450 4.3.0"), ""},
		{[]string{"-r", "DATA"}, both("later about message at data 450 4.3.0"), ""},
		{[]string{"-r", "."}, both("later about message at dot 450 4.3.0"), both("later about recipient at dot 450 4.3.0")},
		{[]string{"-q", "MAIL"}, both("later about route at mail"), ""},
		{[]string{"-q", "RCPT"}, both("later about route at rcpt"), ""},
		{[]string{"-q", "DATA"}, both("later about route at data"), ""},
		{[]string{"-q", "."}, both("later about message at dot in doubt"), ""},
	} {
		for _, lmtp := range []bool{false, true} {
			want := c.smtp
			if lmtp && c.lmtp != "" {
				want = c.lmtp
			}
			t.Run(fmt.Sprintf("%s lmtp=%v", strings.Join(c.args, " "), lmtp), func(t *testing.T) {
				s := peer.For(t, peer.Sink{LMTP: lmtp, Args: c.args})
				store := bodies{}
				a := newAgent(t, courier.Options{Bodies: store}, lmtp, s.Addr())
				for range 3 {
					hand(t, a, store.message("m", "Subject: x\r\n\r\n.\r\n", "a@city.example", "b@city.example"), want)
				}
			})
		}
	}
}

// TestADovecotGetsEveryMailByteForByte hands real mails over by LMTP and reads the
// Maildir. Dovecot turns CRLF into LF and puts two fields of its own in front.
func TestADovecotGetsEveryMailByteForByte(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.LMTPProgram)
	d := peer.For(t, peer.Dovecot{Users: []string{"amt@stadt.example"}})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, true, d.Addr())
	var want [][]byte
	for i, text := range realMails(t) {
		j := store.message("m", text, "amt@stadt.example", "niemand@stadt.example")
		j.Message.Prefix = fmt.Appendf(nil, "X-Number: %03d\r\n", i)
		out := a.Hand(context.Background(), j)
		if strings.Contains(text, "\x00") || bareCR(text) {
			if out[0].Verdict != doppelboden.Refused {
				t.Errorf("mail %d holds what must not be sent, but got %s", i, brief(out[0]))
			}
			continue
		}
		if out[0].Verdict != doppelboden.Took || out[1].Verdict != doppelboden.Refused || out[1].Scope != doppelboden.AboutRecipient {
			t.Errorf("mail %d: got %s: %q, %q", i, briefs(out), out[0].Reply.Text, out[1].Reply.Text)
			continue
		}
		mail := strings.ReplaceAll(string(j.Message.Prefix)+text, "\r\n", "\n")
		if !strings.HasSuffix(mail, "\n") {
			mail += "\n"
		}
		want = append(want, []byte(mail))
	}
	got, err := peer.WaitMails(d, "amt@stadt.example", len(want), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, mail := range want {
		found := false
		for _, g := range got {
			found = found || bytes.HasSuffix(g, mail)
		}
		if !found {
			t.Errorf("a mail of %d octets did not arrive as it is: %.60q", len(mail), mail)
		}
	}
	t.Logf("%d mails compared", len(want))
}

// realMails returns mails of ours, and those that lie beside the project where they do.
func realMails(t *testing.T) []string {
	t.Helper()
	mails := []string{
		"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
		"Subject: long\r\n\r\n" + strings.Repeat(strings.Repeat("x", 900)+"\r\n", 300),
		"Subject: Grüße\r\n\r\nSchöne Grüße\r\n\xff\xfe\r\n",
		"Subject: no end\r\n\r\nof line",
	}
	filepath.WalkDir("../../shared/mails", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return nil // the folder exists only where the project is developed
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("read mail: %v", err)
		}
		mails = append(mails, string(text))
		return nil
	})
	return mails
}

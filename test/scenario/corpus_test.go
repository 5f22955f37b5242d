package scenario

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden/test/peer"
)

// corpus is where the real and broken mails lie, beside the project.
const corpus = "../../../shared/mails"

// TestEveryMailComesOutOfDovecotByteForByteBelowOurPrefix sends mails through MX, store
// and LMTP into a real Dovecot and compares what lies in the Maildir.
func TestEveryMailComesOutOfDovecotByteForByteBelowOurPrefix(t *testing.T) {
	mails := ownMails()
	if _, err := os.Stat(corpus); err == nil {
		mails = append(mails, sharedMails(t)...)
	} else {
		t.Logf("%s is not here: only the project's own mails are tried", corpus)
	}
	peer.Need(t, "doveadm")
	box := users(1)[0]
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{box}})
	c := found(t, "", "lmtp://"+dovecot.Addr(), 1)
	sent := map[string][]byte{} // by number, as it should arrive
	for i, m := range mails {
		marked := append(fmt.Appendf(nil, "X-Corpus: %d\r\n", i), m.data...)
		code, text := sendRaw(t, c.mx, box, marked)
		if refused := bytes.ContainsRune(m.data, 0) || bareCR(m.data); refused != (code/100 == 5) || !refused && code != 250 {
			t.Errorf("%s: %d %s; holds NUL or bare CR: %v", m.name, code, text, refused)
			continue
		}
		if code == 250 {
			sent[fmt.Sprint(i)] = normalised(marked)
		}
	}
	got, err := peer.WaitMails(dovecot, box, len(sent), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(sent) {
		t.Errorf("Dovecot has %d mails, want %d", len(got), len(sent))
	}
	compare(t, mails, sent, got)
	if b := c.settled(time.Minute); b.Difference != 0 || b.Delivered != int64(len(sent)) {
		t.Errorf("balance %+v, want %d delivered and no difference", b, len(sent))
	}
	t.Logf("%d mails went through, %d were refused for NUL or bare CR", len(sent), len(mails)-len(sent))
}

// compare finds each mail by its number and compares what stands below our prefix.
func compare(t *testing.T, mails []testMail, sent map[string][]byte, got [][]byte) {
	t.Helper()
	for _, raw := range got {
		// Dovecot's Maildirs hold LF; CRLF is what travels. Both sides are compared as
		// LF, which is the only thing that Dovecot changes here.
		prefix, rest, found := bytes.Cut(raw, []byte("X-Corpus: "))
		number, body, _ := bytes.Cut(rest, []byte("\n"))
		want, known := sent[strings.TrimSpace(string(number))]
		if !found || !known {
			t.Errorf("a mail arrived that was not sent: %.200q", raw)
			continue
		}
		_, want, _ = bytes.Cut(want, []byte("\n"))
		if !bytes.Equal(lf(body), lf(want)) {
			var i int
			fmt.Sscan(string(number), &i)
			t.Errorf("%s: %d bytes arrived, want %d\ngot  %.300q\nwant %.300q", mails[i].name, len(lf(body)), len(lf(want)), lf(body), lf(want))
		}
		if !bytes.Contains(prefix, []byte("by mx.stadt.example (Doppelboden) with ESMTP id ")) {
			t.Errorf("the prefix holds no Received line of ours: %.300q", prefix)
		}
	}
}

func lf(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// A testMail is one mail of the corpus.
type testMail struct {
	name string
	data []byte
}

// sharedMails reads the corpus beside the project.
func sharedMails(t *testing.T) []testMail {
	t.Helper()
	var all []testMail
	err := filepath.WalkDir(corpus, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, testMail{filepath.Base(path), data})
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("read %s: %d mails, %v", corpus, len(all), err)
	}
	return all
}

// ownMails are the ugly ones.
func ownMails() []testMail {
	long := strings.Repeat("x", 5000)
	return []testMail{
		{"empty", nil},
		{"only a header", []byte("Subject: x\r\n")},
		{"no header", []byte("\r\nonly a body\r\n")},
		{"no line end at the end", []byte("Subject: x\r\n\r\nlast line")},
		{"dots", []byte("Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\n.. x\r\n\r\n.\r\nend\r\n")},
		{"a dot in the header", []byte(".Subject: x\r\n\r\nx\r\n")},
		{"bare LF everywhere", []byte("Subject: lf\n\nline\nline\n.\nline\n")},
		{"mixed line ends", []byte("Subject: mix\r\n\r\na\nb\r\nc\n\r\n.\n\r\nd")},
		{"bare CR", []byte("Subject: cr\r\n\r\na\rb\r\n")},
		{"NUL", []byte("Subject: nul\r\n\r\na\x00b\r\n")},
		{"a long line", []byte("Subject: long\r\n\r\n" + long + "\r\n")},
		{"a long header line", []byte("X-Long: " + long + "\r\nSubject: x\r\n\r\nx\r\n")},
		{"8-bit without a declaration", []byte("Subject: \xe4\xf6\xfc\r\n\r\n\xff\xfe Gr\xfc\xdfe\r\n")},
		{"UTF-8", []byte("Subject: Grüße 🎉\r\n\r\nStraße\r\n")},
		{"forged hops", []byte("Received: from a by b; now\r\nReturn-Path: <x@y>\r\nDelivered-To: z\r\n\r\nx\r\n")},
		{"SMTP inside", []byte("Subject: x\r\n\r\nQUIT\r\nDATA\r\nMAIL FROM:<x@y>\r\n\r\nRSET\r\n")},
		{"an mbox line", []byte("From someone Thu Jan 1 00:00:00 1970\r\nSubject: x\r\n\r\nFrom me\r\n>From you\r\n")},
		{"300 KB", []byte("Subject: big\r\n\r\n" + strings.Repeat(strings.Repeat("b", 70)+"\r\n", 4300))},
	}
}

// bareCR reports whether a CR stands without its LF.
func bareCR(b []byte) bool {
	return bytes.IndexByte(bytes.ReplaceAll(b, []byte("\r\n"), nil), '\r') >= 0
}

// normalised is what our MX makes of line ends: every LF is a CRLF. What does not end
// in CRLF got one from sendRaw, so that the final dot could follow.
func normalised(b []byte) []byte {
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
		b = append(bytes.Clone(b), "\r\n"...)
	}
	return bytes.ReplaceAll(lf(b), []byte("\n"), []byte("\r\n"))
}

// sendRaw sends bytes as they are, with dots stuffed, and returns the answer to the
// final dot, or the first refusal.
func sendRaw(t *testing.T, addr, to string, data []byte) (int, string) {
	t.Helper()
	code, text := tryRaw(addr, to, data)
	if code == 0 {
		t.Fatalf("send to %s: %s", addr, text)
	}
	return code, text
}

// tryRaw is sendRaw that gives 0 for the code and the error as text when the connection
// breaks.
func tryRaw(addr, to string, data []byte) (int, string) {
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return 0, err.Error()
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err.Error()
	}
	text := textproto.NewConn(conn)
	if code, answer, err := text.ReadResponse(220); err != nil {
		return code, answer
	}
	for _, line := range []string{"EHLO corpus.example", "MAIL FROM:<a@corpus.example> BODY=8BITMIME", "RCPT TO:<" + to + ">", "DATA"} {
		if err := text.PrintfLine("%s", line); err != nil {
			return 0, err.Error()
		}
		if code, answer, err := text.ReadResponse(0); code/100 > 3 || code == 0 {
			return code, fmt.Sprint(answer, " ", err)
		}
	}
	if _, err := conn.Write(stuffed(data)); err != nil {
		return 0, err.Error()
	}
	code, answer, err := text.ReadResponse(0)
	if code == 0 {
		return 0, err.Error()
	}
	return code, answer
}

// stuffed is data with its dots doubled and the final dot behind it: RFC 5321, section
// 4.5.2. Only after CRLF is a dot at the start of a line.
func stuffed(data []byte) []byte {
	all := bytes.Clone(data)
	if bytes.HasPrefix(all, []byte(".")) {
		all = append([]byte("."), all...)
	}
	all = bytes.ReplaceAll(all, []byte("\r\n."), []byte("\r\n.."))
	if len(all) > 0 && !bytes.HasSuffix(all, []byte("\r\n")) {
		all = append(all, "\r\n"...)
	}
	return append(all, ".\r\n"...)
}

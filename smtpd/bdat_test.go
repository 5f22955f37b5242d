package smtpd

import (
	"fmt"
	"strings"
	"testing"
)

// envelope says MAIL and RCPT.
func (d *dialogue) envelope() {
	d.t.Helper()
	d.ask("MAIL FROM:<a@sender.example>", "250 2.1.0")
	d.ask("RCPT TO:<b@city.example>", "250 2.1.5")
}

// bdat sends one chunk and checks the reply.
func (d *dialogue) bdat(chunk, last, want string) {
	d.t.Helper()
	d.say(fmt.Sprintf("BDAT %d%s\r\n%s", len(chunk), last, chunk))
	d.hear(want)
}

func TestBdatAndDataGiveTheSameBody(t *testing.T) {
	for _, body := range []string{"", "A\r\n", "A\r\nB\r\n", ".\r\n", "..A\r\n.\r\n", "A\nB\r\n", "A\n\n.\nB\r\n", "\n", "\xff\r\n",
		strings.Repeat("a long line of a body\r\n", 10_000)} {
		bag := newBag()
		d := begin(t, Options{Intake: bag, MaxJunk: 1 << 30})
		d.mail()
		// A bare LF is no line end, so only dots behind CRLF are stuffed.
		stuffed := strings.ReplaceAll(body, "\r\n.", "\r\n..")
		if strings.HasPrefix(body, ".") {
			stuffed = "." + stuffed
		}
		if !strings.HasSuffix(stuffed, "\r\n") && stuffed != "" {
			stuffed += "\r\n"
		}
		d.say(stuffed + ".\r\n")
		d.hear("250 2.0.0 Ok: receipt")
		for cut := range min(len(body), 20) + 1 {
			d.envelope()
			d.bdat(body[:cut], "", "250 2.0.0 Ok\r\n")
			d.bdat(body[cut:], " LAST", "250 2.0.0 Ok: receipt")
		}
		want := strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\n", "\r\n")
		for i, got := range bag.bodies() {
			// "\n" in DATA is followed by the CRLF that the end needs.
			if i == 0 && body == "\n" {
				got = strings.TrimSuffix(got, "\r\n")
			}
			if got != want {
				t.Errorf("mail %d of %.40q: body %.40q, wanted %.40q", i, body, got, want)
			}
		}
	}
}

func TestABodyFromBdatEndsInCRLF(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.envelope()
	d.bdat("no line end", " LAST", "250 2.0.0 Ok: receipt")
	d.envelope()
	d.bdat("A\n", "", "250 2.0.0 Ok\r\n")
	d.bdat("", " last", "250 2.0.0 Ok: receipt")
	if got := bag.bodies(); len(got) != 2 || got[0] != "no line end\r\n" || got[1] != "A\r\n" {
		t.Errorf("bodies %q, wanted both to end in one CRLF", got)
	}
}

func TestBdatHasTheSameRulesForLineEnds(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	for _, c := range []struct{ first, second, says string }{
		{"A\r", "B\r\n", "CR without LF"},
		{"A", "\r", "CR without LF"},
		{"A\r\r\n", "", "CR without LF"},
		{"", "A\x00\r\n", "NUL"},
	} {
		d.envelope()
		d.bdat(c.first, "", "250 2.0.0 Ok\r\n")
		d.say(fmt.Sprintf("BDAT %d LAST\r\n%s", len(c.second), c.second))
		if got := d.hear("550 5.6.0"); !strings.Contains(got, c.says) {
			t.Errorf("%q and %q: reply %q, wanted it to say %q", c.first, c.second, got, c.says)
		}
	}
	d.envelope()
	d.bdat("A\r", "", "250 2.0.0 Ok\r\n")
	d.bdat("\nB", " LAST", "250 2.0.0 Ok: receipt")
	if got := bag.bodies(); len(got) != 1 || got[0] != "A\r\nB\r\n" {
		t.Errorf("kept %q, wanted the one with CR and LF in two chunks", got)
	}
}

// TestChunksOfAFailedMailAreReadAndNotRun: RFC 3030, section 2, has us discard what is
// in the pipeline already.
func TestChunksOfAFailedMailAreReadAndNotRun(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.envelope()
	d.say("BDAT 4\r\nA\x00\r\n" + "BDAT 9\r\nRSET\r\nX\r\n" + "BDAT 6 LAST\r\nQUIT\r\n" + "NOOP\r\n")
	d.hear("550 5.6.0")
	d.hear("503 5.5.1 The mail failed already")
	d.hear("503 5.5.1 The mail failed already")
	d.hear("250 2.0.0 Ok\r\n")
	d.envelope()
	d.bdat("fine\r\n", " LAST", "250 2.0.0 Ok: receipt")
	if got := bag.bodies(); len(got) != 1 || got[0] != "fine\r\n" {
		t.Errorf("kept %q, wanted only the second mail", got)
	}
}

func TestBdatOutOfPlaceIsReadAndNotRun(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.bdat("QUIT\r\n", " LAST", "503 5.5.1 MAIL first")
	d.ask("MAIL FROM:<>", "250")
	d.bdat("QUIT\r\n", " LAST", "503 5.5.1 RCPT first")
	d.envelope()
	d.bdat("A\r\n", "", "250")
	d.ask("DATA", "503 5.5.1 Not between BDAT chunks")
	d.ask("RCPT TO:<c@city.example>", "503 5.5.1 Not between BDAT chunks")
	d.ask("MAIL FROM:<>", "503 5.5.1")
	d.bdat("B\r\n", " LAST", "250 2.0.0 Ok: receipt")
	if got := bag.bodies(); len(got) != 1 || got[0] != "A\r\nB\r\n" {
		t.Errorf("kept %q, wanted A and B", got)
	}
}

func TestRsetBetweenChunksForgetsThem(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.envelope()
	d.bdat("A\r\n", "", "250")
	d.ask("RSET", "250")
	d.envelope()
	d.bdat("B\r\n", " LAST", "250")
	if got := bag.bodies(); len(got) != 1 || got[0] != "B\r\n" {
		t.Errorf("kept %q, wanted only B", got)
	}
}

func TestAWrongBdatEndsTheConnection(t *testing.T) {
	for _, line := range []string{"BDAT", "BDAT x", "BDAT -1", "BDAT 5 FIRST", "BDAT 5 LAST LAST", "BDAT 5  LAST"} {
		d := begin(t, Options{Intake: newBag()})
		d.say(line + "\r\nMAIL FROM:<a@b.example>\r\n")
		d.hear("501 5.5.4")
		d.ended()
	}
}

func TestABodyInTooManyChunksEndsTheConnection(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.envelope()
	for range 100 {
		d.bdat("x", "", "250 2.0.0 Ok\r\n")
	}
	d.bdat("x", "", "421 4.7.0")
	d.ended()
	if got := bag.bodies(); len(got) > 0 || bag.aborted != 1 {
		t.Errorf("kept %q, aborted %d, wanted none and 1", got, bag.aborted)
	}
}

func TestAChunkThatIsTooLargeIsReadAndRefused(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag, MaxSize: 1000})
	d.envelope()
	d.bdat(strings.Repeat("x", 600), "", "250")
	d.bdat(strings.Repeat("QUIT\r\n", 100), " LAST", "552 5.3.4")
	d.ask("NOOP", "250 2.0.0")
	d.envelope()
	d.bdat(strings.Repeat("x", 600), "", "250")
	// Bare LFs grow; what counts is what is kept.
	d.bdat(strings.Repeat("\n", 300), "", "552 5.3.4")
	d.bdat("QUIT\r\n", " LAST", "503 5.5.1")
	written := 0
	bag.write = func(p []byte) error { written += len(p); return nil }
	d.envelope()
	d.say("BDAT 1001\r\n" + strings.Repeat("x", 500))
	d.say(strings.Repeat("x", 501))
	d.hear("552 5.3.4")
	d.bdat("QUIT\r\n", " LAST", "503 5.5.1 The mail failed already")
	if written > 0 {
		t.Errorf("%d octets of a chunk that cannot be taken were passed on, wanted none", written)
	}
	d.say("BDAT 4001\r\n")
	d.hear("552 5.3.4 Message is far larger")
	d.ended()
	if got := bag.bodies(); len(got) > 0 {
		t.Errorf("kept %d mails, wanted none", len(got))
	}
}

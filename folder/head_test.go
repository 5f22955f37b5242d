package folder

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

func TestBlindCopiesAreFoundHoweverTheyAreWritten(t *testing.T) {
	for name, bcc := range map[string]string{
		"plain":                     "Bcc: x@y.example\r\n",
		"in capitals":               "BCC: x@y.example\r\n",
		"with white space":          "bcc \t: x@y.example\r\n",
		"folded":                    "Bcc: x@y.example,\r\n\tz@y.example\r\n z@y.example\r\n",
		"of a mail that went twice": "Resent-Bcc: x@y.example\r\n",
		"behind a bare CR":          "X-A: b\rBcc: x@y.example\r\n",
		"with a bare LF":            "Bcc: x@y.example\n",
		"with a NUL in its name":    "B\x00cc: x@y.example\r\n",
		"twice":                     "Bcc: x@y.example\r\nbCC: z@y.example\r\n",
	} {
		h, rest, err := readHead(strings.NewReader("From: a@b.example\r\n" + bcc + "To: c@d.example\r\n\r\nBcc: of the text\r\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, _ := io.ReadAll(rest)
		if got := string(h.text(false)); !h.blind() || strings.Contains(got, "@y.example") || !strings.HasPrefix(got, "From: a@b.example\r\n") || !strings.HasSuffix(got, "To: c@d.example\r\n\r\n") {
			t.Errorf("%s: what is sent begins %q", name, got)
		}
		if got := string(h.text(true)); !strings.Contains(got, "x@y.example") || string(body) != "Bcc: of the text\r\n" {
			t.Errorf("%s: the sender's copy begins %q and goes on %q", name, got, body)
		}
	}
}

// shownBlind finds a Bcc field in a header section, by other means than package folder.
var shownBlind = regexp.MustCompile(`(?im)^(resent-)?bcc[ \t]*:`)

func FuzzNobodyIsToldOfABlindCopy(f *testing.F) {
	for _, seed := range []string{
		letter, "From: a@b.example\r\nBcc: c@d.example\r\n\r\nx", "\r\n", "", "x", "From: a\n\n", "From: a\r\r\nBcc: b\r\n\r\n",
		"From: a\r\n \r\n\tb\r\nBcc:\r\n c\r\n\r\n", ": x\r\n\r\n", "From: a\r\nBcc: b", "From:\x00\r\n\r\nBcc: x", "F: " + strings.Repeat("x", 5000) + "\r\nbcc: y\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, mail []byte) {
		h, rest, err := readHead(bytes.NewReader(mail))
		if err != nil {
			return
		}
		if err := h.complete(doppelboden.ID{1}, "b.example", time.Unix(0, 0)); err != nil {
			return
		}
		sent, kept := h.text(false), h.text(true)
		head, tail, whole := bytes.Cut(sent, []byte("\r\n\r\n"))
		if !whole || len(tail) > 0 {
			t.Errorf("the header section %q does not end with its empty line", sent)
		}
		if shownBlind.Match(bytes.ReplaceAll(head, []byte("\r\n"), []byte("\n"))) {
			t.Errorf("everybody is told: %q", sent)
		}
		if bytes.ContainsAny(bytes.ReplaceAll(sent, []byte("\r\n"), nil), "\r\n\x00") {
			t.Errorf("line ends of %q are not whole", sent)
		}
		if again, _, err := readHead(bytes.NewReader(kept)); err != nil || !bytes.Equal(again.text(true), kept) {
			t.Errorf("the copy %q is read as %v, %v", kept, again, err)
		}
		io.Copy(io.Discard, rest)
	})
}

package scenario

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden/test/peer"
)

// TestWithoutAWayIntoMailboxesEverybodyGetsWhatSheWroteOnceAndTheRestInWords has a real Dovecot
// that takes mail by LMTP and lets nobody into its mailboxes. People work while it is down; the
// node is killed while it writes the letters that bring what they wrote.
func TestWithoutAWayIntoMailboxesEverybodyGetsWhatSheWroteOnceAndTheRestInWords(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.DovecotProgram, peer.LMTPProgram, peer.SieveProgram)
	boxes := users(8)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: boxes})
	c, clock := worked(t, dovecot, boxes)
	c.withoutIMAP()
	node := c.inside(clock)
	resting, _ := c.work(node, clock, dovecot, boxes)
	answered := replies(t, dovecot)
	for i := range during { // this mail goes by LMTP, today
		answered[fmt.Sprintf("waehrend%d@buerger.example", i)] += len(boxes)
	}
	c.rest(node)

	back := peer.For[*peer.DovecotServer](t, resting)
	c.start()
	t.Cleanup(c.end)
	c.must("event", "close", "1", "--note", "it works again")
	for range 4 {
		time.Sleep(time.Duration(200+rand.Int64N(1500)) * time.Millisecond) // dies at any moment
		c.kill()
		c.start()
	}
	c.handedBack(2 * time.Minute)
	if b := c.since(48 * time.Hour); b.Difference != 0 || b.Duplicates != 0 || b.Delivered != int64((before+during+1)*len(boxes)) {
		t.Errorf("the balance: %+v, want %d delivered", b, (before+during+1)*len(boxes))
	}
	c.stop()
	for _, box := range boxes {
		bring, last := lettersTo(t, back, box)
		if len(bring) != 1 || len(last) != 0 {
			t.Errorf("%s has %d letters that bring something and %d last ones, want one and none", box, len(bring), len(last))
			continue
		}
		readable(t, bring[0], box)
	}

	clock.Forward(26 * time.Hour)
	node = c.inside(clock)
	for deadline := time.Now().Add(time.Minute); lettersIn(t, back, boxes) < 2*len(boxes) && time.Now().Before(deadline); {
		clock.Forward(2 * time.Second)
		time.Sleep(50 * time.Millisecond)
	}
	c.rest(node)
	for _, box := range boxes {
		bring, last := lettersTo(t, back, box)
		if len(bring) != 1 || len(last) != 1 {
			t.Errorf("in the end %s has %d letters that bring something and %d last ones, want one each", box, len(bring), len(last))
			continue
		}
		if text, _ := partsOf(t, last[0]); !strings.Contains(text, "Als Anhang geschickt: 2 E-Mails") || !strings.Contains(text, "Nur mitgeteilt: 8 Änderungen") {
			t.Errorf("the last letter to %s says:\n%s", box, text)
		}
	}
	if after := replies(t, back); !maps.Equal(after, answered) {
		t.Errorf("vacation has answered %v, want %v", after, answered)
	}
}

// withoutIMAP takes the way into mailboxes out of the configuration.
func (c *workplace) withoutIMAP() {
	c.t.Helper()
	text, err := os.ReadFile(c.conf.City)
	if err != nil {
		c.t.Fatal(err)
	}
	rest, _, found := bytes.Cut(text, []byte("\n[tenant.route.imap]"))
	if !found {
		c.t.Fatal("the configuration has no way into mailboxes")
	}
	if err := os.WriteFile(c.conf.City, rest, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// lettersTo returns the letters about the emergency mailbox: those that bring something, and
// the last ones.
func lettersTo(t *testing.T, d *peer.DovecotServer, box string) (bring, last []*mail.Message) {
	t.Helper()
	mails, err := d.Mails(box)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range mails {
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("a mail of %s: %v\n%s", box, err, text)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		switch {
		case err != nil:
			t.Fatal(err)
		case subject == "Was Sie im Notfall-Postfach geschrieben haben":
			bring = append(bring, m)
		case m.Header.Get("Auto-Submitted") != "":
			last = append(last, m)
		}
	}
	return bring, last
}

// partsOf returns what a letter says, and the mails that are attached.
func partsOf(t *testing.T, m *mail.Message) (text string, attached []*mail.Message) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if kind == "text/plain" {
		all, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		return string(all), nil
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextPart() // decodes quoted-printable
		if err == io.EOF {
			return text, attached
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/plain") {
			all, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			text = string(all)
			continue
		}
		one, err := mail.ReadMessage(p)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(one.Body)
		if err != nil {
			t.Fatal(err)
		}
		one.Body = bytes.NewReader(body)
		attached = append(attached, one)
	}
}

// readable checks a letter that brings what somebody wrote.
func readable(t *testing.T, m *mail.Message, box string) {
	t.Helper()
	text, attached := partsOf(t, m)
	var subjects []string
	for _, one := range attached {
		subjects = append(subjects, one.Header.Get("Subject"))
		body, err := io.ReadAll(one.Body)
		if err != nil || string(bytes.TrimSpace(body)) != "Text" || one.Header.Get("Message-ID") != "<"+one.Header.Get("Subject")+"."+box+">" {
			t.Errorf("an attachment of %s is not as it was written: %v %q, %v", box, one.Header, body, err)
		}
	}
	slices.Sort(subjects)
	if !slices.Equal(subjects, []string{"Antwort", "Entwurf"}) {
		t.Errorf("attached for %s are %v, want what she sent and her draft", box, subjects)
	}
	for i, want := range []string{"gelesen, beantwortet", "in den Ordner „Bauamt/2026“ gelegt", "in den Ordner „Papierkorb“ gelegt", "gelöscht"} {
		for _, when := range []string{"vorher", "waehrend"} {
			if !hasLine(text, fmt.Sprintf("%s%d: ", when, i), want) {
				t.Errorf("the letter to %s does not say of %s%d: %s\n%s", box, when, i, want, text)
			}
		}
	}
}

// hasLine reports whether a line of a text holds two things.
func hasLine(text, one, other string) bool {
	for l := range strings.Lines(text) {
		if strings.Contains(l, one) && strings.Contains(l, other) {
			return true
		}
	}
	return false
}

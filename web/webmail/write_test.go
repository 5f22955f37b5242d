package webmail

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/letter"
)

// written fills in the page on which people write.
func form(values ...string) url.Values {
	f := url.Values{"key": {strings.Repeat("k", 30)}, "do": {"send"}}
	for i := 0; i < len(values); i += 2 {
		f.Set(values[i], values[i+1])
	}
	return f
}

func TestADoubleClickSendsOnce(t *testing.T) {
	s := newSite(t)
	for range 2 {
		w := s.ask(7, "/m/7/compose", form("to", "Eva Stern <eva@example.org>", "cc", "p8@stadt.example", "bcc", "x@example.net", "subject", "Grüße", "text", "Hallo\nEva"))
		if w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Location"), "done=sent") {
			t.Fatalf("sending: status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
		}
	}
	if len(s.sent) != 1 {
		t.Fatalf("%d mails were sent, wanted 1", len(s.sent))
	}
	var to []string
	for _, r := range s.sent[0].To {
		to = append(to, r.Address.String())
	}
	if got := strings.Join(to, " "); got != "eva@example.org p8@stadt.example x@example.net" {
		t.Errorf("recipients %s", got)
	}
	l, err := letter.Parse(strings.NewReader(s.bodies[0]), letter.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	sum := l.Summary()
	if sum.Subject != "Grüße" || strings.TrimSpace(l.Text()) != "Hallo\nEva" || len(sum.From) != 1 || sum.From[0].Address != "p7@stadt.example" || sum.MessageID == "" || sum.Date.IsZero() {
		t.Errorf("the mail is %+v with the text %q", sum, l.Text())
	}
	if strings.Contains(strings.ToLower(s.bodies[0]), "x-doppelboden") {
		t.Errorf("what is for drafts alone was sent: %s", s.bodies[0])
	}
}

func TestWhatCannotBeSentIsKeptAndSaid(t *testing.T) {
	s := newSite(t)
	for _, tc := range []struct{ to, want string }{
		{"", "Es fehlt, an wen"}, {"nonsense", "„nonsense“ ist keine Adresse"}, {"nobody@stadt.example", "Niemand hat hier die Adresse nobody@stadt.example"},
		{"a@b@c <d", "ist keine Adresse"},
	} {
		w := s.ask(7, "/m/7/compose", form("to", tc.to, "subject", "Wichtig", "text", "mein langer Text", "key", strings.Repeat("k", 20)+fmt.Sprint(len(tc.to))))
		if w.Code != http.StatusUnprocessableEntity {
			t.Errorf("to %q: status %d, wanted 422", tc.to, w.Code)
		}
		s.has("to "+tc.to, w.Body.String(), tc.want, "mein langer Text", "Entwurf gespeichert")
	}
	s.refuse = &doppelboden.Error{Code: doppelboden.Busy}
	w := s.ask(7, "/m/7/compose", form("to", "eva@example.org", "text", "mein langer Text"))
	s.has("a busy intake", w.Body.String(), "mein langer Text", "in kurzer Zeit an sehr viele")
	if len(s.sent) != 0 {
		t.Errorf("%d mails were sent", len(s.sent))
	}
	s.refuse = nil
	if w := s.ask(7, "/m/7/compose", form("to", "eva@example.org", "text", "mein langer Text")); w.Code != http.StatusSeeOther || len(s.sent) != 1 {
		t.Errorf("sending it again: status %d, %d mails", w.Code, len(s.sent))
	}
}

func TestADraftComesBackAsItWasWritten(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	w := s.ask(7, "/m/7/compose", form("do", "save", "to", "Müller, Eva <eva@example.org>, halb fertig", "cc", "p8@stadt.example", "bcc", "y@example.org", "subject", "Größe", "text", "Zeile 1\n\nZeile 3 äöü\n-- \nich", "source", "reply.1.1.v1", "refs", "1@example.org"))
	at := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/m/7/compose?draft=") {
		t.Fatalf("saving: status %d to %q: %s", w.Code, at, w.Body)
	}
	page := s.page(7, at)
	s.has("the draft", page, `Müller, Eva &lt;eva@example.org&gt;, halb fertig`, `value="p8@stadt.example"`, `value="y@example.org"`, `value="Größe"`, "Zeile 1\n\nZeile 3 äöü\n-- \nich", `value="reply.1.1.v1"`, `value="1@example.org "`, strings.Repeat("k", 30))
	s.ask(7, "/m/7/compose", form("do", "save", "to", "eva@example.org", "text", "neu", "draft", "1.v2"))
	if n := len(s.boxes[7].lying[2]); n != 1 {
		t.Errorf("%d drafts after saving one twice", n)
	}
	// The page of before clicks on send: the newest draft goes.
	s.ask(7, "/m/7/compose", form("to", "eva@example.org", "text", "neu", "draft", "1.v2", "source", "reply.1.1.v1", "refs", "1@example.org"))
	if n := len(s.boxes[7].lying[2]); n != 0 || len(s.sent) != 1 {
		t.Fatalf("%d drafts and %d sent after sending", n, len(s.sent))
	}
	if a := s.sent[0].Answers; a == nil || a.Folder != 1 || a.UID != 1 {
		t.Errorf("it answers %+v", a)
	}
	s.has("the sent mail", s.bodies[0], "In-Reply-To: <1@example.org>", "References: <1@example.org>")
}

func TestFilesOfADraftStayAndCanBeRemoved(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, strings.ReplaceAll(hostile, "not.png", "plan.png"))
	page := s.page(7, "/m/7/compose?forward=1.1.v1")
	s.has("forwarding", page, "plan.png", "a.svg")
	f := form("do", "save", "to", "eva@example.org", "source", "forward.1.1.v1")
	for _, m := range regexp.MustCompile(`name="(keep|keepname|keepsize)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		f.Add(m[1], m[2])
	}
	at := s.ask(7, "/m/7/compose", f).Header().Get("Location")
	page = s.page(7, at)
	s.has("the draft", page, "plan.png", "a.svg", `value="d:2"`, `value="d:4"`)
	f = form("do", "remove:1", "draft", "1.v2", "source", "forward.1.1.v1")
	for _, m := range regexp.MustCompile(`name="(keep|keepname|keepsize)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		f.Add(m[1], m[2])
	}
	page = s.page(7, s.ask(7, "/m/7/compose", f).Header().Get("Location"))
	if s.has("after removing one", page, "plan.png"); strings.Contains(page, "a.svg") {
		t.Error("the removed file is still there")
	}
}

func TestADraftIsFoundWhoseWriterLeftWhileItWasSaved(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, strings.ReplaceAll(hostile, "not.png", "plan.png"))
	f := form("do", "save", "to", "eva@example.org", "source", "forward.1.1.v1", "keep", "s:2", "keepname", "plan.png", "keepsize", "9")
	s.ask(7, "/m/7/compose", f)
	kept := form("to", "eva@example.org", "text", "weiter", "draft", "1.v2", "keep", "d:2", "keepname", "plan.png", "keepsize", "9")
	s.dead = true
	s.part(7, "/m/7/compose/auto", kept)
	s.dead, s.died = false, false
	// She opens it again from the list and sends it.
	kept.Set("draft", "2.v2")
	w := s.ask(7, "/m/7/compose", kept)
	if w.Code != http.StatusSeeOther || len(s.sent) != 1 {
		t.Fatalf("sending: status %d, %d sent; wanted 303 and one: %s", w.Code, len(s.sent), mainOf(w.Body.String()))
	}
	s.has("the sent mail", s.bodies[0], "plan.png")
	if n := len(s.boxes[7].lying[2]); n != 0 {
		t.Errorf("%d drafts after sending, wanted none", n)
	}
}

func TestATextOutlivesASession(t *testing.T) {
	s := newSite(t)
	w := s.ask(0, "/m/7/compose", form("to", "eva@example.org", "subject", "Lang", "text", "mein langer Text"))
	s.has("without a session", w.Body.String(), "Sie sind nicht mehr angemeldet", "mein langer Text", `value="eva@example.org"`, `value="Lang"`, `target="_blank"`, strings.Repeat("k", 30))
	if w.Code != http.StatusUnauthorized || len(s.sent) != 0 || len(s.opened) != 0 {
		t.Errorf("status %d, %d sent, opened %v", w.Code, len(s.sent), s.opened)
	}
	// She logs in beside it, and the same form is good.
	if w := s.ask(7, "/m/7/compose", form("to", "eva@example.org", "text", "mein langer Text")); len(s.sent) != 1 {
		t.Errorf("after the log-in: status %d, %d sent", w.Code, len(s.sent))
	}
}

// filesOf takes the files of a draft from its page into a form.
func filesOf(page string, f url.Values) url.Values {
	for _, m := range regexp.MustCompile(`name="(keep|keepname|keepsize)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		f.Add(m[1], m[2])
	}
	return f
}

func TestAFileThatIsTooLargeCostsNothingThatWasWritten(t *testing.T) {
	s := newSite(t)
	w := s.upload(7, "/m/7/compose", form("do", "attach", "text", "der Anfang"), make([]byte, 10<<20))
	page := s.page(7, w.Header().Get("Location"))
	for i, size := range []int{8 << 20, 16 << 20} { // too large with the first, and for any form
		text := fmt.Sprintf("der Anfang, und was sie in %d Minuten schrieb", i+5)
		f := filesOf(page, form("do", "attach", "text", text, "subject", "Plan", "to", "eva@example.org"))
		if w = s.upload(7, "/m/7/compose", f, make([]byte, size)); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("a file of %d MB: status %d, wanted 422", size>>20, w.Code)
		}
		page = w.Body.String()
		s.has("the page", page, "Die Dateien sind zu groß: Alle zusammen dürfen höchstens 15,7 MB haben.", text, `value="Plan"`, `value="eva@example.org"`, "plan.bin", "Entwurf gespeichert")
		if strings.LastIndex(page, `type="hidden"`) > strings.Index(page, `type="file"`) {
			t.Error("a field stands behind the files, and is lost when they are too large")
		}
		at := regexp.MustCompile(`name="draft" value="([^"]*)"`).FindStringSubmatch(page)
		if at == nil {
			t.Fatal("the page names no draft")
		}
		draft := s.page(7, "/m/7/compose?draft="+at[1])
		s.has("the draft", draft, text, "plan.bin")
		if n := strings.Count(draft, `name="keep"`); n != 1 || len(s.boxes[7].lying[2]) != 1 {
			t.Errorf("%d files in %d drafts, wanted the one that fits", n, len(s.boxes[7].lying[2]))
		}
	}
}

func TestWhatCouldNotBeKeptStaysOnThePage(t *testing.T) {
	s := newSite(t)
	w := s.upload(7, "/m/7/compose", form("do", "attach", "text", "x"), []byte("file"))
	page := s.page(7, w.Header().Get("Location"))
	s.boxes[7].lying[2] = nil // a colleague has thrown it away
	w = s.ask(7, "/m/7/compose", filesOf(page, form("do", "save", "text", "mein langer Text", "draft", "1.v2")))
	if s.has("without its draft", w.Body.String(), "ist nicht mehr da", "mein langer Text"); w.Code != http.StatusNotFound {
		t.Errorf("without its draft: status %d, wanted 404", w.Code)
	}
	f := filesOf(w.Body.String(), form("do", "save", "text", "mein langer Text"))
	s.died = true // the database does not answer
	w = s.ask(7, "/m/7/compose", f)
	if s.has("without a database", w.Body.String(), "Das ging gerade nicht.", "mein langer Text"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a database: status %d, wanted 503", w.Code)
	}
	if w = s.ask(7, "/m/7/compose", f); w.Code != http.StatusSeeOther || len(s.boxes[7].lying[2]) != 1 {
		t.Errorf("once more: status %d, %d drafts; wanted 303 and one", w.Code, len(s.boxes[7].lying[2]))
	}
}

func TestWhatIsDiscardedIsNotRemembered(t *testing.T) {
	s := newSite(t)
	for i := range 100 {
		s.ask(7, "/m/7/compose", form("do", "discard", "text", "x", "key", fmt.Sprintf("discarded-%020d", i)))
		s.ask(7, "/m/7/compose", form("do", "discard", "text", "x", "draft", "4711.v2", "key", fmt.Sprintf("made-up-%020d", i)))
	}
	s.ask(7, "/m/7/compose/auto", form("text", "x"))
	s.ask(7, "/m/7/compose", form("do", "discard", "text", "x"))
	if n := len(s.door.saves.last); n != 0 {
		t.Errorf("%d drafts are remembered that there are not", n)
	}
	s.ask(7, "/m/7/compose/auto", form("text", "x"))
	s.mu.Lock()
	s.now = s.now.Add(keptFor + time.Minute)
	s.mu.Unlock()
	s.ask(7, "/m/7/compose/auto", form("text", "x", "key", strings.Repeat("n", 30)))
	if n := len(s.door.saves.last); n != 1 {
		t.Errorf("after a day %d drafts are remembered, wanted the one that was just saved", n)
	}
}

func TestAFileOfSomebodyElsesMailCannotBeTaken(t *testing.T) {
	s := newSite(t)
	s.put(8, 1, 0, simple)
	f := form("to", "eva@example.org", "text", "x", "source", "forward.1.1.v1", "keep", "s:", "keepname", "x.eml", "keepsize", "1")
	if w := s.ask(7, "/m/7/compose", f); w.Code != http.StatusNotFound || len(s.sent) != 0 {
		t.Errorf("status %d, %d sent", w.Code, len(s.sent))
	}
}

func TestAnAnswerQuotesAndGoesToThoseItShould(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	page := s.page(7, "/m/7/compose?reply=1.1.v1")
	s.has("the answer", page, `value="Eva Stern &lt;eva@example.org&gt;"`, `value="Re: Bauantrag"`, "&gt; wann ist Sitzung?", "schrieb Eva Stern:")
	if strings.Contains(page, "p8@stadt.example") {
		t.Error("the answer goes to more than the sender")
	}
	all := s.page(7, "/m/7/compose?reply=1.1.v1&all=1")
	s.has("the answer to all", all, `name="cc" value="p8@stadt.example"`)
	s.ask(7, "/m/7/settings", url.Values{"signature": {"Ada Muster\nBauamt"}})
	s.has("with a signature", s.page(7, "/m/7/compose"), "\n-- \nAda Muster\nBauamt")
}

func TestAFormThatNobodyFilledInBreaksNothing(t *testing.T) {
	s := newSite(t)
	for _, f := range []url.Values{
		{}, {"key": {"short"}}, form("keep", "d:2", "keepname", "x"), form("keep", "d:2"), form("do", "remove:7"), form("do", "remove:-1"), form("do", "nonsense"),
		form("source", "reply.99999999999999999999.1.v1"), form("source", "reply.1.1.v1"), form("draft", "4711.v2", "do", "discard"), form("refs", "<> \x00 >< a b"),
	} {
		for _, target := range []string{"/m/7/compose", "/m/7/compose/auto", "/m/7/f/1", "/m/7/folders", "/m/7/settings"} {
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%s with %v: the page failed", target, f)
					}
				}()
				if w := s.ask(7, target, f); w.Code >= 500 {
					t.Errorf("%s with %v: status %d", target, f, w.Code)
				}
			}()
		}
	}
}

func TestTypedAddressesAreUnderstood(t *testing.T) {
	for text, want := range map[string]string{
		"a@b.de":                                   "a@b.de",
		"a@b.de, c@d.de;e@f.de\ng@h.de":            "a@b.de c@d.de e@f.de g@h.de",
		"Müller, Eva <eva@b.de>":                   "[Müller, Eva]eva@b.de",
		`"Müller, Eva" <eva@b.de>, Max <max@b.de>`: "[Müller, Eva]eva@b.de [Max]max@b.de",
		"Eva <eva@b.de>,":                          "[Eva]eva@b.de",
		"eva@müller.de":                            "eva@xn--mller-kva.de",
		"eva":                                      "!eva",
		"eva@":                                     "!eva@",
		"a@b.de\r\nBcc: x@y.de":                    "a@b.de !Bcc: x@y.de",
		"":                                         "",
	} {
		list, wrong := parseTyped(text)
		var got []string
		for _, a := range list {
			if a.Name != "" {
				got = append(got, "["+a.Name+"]"+a.Address.String())
			} else {
				got = append(got, a.Address.String())
			}
		}
		for _, w := range wrong {
			got = append(got, "!"+w)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, wanted %q", text, strings.Join(got, " "), want)
		}
	}
}

func FuzzWhatIsTypedBecomesAMailThatReadsTheSame(f *testing.F) {
	f.Add("Eva <eva@b.de>", "Größe\r\nBcc: x@y.de", "Text\n.\n\x00")
	f.Fuzz(func(t *testing.T, to, subject, text string) {
		k := &desk{}
		k.grant.Address = doppelboden.Address{Local: "p7", Domain: "stadt.example"}
		k.grant.Name = to
		m, err := k.build(draft{To: to, Subject: line(subject), Text: text}, nil, newTown().now, true)
		if err != nil {
			t.Fatal(err)
		}
		l, err := letter.Parse(bytes.NewReader(m.bytes), letter.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(l.People("From")); n != 1 {
			t.Errorf("%d senders in %q", n, m.bytes)
		}
		head, _, _ := bytes.Cut(m.bytes, []byte("\r\n\r\n"))
		if bytes.Contains(head, []byte("\r\nBcc: x@y.de")) || bytes.Contains(bytes.ReplaceAll(m.bytes, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("the mail is malformed: %q", m.bytes)
		}
	})
}

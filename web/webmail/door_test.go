package webmail

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppelboden"
)

func TestOtherPeoplesMailboxesDoNotExist(t *testing.T) {
	s := newSite(t)
	uid := s.put(8, 1, 0, simple)
	for _, target := range []string{"/m/8/", "/m/8/f/1", fmt.Sprintf("/m/8/f/1/%d.v1", uid), fmt.Sprintf("/m/8/f/1/%d.v1/html", uid), fmt.Sprintf("/m/8/f/1/%d.v1/source", uid),
		fmt.Sprintf("/m/8/f/1/%d.v1/part/1", uid), "/m/8/compose", "/m/8/search?q=bauantrag", "/m/8/book", "/m/8/settings", "/m/8/absence", "/m/8/folders", "/m/8/fresh", "/m/8/complete?to=pe",
		"/m/10/f/1", "/m/-1/f/1", "/m/x/f/1", "/m/99999999999999999999/f/1"} {
		if w := s.ask(7, target, nil); w.Code != http.StatusNotFound {
			t.Errorf("person 7 at %s: status %d, wanted 404", target, w.Code)
		}
		if w := s.ask(0, target, nil); w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), "/login") {
			t.Errorf("nobody at %s: status %d, wanted the log-in", target, w.Code)
		}
	}
	for _, target := range []string{"/m/8/f/1", "/m/8/compose", "/m/8/compose/auto", "/m/8/folders", "/m/8/settings", "/m/8/absence", "/m/8/f/6/empty", fmt.Sprintf("/m/8/f/1/%d.v1/take", uid)} {
		if w := s.ask(7, target, url.Values{"do": {"delete"}, "uid": {fmt.Sprint(uid)}, "key": {strings.Repeat("k", 30)}, "v": {"v1"}, "sure": {"1"}}); w.Code != http.StatusNotFound {
			t.Errorf("person 7 writes to %s: status %d, wanted 404", target, w.Code)
		}
	}
	for _, o := range s.opened {
		if strings.HasSuffix(o, ":8") {
			t.Errorf("mailbox 8 was opened: %s", o)
		}
	}
}

func TestAListShowsTheNewestFiftyAndLeadsToTheRest(t *testing.T) {
	s := newSite(t)
	for i := range 120 {
		s.put(7, 1, doppelboden.Seen, fmt.Sprintf("From: a@example.org\r\nSubject: mail number %d.\r\nMessage-ID: <%d@x>\r\n\r\nx\r\n", i, i))
	}
	first := s.page(7, "/m/7/f/1")
	s.has("the first page", first, "mail number 119.", "mail number 70.", "/m/7/f/1?before=71.v1")
	if strings.Contains(first, "mail number 69.") || strings.Contains(first, `?after=`) {
		t.Errorf("the first page shows more than 50, or leads to newer ones: %s", first)
	}
	second := s.page(7, "/m/7/f/1?before=71.v1")
	s.has("the second page", second, "mail number 69.", "mail number 20.", "?before=21.v1", "?after=70.v1")
	last := s.page(7, "/m/7/f/1?before=21.v1")
	s.has("the last page", last, "mail number 19.", "mail number 0.", "?after=20.v1")
	if strings.Contains(last, `href="/m/7/f/1?before=`) {
		t.Error("the last page leads to older ones")
	}
	s.has("back from the last page", s.page(7, "/m/7/f/1?after=20.v1"), "mail number 20.", "mail number 69.", "?after=70.v1", "?before=21.v1")
}

func TestConversationsStandTogether(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	s.put(7, 1, 0, "From: x@example.org\r\nSubject: Anderes\r\nMessage-ID: <2@x>\r\n\r\nx\r\n")
	s.put(7, 1, 0, "From: eva@example.org\r\nSubject: Re: Bauantrag\r\nIn-Reply-To: <1@example.org>\r\nReferences: <1@example.org>\r\nMessage-ID: <3@x>\r\n\r\nx\r\n")
	page := s.page(7, "/m/7/f/1")
	s.has("the list", page, "eine frühere Nachricht dieser Unterhaltung")
	if a, b := strings.Index(page, "Re: Bauantrag"), strings.Index(page, "Anderes"); a < 0 || b < a {
		t.Errorf("the newest conversation is not first: %d, %d", a, b)
	}
	s.has("the conversation of a mail", s.page(7, "/m/7/f/1/3.v1/thread"), "/m/7/f/1/1.v1")
}

func TestAMailIsReadAndMarked(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	s.has("the list before", s.page(7, "/m/7/f/1"), `class="mail unread"`)
	s.has("the mail", s.page(7, "/m/7/f/1/1.v1"), "Bauantrag", "wann ist Sitzung?", "Eva Stern", "eva@example.org", "compose?reply=1.1.v1")
	if f := s.boxes[7].lying[1][0].Flags; f&doppelboden.Seen == 0 {
		t.Errorf("flags after reading: %b", f)
	}
	if w := s.ask(7, "/m/7/f/1/99.v1", nil); w.Code != http.StatusNotFound {
		t.Errorf("a mail that is not there: status %d", w.Code)
	}
}

const hostile = "From: =?utf-8?q?=3Cscript=3Ealert=281=29=3C=2Fscript=3E?= <\"><img src=x onerror=alert(2)>\"@example.org>\r\n" +
	"Subject: =?utf-8?q?=22=3E=3Cimg_src=3Dx_onerror=3Dalert=283=29=3E?=\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/html\r\n\r\n<script>alert(4)</script><p onclick=alert(5)>Hallo</p><form action=https://evil.example><input name=password></form><img src=https://evil.example/pixel.gif><svg onload=alert(6)>\r\n" +
	"--b\r\nContent-Type: text/html; name=\"x.html\"\r\nContent-Disposition: attachment; filename=\"../../etc/<b>passwd\r\n\t\"\r\n\r\n<script>alert(7)</script>\r\n" +
	"--b\r\nContent-Type: image/svg+xml\r\nContent-Disposition: attachment; filename=\"a.svg\"\r\n\r\n<svg xmlns='http://www.w3.org/2000/svg' onload='alert(8)'/>\r\n" +
	"--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=\"not.png\"\r\n\r\n<html><script>alert(9)</script>\r\n--b--\r\n"

func TestAHostileMailIsShownWithoutAnythingActive(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, hostile)
	for _, target := range []string{"/m/7/f/1", "/m/7/f/1/1.v1", "/m/7/f/1/1.v1?plain=1", "/m/7/compose?reply=1.1.v1", "/m/7/compose?forward=1.1.v1"} {
		page := s.page(7, target)
		for _, bad := range []string{"<script>alert", "<img src=x", "onclick=alert"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %q", target, bad)
			}
		}
	}
	s.has("the mail's page", s.page(7, "/m/7/f/1/1.v1"), `sandbox="allow-popups allow-popups-to-escape-sandbox"`, "Bilder aus dem Internet werden nicht gezeigt", "?remote=1")
	w := s.ask(7, "/m/7/f/1/1.v1/html", nil)
	body, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, bad := range []string{"alert(", "evil.example", "<form", "<input"} {
		if strings.Contains(body, bad) {
			t.Errorf("the frame holds %q: %s", bad, body)
		}
	}
	s.has("the frame", body, "Hallo")
	for _, want := range []string{"sandbox", "default-src 'none'", "form-action 'none'", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the frame's policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "allow-scripts") || strings.Contains(policy, "allow-same-origin") {
		t.Errorf("the frame may do too much: %s", policy)
	}
}

func TestFilesGoOutAsDownloadsUnderHarmlessNames(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, hostile)
	w := s.ask(7, "/m/7/f/1/1.v1/part/2", nil)
	d := w.Header().Get("Content-Disposition")
	if w.Code != 200 || !strings.HasPrefix(d, "attachment;") || strings.ContainsAny(d, "/\\<>\r\n") || strings.Contains(d, "..") ||
		w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("an HTML file goes out as %v", w.Header())
	}
	for path, want := range map[string]int{"part/9": 404, "part/..%2f..%2fetc": 404, "bytes/2": 404, "bytes/3": 404, "bytes/4": 404, "view/2": 404, "view/3": 404} {
		if w := s.ask(7, "/m/7/f/1/1.v1/"+path, nil); w.Code != want {
			t.Errorf("%s: status %d, wanted %d", path, w.Code, want)
		}
	}
	for _, name := range []string{"../../etc/passwd", `C:\Windows\evil.exe`, "a\r\nSet-Cookie: x=1", "\u202egpj.exe", "", "....", strings.Repeat("ä", 500) + ".pdf", `a"; filename="b`} {
		d := disposition("attachment", name)
		if strings.ContainsAny(d, "\r\n/\\") || len(d) > 900 || strings.Count(d, `"`) != 2 {
			t.Errorf("disposition of %q: %s", name, d)
		}
	}
}

func TestWhatIsMovedComesBackWithUndo(t *testing.T) {
	s := newSite(t)
	for range 3 {
		s.put(7, 1, 0, simple)
	}
	w := s.ask(7, "/m/7/f/1", url.Values{"v": {"v1"}, "do": {"delete"}, "uid": {"1", "3"}, "back": {"/m/7/f/1?before=9.v1"}})
	at := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/m/7/f/1?") || !strings.Contains(at, "before=9") {
		t.Fatalf("after deleting: status %d to %q", w.Code, at)
	}
	if in, bin := len(s.boxes[7].lying[1]), len(s.boxes[7].lying[6]); in != 1 || bin != 2 {
		t.Fatalf("after deleting two of three: %d in the inbox, %d in the bin", in, bin)
	}
	s.has("the page after", s.page(7, at), "2 Nachrichten liegen im Papierkorb.", `action="/m/7/f/6"`, `name="uid" value="1,2"`, `name="v" value="v6"`, `name="to" value="1"`)
	s.ask(7, "/m/7/f/6", url.Values{"v": {"v6"}, "do": {"undo"}, "uid": {"1,2"}, "to": {"1"}})
	if in, bin := len(s.boxes[7].lying[1]), len(s.boxes[7].lying[6]); in != 3 || bin != 0 {
		t.Errorf("after undo: %d in the inbox, %d in the bin", in, bin)
	}
}

func TestWhatIsMovedIsSaidToBeMoved(t *testing.T) {
	s := newSite(t)
	uid := s.put(7, 1, 0, simple)
	s.dead = true
	w := s.ask(7, "/m/7/f/1", url.Values{"do": {"archive"}, "uid": {fmt.Sprint(uid)}, "v": {"v1"}})
	at := w.Header().Get("Location")
	if len(s.boxes[7].lying[4]) != 1 || w.Code != http.StatusSeeOther || !strings.Contains(at, "done=archived") || !strings.Contains(at, "v=v4") {
		t.Errorf("%d mails in the archive, status %d to %q; wanted one, and 303 to a list that says so", len(s.boxes[7].lying[4]), w.Code, at)
	}
}

func TestNothingIsGoneForGoodWithoutAQuestion(t *testing.T) {
	s := newSite(t)
	s.put(7, 6, 0, simple)
	s.put(7, 6, 0, simple)
	for _, target := range []string{"/m/7/f/6", "/m/7/f/6/empty"} {
		w := s.ask(7, target, url.Values{"do": {"remove"}, "uid": {"1"}, "v": {"v6"}})
		s.has("the question", w.Body.String(), "Endgültig löschen?", "Nein, behalten")
		if n := len(s.boxes[7].lying[6]); n != 2 {
			t.Fatalf("%s: %d mails after the question alone", target, n)
		}
	}
	s.ask(7, "/m/7/f/6", url.Values{"v": {"v6"}, "do": {"remove"}, "uid": {"1"}, "sure": {"1"}})
	if n := len(s.boxes[7].lying[6]); n != 1 {
		t.Errorf("%d mails after one was removed", n)
	}
	if w := s.ask(7, "/m/7/f/1/empty", url.Values{"v": {"v1"}, "sure": {"1"}}); w.Code != http.StatusNotFound {
		t.Errorf("emptying the inbox: status %d, wanted 404", w.Code)
	}
	s.ask(7, "/m/7/f/6/empty", url.Values{"v": {"v6"}, "sure": {"1"}})
	if n := len(s.boxes[7].lying[6]); n != 0 {
		t.Errorf("%d mails in the emptied bin", n)
	}
}

func TestAFormLeadsNowhereElse(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	for _, back := range []string{"https://evil.example/", "//evil.example", "/m/8/f/1", "/login", "/\\evil.example"} {
		w := s.ask(7, "/m/7/f/1", url.Values{"v": {"v1"}, "do": {"read"}, "uid": {"1"}, "back": {back}})
		if at := w.Header().Get("Location"); !strings.HasPrefix(at, "/m/7/f/1?") {
			t.Errorf("back %q leads to %q", back, at)
		}
	}
}

func TestAListSaysWhoseItIsWhereSomebodyHasSeveralMailboxes(t *testing.T) {
	s := newSite(t)
	for mailbox, whose := range map[int]string{7: "Person 7", 9: "Person 9"} {
		page := s.page(7, fmt.Sprintf("/m/%d/f/1", mailbox))
		s.has("the heading of "+whose, page, `<span class="whose">`+whose+`</span>`)
		s.has("the title of "+whose, page, "<title>Posteingang, "+whose)
	}
	s.grants[7] = s.grants[7][:1]
	if page := s.page(7, "/m/7/f/1"); strings.Contains(page, "whose") {
		t.Error("who has one mailbox is told whose it is")
	}
}

func TestTwoPeopleSeeWhoAnswers(t *testing.T) {
	s := newSite(t)
	s.put(9, 1, 0, simple)
	s.put(7, 1, 0, simple)
	s.page(7, "/m/9/compose?reply=1.1.v1")
	s.has("the other's list", s.page(8, "/m/9/f/1"), "Person 7 antwortet")
	s.has("the other's mail", s.page(8, "/m/9/f/1/1.v1"), "Person 7 antwortet auf diese Nachricht.")
	s.has("the other's answer", s.page(8, "/m/9/compose?reply=1.1.v1"), "Person 7 antwortet schon")
	s.has("her own mail", s.page(7, "/m/9/f/1/1.v1"), "Die anderen sehen")
	s.ask(7, "/m/9/f/1/1.v1/take", url.Values{"do": {"release"}})
	if page := s.page(8, "/m/9/f/1"); strings.Contains(page, "antwortet") {
		t.Error("the mark is still there after it was taken away")
	}
	s.page(7, "/m/9/compose?reply=1.1.v1")
	s.mu.Lock()
	s.now = s.now.Add(takenFor + 1)
	s.mu.Unlock()
	if page := s.page(8, "/m/9/f/1"); strings.Contains(page, "antwortet") {
		t.Error("the mark is still there after its time")
	}
	s.page(7, "/m/7/compose?reply=1.1.v1")
	if len(s.slips) != 1 {
		t.Errorf("in one's own mailbox a mark was made: %v", s.slips)
	}
}

func TestEveryMailOfTheCollectionIsShown(t *testing.T) {
	root := "../../../shared/mails"
	if _, err := os.Stat(root); err != nil {
		t.Skip("the collection of mails is not on this machine")
	}
	s := newSite(t)
	count := 0
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".md") || filepath.Base(path) == "LICENSE" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		count++
		uid := s.put(7, 1, 0, string(text))
		for _, target := range []string{"", "?plain=1", "/html", "/html?remote=1", "/thread", "/source"} {
			w := s.ask(7, fmt.Sprintf("/m/7/f/1/%d.v1%s", uid, target), nil)
			if w.Code != 200 {
				t.Errorf("%s%s: status %d", path, target, w.Code)
			}
			if body := w.Body.String(); strings.HasPrefix(target, "/html") && strings.Contains(strings.ToLower(body), "<script") {
				t.Errorf("%s%s holds a script", path, target)
			}
		}
		for _, kind := range []string{"reply", "forward"} {
			if w := s.ask(7, fmt.Sprintf("/m/7/compose?%s=1.%d.v1", kind, uid), nil); w.Code != 200 {
				t.Errorf("%s of %s: status %d", kind, path, w.Code)
			}
		}
		s.boxes[7].lying[1] = nil // or every list and conversation parses all of them again
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count < 50 {
		t.Errorf("only %d mails were shown", count)
	}
}

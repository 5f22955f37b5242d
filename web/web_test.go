package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
)

// sessions knows one session.
type sessions map[string]Visitor

func (s sessions) Visitor(_ context.Context, cookie string) (Visitor, error) {
	if v, ok := s[cookie]; ok {
		return v, nil
	}
	return Visitor{}, &doppelboden.Error{Code: doppelboden.NotFound}
}

const (
	known   = "a-session-that-the-rooms-have-made"
	browser = "the-secret-of-one-browser"
)

// newServer returns a server at "https://example.com" with a page that changes something.
func newServer(t *testing.T) (s *Server, changed *int) {
	t.Helper()
	s, err := New(Options{Sessions: sessions{known: {Person: 7, Name: "Ada Muster"}, "of another": {Person: 8}}, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	changed = new(int)
	s.Mount("POST /change", s.Handler(func(w http.ResponseWriter, r *http.Request) error {
		*changed++
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	s.Mount("GET /who", s.Handler(func(w http.ResponseWriter, r *http.Request) error {
		v := VisitOf(r)
		if v.Visitor == nil {
			return ErrLogIn
		}
		_, _ = io.WriteString(w, v.Visitor.Name)
		return nil
	}))
	return s, changed
}

// ask sends a request as a browser does that has cookies.
func ask(s *Server, method, target string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "https://127.0.0.1"+target, body)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: known})
	r.AddCookie(&http.Cookie{Name: visitCookie, Value: browser})
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Root().ServeHTTP(w, r)
	return w
}

func withoutCookies(r *http.Request) { r.Header.Del("Cookie") }

func TestAFormOfAnotherSiteChangesNothing(t *testing.T) {
	good := url.Values{"token": {tokenOf(browser)}}
	for name, tc := range map[string]struct {
		form   url.Values
		change func(*http.Request)
		want   int
	}{
		"our own page":                    {good, func(r *http.Request) { r.Header.Set("Origin", "https://127.0.0.1") }, 1},
		"our own page by htmx":            {url.Values{}, func(r *http.Request) { r.Header.Set(tokenHeader, tokenOf(browser)) }, 1},
		"no token":                        {url.Values{}, nil, 0},
		"a wrong token":                   {url.Values{"token": {tokenOf("another")}}, nil, 0},
		"another origin":                  {good, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 0},
		"an opaque origin":                {good, func(r *http.Request) { r.Header.Set("Origin", "null") }, 0},
		"another site":                    {good, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 0},
		"a neighbour in the domain":       {good, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 0},
		"the session itself as the token": {url.Values{"token": {known}}, nil, 0},
		"the token of a short cookie": {url.Values{"token": {tokenOf("short")}}, func(r *http.Request) {
			withoutCookies(r)
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: known})
			r.AddCookie(&http.Cookie{Name: visitCookie, Value: "short"})
		}, 0},
	} {
		s, changed := newServer(t)
		w := ask(s, "POST", "/change", tc.form, tc.change)
		if *changed != tc.want {
			t.Errorf("%s: %d changes, wanted %d (status %d)", name, *changed, tc.want, w.Code)
		}
		if tc.want == 0 && w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d, wanted 403", name, w.Code)
		}
	}
}

func TestATokenInALargeFormIsFound(t *testing.T) {
	s, changed := newServer(t)
	took := 0
	s.MountLarge("POST /large", 4<<20, s.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		f, _, err := r.FormFile("file")
		if err != nil {
			return err
		}
		all, err := io.ReadAll(f)
		took = len(all)
		return err
	}))
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.WriteField("token", tokenOf(browser))
	part, _ := m.CreateFormFile("file", "a.bin")
	_, _ = part.Write(make([]byte, 3<<20))
	_ = m.Close()
	send := func(target string) *httptest.ResponseRecorder {
		return ask(s, "POST", target, nil, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b.Bytes())), int64(b.Len())
			r.Header.Set("Content-Type", m.FormDataContentType())
		})
	}
	if w := send("/large"); w.Code != http.StatusOK || took != 3<<20 {
		t.Errorf("a form of 3 MiB where 4 are allowed: status %d, %d bytes arrived", w.Code, took)
	}
	if w := send("/change"); w.Code != http.StatusRequestEntityTooLarge || *changed != 0 {
		t.Errorf("the same where 1 MiB is allowed: status %d, %d changes", w.Code, *changed)
	}
}

func TestWhatWasWrittenArrivesWhenAFileIsTooLarge(t *testing.T) {
	s, _ := newServer(t)
	s.MountForm("POST /write", 2<<20, s.Handler(func(w http.ResponseWriter, r *http.Request) error {
		_, _, err := r.FormFile("file")
		_, _ = fmt.Fprintf(w, "cut %v, text %q, behind %q, no file %v", Cut(r), r.PostFormValue("text"), r.PostFormValue("behind"), err != nil)
		return nil
	}))
	node := httptest.NewServer(s.Root())
	defer node.Close()
	for _, tc := range []struct {
		what       string
		text, size int
		session    string
		code       int
		want       string
	}{
		{"a form that fits", 5, 1 << 20, known, http.StatusOK, `cut false, text "xxxxx", behind "y", no file false`},
		{"a file that is too large", 5, 8 << 20, known, http.StatusOK, `cut true, text "xxxxx", behind "", no file true`},
		{"the same of somebody whose session has ended", 5, 2 << 20, "over", http.StatusOK, `cut true, text "xxxxx", behind "", no file true`},
		{"a text that is too large", 3 << 20, 5, known, http.StatusRequestEntityTooLarge, ""},
	} {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		_ = m.WriteField("token", tokenOf(browser))
		_ = m.WriteField("text", strings.Repeat("x", tc.text))
		part, _ := m.CreateFormFile("file", "a.bin")
		_, _ = part.Write(make([]byte, tc.size))
		_ = m.WriteField("behind", "y")
		_ = m.Close()
		r, err := http.NewRequest(http.MethodPost, node.URL+"/write", &b)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", m.FormDataContentType())
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: tc.session})
		r.AddCookie(&http.Cookie{Name: visitCookie, Value: browser})
		c, err := net.Dial("tcp", node.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := r.Write(c); err != nil { // as browsers do: all of it, and then the answer is read
			t.Errorf("%s: it cannot be sent: %v", tc.what, err)
			continue
		}
		w, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			t.Errorf("%s: there is no answer: %v", tc.what, err)
			continue
		}
		got, _ := io.ReadAll(w.Body)
		w.Body.Close()
		if w.StatusCode != tc.code || tc.want != "" && string(got) != tc.want {
			t.Errorf("%s: status %d, %q; wanted %d, %q", tc.what, w.StatusCode, got[:min(len(got), 200)], tc.code, tc.want)
		}
	}
}

func TestOnePersonDoesNotHoldAllPlacesForLargeUploads(t *testing.T) {
	s, _ := newServer(t)
	s.MountLarge("POST /large", 4<<20, s.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
	type upload struct {
		body *io.PipeWriter
		end  chan *httptest.ResponseRecorder
	}
	begin := func(session string) upload {
		r, w := io.Pipe()
		u := upload{w, make(chan *httptest.ResponseRecorder, 1)}
		go func() {
			u.end <- ask(s, "POST", "/large", nil, func(q *http.Request) {
				withoutCookies(q)
				q.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
				q.AddCookie(&http.Cookie{Name: visitCookie, Value: browser})
				q.Body, q.ContentLength = r, 3<<20
				q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				q.Header.Set(tokenHeader, tokenOf(browser))
			})
			r.Close()
		}()
		_, _ = io.WriteString(w, "a=b") // returns when it is read, or refused
		return u
	}
	finish := func(u upload) int { u.body.Close(); return (<-u.end).Code }
	first, second := begin(known), begin(known)
	third := begin(known)
	third.body.Close()
	if w := <-third.end; w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "Es sind noch große Dateien von Ihnen unterwegs.") {
		t.Errorf("her third upload at once: status %d: %s", w.Code, w.Body)
	}
	if code := finish(begin("of another")); code != http.StatusNoContent {
		t.Errorf("somebody else's upload: status %d, wanted 204", code)
	}
	for _, u := range []upload{first, second} {
		if code := finish(u); code != http.StatusNoContent {
			t.Errorf("one of her two uploads: status %d, wanted 204", code)
		}
	}
	if code := finish(begin(known)); code != http.StatusNoContent || len(s.large.of) != 0 || s.large.all != 0 {
		t.Errorf("afterwards: status %d, %d places held", code, s.large.all)
	}
}

func TestASessionComesOnlyFromTheRooms(t *testing.T) {
	s, _ := newServer(t)
	for _, value := range []string{"planted-by-somebody-else", strings.Repeat("x", 5000)} {
		w := ask(s, "GET", "/who", nil, func(r *http.Request) {
			withoutCookies(r)
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: value})
		})
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), LogInPath) {
			t.Errorf("session %.20q: status %d to %q, wanted the log-in", value, w.Code, w.Header().Get("Location"))
		}
		for _, c := range w.Result().Cookies() {
			if c.Name == sessionCookie && c.Value != "" {
				t.Errorf("the session %q came back from us", c.Value)
			}
		}
	}
	w := httptest.NewRecorder()
	SetSession(w, "fresh")
	c := w.Result().Cookies()[0]
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("the session's cookie is %q", c.String())
	}
}

func TestNobodyFramesOurPagesAndNothingInlineRuns(t *testing.T) {
	s, _ := newServer(t)
	for _, target := range []string{"/who", "/nowhere", "/static/none.js"} {
		h := ask(s, "GET", target, nil, nil).Header()
		p := h.Get("Content-Security-Policy")
		if h.Get("X-Frame-Options") != "DENY" || !strings.Contains(p, "frame-ancestors 'none'") {
			t.Errorf("%s may be framed: %q, %q", target, h.Get("X-Frame-Options"), p)
		}
		if strings.Contains(p, "unsafe") || !strings.Contains(p, "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: policy %q", target, p)
		}
	}
}

func TestARedirectLeadsToOurselves(t *testing.T) {
	s, _ := newServer(t)
	for _, back := range []string{"//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)", "", "evil"} {
		w := ask(s, "GET", "/language?to=en&back="+url.QueryEscape(back), nil, nil)
		if at := w.Header().Get("Location"); at != "/" {
			t.Errorf("back=%q leads to %q, wanted /", back, at)
		}
	}
	w := ask(s, "GET", "/language?to=en&back="+url.QueryEscape("/m/1/f/2?before=3"), nil, nil)
	if at := w.Header().Get("Location"); at != "/m/1/f/2?before=3" {
		t.Errorf("back to a page of ours leads to %q", at)
	}
}

func TestOtherHostsAreRefused(t *testing.T) {
	s, _ := newServer(t)
	for host, want := range map[string]int{"127.0.0.1": 200, "127.0.0.1:8443": 200, "localhost:8443": 200,
		"evil.example": 421, "": 421, "127.0.0.2": 421, "127.0.0.1.evil.example": 421} {
		w := ask(s, "GET", "/who", nil, func(r *http.Request) { r.Host = host })
		if w.Code != want {
			t.Errorf("host %q: status %d, wanted %d", host, w.Code, want)
		}
		if want != 200 && strings.Contains(w.Body.String(), "evil") {
			t.Errorf("host %q stands in the answer", host)
		}
	}
}

func TestTheLanguageIsTheBrowsersOrTheOneThatWasClicked(t *testing.T) {
	s, _ := newServer(t)
	for accept, want := range map[string]string{"": "de", "de-AT,de;q=0.9": "de", "en-US,en;q=0.5": "en", "fr,en;q=0.5": "en", "tr": "de", "not;;a=header": "de"} {
		w := ask(s, "GET", "/nowhere", nil, func(r *http.Request) { r.Header.Set("Accept-Language", accept) })
		if got := w.Header().Get("Content-Language"); got != want || !strings.Contains(w.Body.String(), `<html lang="`+want+`">`) {
			t.Errorf("Accept-Language %q: page in %q, wanted %q", accept, got, want)
		}
	}
	w := ask(s, "GET", "/nowhere", nil, func(r *http.Request) {
		r.Header.Set("Accept-Language", "de")
		r.AddCookie(&http.Cookie{Name: languageCookie, Value: "en"})
	})
	if got := w.Header().Get("Content-Language"); got != "en" {
		t.Errorf("after a click on English: %q", got)
	}
}

func TestFilesNeverChangeUnderTheirNameAndPagesAreNotKept(t *testing.T) {
	s, _ := newServer(t)
	page := ask(s, "GET", "/nowhere", nil, nil)
	if page.Header().Get("Cache-Control") != "no-store" || page.Header().Get("Content-Encoding") != "" {
		t.Errorf("a page is kept or compressed: %v", page.Header())
	}
	found := regexp.MustCompile(`/static/[a-z]+\.[0-9a-f]{12}\.(css|js|svg)`).FindAllString(page.Body.String(), -1)
	if len(found) < 4 {
		t.Fatalf("files of a page: %v", found)
	}
	for _, at := range found {
		w := ask(s, "GET", at, nil, func(r *http.Request) { withoutCookies(r); r.Header.Set("Accept-Encoding", "gzip") })
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: status %d, %v", at, w.Code, w.Header())
		}
	}
}

func TestAMistakeSaysWhatToDoNext(t *testing.T) {
	s, _ := newServer(t)
	for code, want := range map[doppelboden.Code]int{doppelboden.Temporary: 503, doppelboden.NotFound: 404, doppelboden.Policy: 403,
		doppelboden.Invalid: 400, doppelboden.TooLarge: 413, doppelboden.Busy: 429, doppelboden.StorageFull: 503} {
		pattern := "GET /wrong/" + code.String()
		s.Mount(pattern, s.Handler(func(http.ResponseWriter, *http.Request) error {
			return &doppelboden.Error{Code: code, Public: "a public text", Cause: io.ErrUnexpectedEOF}
		}))
		w := ask(s, "GET", "/wrong/"+code.String(), nil, nil)
		if w.Code != want || !strings.Contains(w.Body.String(), "<h1>") || !strings.Contains(w.Body.String(), `href="/"`) {
			t.Errorf("%v: status %d, wanted %d and a page with a way on", code, w.Code, want)
		}
		if strings.Contains(w.Body.String(), "EOF") {
			t.Errorf("%v: the cause stands on the page", code)
		}
	}
}

package webmail

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/city"
	"doppelboden/web"
)

// A site is the door with its server, and people with sessions: the cookie "person-7" is
// that of person 7.
type site struct {
	*town
	t       *testing.T
	handler http.Handler
	door    *Door
	dir     *city.Directory
	htmx    bool // requests come from a script
}

func (s *site) Visitor(_ context.Context, cookie string) (web.Visitor, error) {
	var n int64
	if _, err := fmt.Sscanf(cookie, "person-%d", &n); err != nil {
		return web.Visitor{}, &doppelboden.Error{Code: doppelboden.NotFound}
	}
	return web.Visitor{Person: n, Tenant: 1, Name: fmt.Sprintf("Person %d", n), Address: doppelboden.Address{Local: fmt.Sprintf("p%d", n), Domain: "stadt.example"}}, nil
}

// newSite returns a town of two people with mailboxes of their own, who share a third:
// persons 7 and 8, mailboxes 7, 8 and 9.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{town: newTown(), t: t}
	c, err := city.Parse("city.toml", []byte(`format = 1
[[tenant]]
name = "stadt"
domains = ["stadt.example"]
postmaster = "postmaster@stadt.example"
[[tenant.route]]
name = "here"
here = true
`))
	if err != nil {
		t.Fatal(err)
	}
	var boxes []doppelboden.Mailbox
	for id := doppelboden.MailboxID(7); id <= 9; id++ {
		s.add(id)
		boxes = append(boxes, doppelboden.Mailbox{ID: id, Tenant: 1, Address: doppelboden.Address{Local: fmt.Sprintf("p%d", id), Domain: "stadt.example"},
			Name: fmt.Sprintf("Person %d", id), Kind: doppelboden.Person, Department: "Bauamt"})
	}
	s.dir = city.NewDirectory(c, []doppelboden.Tenant{{ID: 1, Name: "stadt"}}, boxes)
	grant := func(id doppelboden.MailboxID, kind string) account.Grant {
		return account.Grant{Mailbox: id, Address: boxes[id-7].Address, Name: boxes[id-7].Name, Kind: kind}
	}
	s.grants[7] = []account.Grant{grant(7, account.GrantOwn), grant(9, account.GrantFunction)}
	s.grants[8] = []account.Grant{grant(8, account.GrantOwn), grant(9, account.GrantFunction)}
	var door *Door
	server, err := web.New(web.Options{State: func(ctx context.Context, v *web.Visit, m int64) []web.Notice { return door.State(ctx, v, m) }, Sessions: s, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registry: prometheus.NewRegistry(), Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	door, err = New(Options{Standing: s.standing, SetMode: s.setMode, Server: server, Open: s.open, People: s.town, Search: s.town, Slips: s.town, Directory: func() *city.Directory { return s.dir },
		MostBytes: 20 << 20, Log: slog.New(slog.DiscardHandler), Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	s.handler, s.door = server.Root(), door
	return s
}

func (s *site) standing(context.Context, doppelboden.TenantID, doppelboden.MailboxID) (Standing, error) {
	return s.stands, nil
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// ask sends a request as a person; form nil: GET.
func (s *site) ask(person int, target string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.upload(person, target, form, nil)
}

// upload is ask with a file in the form, behind its fields.
func (s *site) upload(person int, target string, form url.Values, file []byte) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://127.0.0.1"+target, nil)
	if form != nil {
		page := s.ask(7, "/m/7777/f/1", nil) // any page has the browser's token
		token := regexp.MustCompile(`X-Token":"([^"]+)"`).FindStringSubmatch(page.Body.String())
		if token == nil {
			s.t.Fatalf("no token on the page: %s", page.Body)
		}
		form.Set("token", token[1])
		r = httptest.NewRequest(http.MethodPost, "https://127.0.0.1"+target, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if file != nil {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		for name, values := range form {
			for _, v := range values {
				_ = m.WriteField(name, v)
			}
		}
		part, _ := m.CreateFormFile("file", "plan.bin")
		_, _ = part.Write(file)
		_ = m.Close()
		r = httptest.NewRequest(http.MethodPost, "https://127.0.0.1"+target, &b)
		r.Header.Set("Content-Type", m.FormDataContentType())
	}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	r.AddCookie(&http.Cookie{Name: "__Host-visit", Value: "the-secret-of-one-browser"})
	if person > 0 {
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: fmt.Sprintf("person-%d", person)})
	}
	if s.htmx {
		r.Header.Set("HX-Request", "true")
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// part is ask as a script does it, for a part of a page; without a form: GET.
func (s *site) part(person int, target string, form ...url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	s.htmx = true
	defer func() { s.htmx = false }()
	if len(form) == 0 {
		return s.ask(person, target, nil)
	}
	return s.ask(person, target, form[0])
}

// page is ask for a page that must be there.
func (s *site) page(person int, target string) string {
	s.t.Helper()
	w := s.ask(person, target, nil)
	if w.Code != http.StatusOK {
		s.t.Fatalf("GET %s: status %d, wanted 200: %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

// has fails unless a page holds all texts.
func (s *site) has(what, page string, texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			s.t.Errorf("%s: wanted %q in it, got %s", what, text, mainOf(page))
		}
	}
}

const simple = "From: Eva Stern <eva@example.org>\r\nTo: p7@stadt.example, p8@stadt.example\r\nSubject: Bauantrag\r\nMessage-ID: <1@example.org>\r\nDate: Mon, 13 Jul 2026 10:00:00 +0200\r\n\r\nGuten Tag,\r\nwann ist Sitzung?\r\n"

// mainOf returns what a page says, without its frame.
func mainOf(page string) string {
	if _, after, ok := strings.Cut(page, "<main"); ok {
		page = after
	}
	return strings.Join(strings.Fields(page), " ")
}

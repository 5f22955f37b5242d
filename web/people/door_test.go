package people

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/city"
	"doppelboden/keyring"
	"doppelboden/store/sqlite"
	"doppelboden/web"
)

var ctx = context.Background()

// A site is the door with a real room and database.
type site struct {
	t       *testing.T
	room    *account.Room
	handler http.Handler
	open    bool // there is an event
}

// Now implements account.Events.
func (s *site) Now(doppelboden.TenantID) bool { return s.open }

// Concerned implements account.Events.
func (s *site) Concerned(doppelboden.TenantID) map[doppelboden.MailboxID]time.Time { return nil }

// chain makes links as the store needs them.
type chain struct{ number int64 }

func (c *chain) Next(at time.Time, _ []doppelboden.Entry) doppelboden.Link {
	return doppelboden.Link{Chain: "test", Number: c.number + 1, At: at, Hash: sha256.Sum256(fmt.Appendf(nil, "%d", c.number+1)), Entries: []byte{1}}
}

func (c *chain) Advance(l doppelboden.Link) { c.number = l.Number }

// newSite makes a city with two people in one department and one in another; lines belong
// to [tenant.accounts].
func newSite(t *testing.T, lines string) *site {
	t.Helper()
	s := &site{t: t}
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db"), Chain: &chain{}, Clock: time.Now})
	s.must(err)
	t.Cleanup(func() { db.Close() })
	tenants, err := db.PutTenants(ctx, []string{"stadt"})
	s.must(err)
	var boxes []doppelboden.Mailbox
	for _, who := range []struct{ local, name, department string }{{"anna", "Anna <script>alert(1)</script>", "Bauamt"}, {"bert", "Bert Groß", "Bauamt"}, {"clara", "Clara Weiß", "Standesamt"}} {
		boxes = append(boxes, doppelboden.Mailbox{Tenant: tenants[0].ID, Address: doppelboden.Address{Local: who.local, Domain: "stadt.example"}, Name: who.name, Department: who.department, Kind: doppelboden.Person})
	}
	boxes, err = db.PutMailboxes(ctx, boxes)
	s.must(err)
	c, err := city.Parse("city.toml", []byte("format = 1\n[[tenant]]\nname = \"stadt\"\ndomains = [\"stadt.example\"]\n[[tenant.route]]\nname = \"here\"\nhere = true\n[tenant.accounts]\n"+lines))
	s.must(err)
	dir := city.NewDirectory(c, tenants, boxes)
	key := filepath.Join(t.TempDir(), "master.key")
	s.must(keyring.NewMaster(key))
	master, err := keyring.LoadMaster(key)
	s.must(err)
	ring, err := keyring.Open(ctx, master, db, time.Now)
	s.must(err)
	s.must(ring.Ensure(ctx, []doppelboden.TenantID{tenants[0].ID}))
	s.room, err = account.New(account.Options{Store: db, Directory: func() *city.Directory { return dir }, Keys: ring, Log: slog.New(slog.DiscardHandler),
		Page: func() string { return "https://127.0.0.1" }, Events: s, Mailboxes: s,
		Verify: func(context.Context, city.Tenant, doppelboden.Address, string) (bool, error) {
			return false, errors.New("no directory")
		}})
	s.must(err)
	server, err := web.New(web.Options{Sessions: Sessions{s.room}, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	s.must(err)
	_, err = New(server, s.room, func() Programs { return Programs{Host: "mx.stadt.example", IMAP: 993, SMTP: 587} })
	s.must(err)
	s.handler = server.Root()
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// person returns somebody.
func (s *site) person(local string) account.Person {
	s.t.Helper()
	p, ok := s.room.Find(doppelboden.Address{Local: local, Domain: "stadt.example"})
	if !ok {
		s.t.Fatalf("nobody is called %s", local)
	}
	return p
}

// code makes a sheet's code.
func (s *site) code(local string) string {
	s.t.Helper()
	sheets, err := s.room.Sheets(ctx, []account.Person{s.person(local)}, true, "test")
	s.must(err)
	return sheets[0].Code
}

// A browser keeps cookies.
type browser struct {
	*site
	cookies map[string]*http.Cookie
}

func (s *site) browser() *browser { return &browser{s, map[string]*http.Cookie{}} }

var tokens = regexp.MustCompile(`name="token" value="([^"]+)"`)

// ask sends a request and keeps the cookies of the answer.
func (b *browser) ask(method, path string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	var r *http.Request
	if form == nil {
		r = httptest.NewRequest(method, "https://127.0.0.1"+path, nil)
	} else {
		r = httptest.NewRequest(method, "https://127.0.0.1"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}))
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
			b.t.Errorf("%s %s sets the cookie %v", method, path, c)
		}
		b.cookies[c.Name] = c
	}
	return w
}

// get opens a page.
func (b *browser) get(path string) *httptest.ResponseRecorder { return b.ask("GET", path, nil) }

// post fills in the form on one page and sends it to another.
func (b *browser) post(on, path string, fields ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	m := tokens.FindStringSubmatch(b.get(on).Body.String())
	if m == nil {
		b.t.Fatalf("no form on %s: %s", on, b.get(on).Body)
	}
	form.Set("token", html.UnescapeString(m[1]))
	return b.ask("POST", path, form)
}

const good = "drei kleine worte"

// enrolled is the browser of somebody who has enrolled with her sheet.
func (s *site) enrolled(local string) *browser {
	s.t.Helper()
	b := s.browser()
	b.leads(b.post("/enrol", "/enrol", "code", s.code(local)), "/enrol/password")
	b.leads(b.post("/enrol/password", "/enrol/password", "password", good, "again", good), "/enrol/second")
	return b
}

// leads fails unless an answer leads to a path.
func (b *browser) leads(w *httptest.ResponseRecorder, to string) {
	b.t.Helper()
	if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || at != to && !strings.HasPrefix(at, to+"?") {
		b.t.Fatalf("status %d leads to %q, wanted %q: %s", w.Code, at, to, w.Body)
	}
}

func TestTheLogInLeadsNobodyToAnotherSite(t *testing.T) {
	s := newSite(t, "")
	s.enrolled("bert")
	for to, want := range map[string]string{
		"/m/7/f/1?x=1":         "/m/7/f/1?x=1",
		"":                     "/",
		"https://evil.example": "/",
		"//evil.example/":      "/",
		`/\evil.example`:       "/",
		"/\t/evil.example":     "/",
		"/%2f/../..//x":        "/",
		"javascript:alert(1)":  "/",
		"/logout":              "/",
		"evil.example":         "/",
	} {
		b := s.browser()
		w := b.post("/login?to="+url.QueryEscape(to), "/login", "user", "bert@stadt.example", "password", good, "to", to)
		if at := w.Header().Get("Location"); at != want {
			t.Errorf("with %q it leads to %q, wanted %q", to, at, want)
		}
	}
}

func TestAWrongLogInSaysTheSameForEverybodyAndShowsWhatWasTypedHarmlessly(t *testing.T) {
	s := newSite(t, "")
	s.enrolled("bert")
	var first string
	for _, user := range []string{"bert@stadt.example", "niemand@stadt.example", "clara@stadt.example"} {
		w := s.browser().post("/login", "/login", "user", user, "password", "falsch und falsch")
		page := tokens.ReplaceAllString(strings.ReplaceAll(w.Body.String(), user, "WHO"), "")
		page = regexp.MustCompile(`X-Token[^}]*`).ReplaceAllString(page, "")
		if first == "" {
			first = page
		}
		if w.Code != http.StatusForbidden || page != first || !strings.Contains(page, "stimmt nicht") {
			t.Errorf("%s: status %d and another page than for the first", user, w.Code)
		}
	}
	w := s.browser().post("/login", "/login", "user", `"><script>alert(1)</script>`, "password", "x")
	if strings.Contains(w.Body.String(), "<script>alert") {
		t.Error("what was typed is in the page as it was")
	}
}

func TestASessionThatSomebodyPlantedIsOfNoUse(t *testing.T) {
	s := newSite(t, "")
	attacker := s.browser()
	attacker.leads(attacker.post("/enrol", "/enrol", "code", s.code("clara")), "/enrol/password")
	planted := *attacker.cookies["__Host-session"]
	victim := s.browser()
	victim.cookies["__Host-session"] = &planted
	s.enrolled("bert")
	victim.get("/login") // leads on; she logs in all the same
	victim.cookies = map[string]*http.Cookie{"__Host-session": &planted}
	w := victim.post("/enrol", "/login", "user", "bert@stadt.example", "password", good)
	victim.leads(w, "/")
	if victim.cookies["__Host-session"].Value == planted.Value {
		t.Error("after the log-in the cookie is the planted one")
	}
	if w := attacker.get("/account"); w.Code != http.StatusSeeOther {
		t.Errorf("the attacker's session opens a page: %d", w.Code)
	}
}

func TestHalfASessionOpensNoPage(t *testing.T) {
	s := newSite(t, "second_factor = true")
	nobody, half := s.browser(), s.browser()
	half.leads(half.post("/enrol", "/enrol", "code", s.code("bert")), "/enrol/password")
	for _, path := range []string{"/account", "/vouch", "/readiness"} {
		for who, b := range map[string]*browser{"nobody": nobody, "somebody who enrols": half} {
			w := b.get(path)
			if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/login") {
				t.Errorf("%s at %s: %d, %q, wanted the log-in", who, path, w.Code, at)
			}
		}
	}
	half.leads(half.post("/enrol/password", "/enrol/password", "password", good, "again", good), "/enrol/second")
	if w := half.get("/account"); w.Code != http.StatusSeeOther {
		t.Errorf("a session that needs a second key opens a page: %d", w.Code)
	}
	if w := half.get("/enrol/second"); !strings.Contains(w.Body.String(), "Ihre Stadt verlangt") || strings.Contains(w.Body.String(), "Später") {
		t.Errorf("the page of the second key: %s", w.Body)
	}
}

func TestNamesAreForHeadsAndAdministratorsAlone(t *testing.T) {
	s := newSite(t, "")
	b := s.enrolled("anna")
	for _, path := range []string{"/vouch", "/readiness"} {
		if w := b.get(path); w.Code != http.StatusNotFound {
			t.Errorf("somebody who is nobody's head at %s: %d, wanted that there is no such page", path, w.Code)
		}
	}
	s.must(s.room.Appoint(ctx, s.person("anna"), account.RoleHead, "Bauamt", "test"))
	for _, path := range []string{"/vouch", "/readiness"} {
		page := b.get(path).Body.String()
		if !strings.Contains(page, "Bert Groß") || strings.Contains(page, "Clara") || strings.Contains(page, "Standesamt") || strings.Contains(page, "<script>alert") {
			t.Errorf("a head at %s sees %s", path, page)
		}
	}
	if w := b.post("/vouch", "/vouch", "address", "bert@stadt.example"); !strings.Contains(w.Body.String(), `href="/enrol/second"`) {
		t.Errorf("a head without a second key is not led to where she gets one: %s", w.Body)
	}
	w := b.post("/vouch", "/vouch", "address", "clara@stadt.example")
	if w.Code != http.StatusForbidden {
		t.Errorf("a head vouches for somebody of another department: %d", w.Code)
	}
	s.must(s.room.Appoint(ctx, s.person("anna"), account.RoleAdmin, "", "test"))
	if page := b.get("/readiness").Body.String(); !strings.Contains(page, "Clara Weiß") || !strings.Contains(page, "Standesamt") {
		t.Errorf("an administrator sees %s", page)
	}
}

func TestAClosedDoorLetsPeoplePrepare(t *testing.T) {
	s := newSite(t, `open = "events"`)
	b := s.enrolled("bert")
	if w := b.get("/account"); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "Zum Postfach") {
		t.Errorf("the page of how she logs in: %d", w.Code)
	}
	if w := b.get("/login"); !strings.Contains(w.Body.String(), "Sie sind bereit") {
		t.Errorf("the log-in while the doors are closed: %s", w.Body)
	}
	v, err := Sessions{s.room}.Visitor(ctx, b.cookies["__Host-session"].Value)
	if err != nil || v.Needs != needsOpen {
		t.Errorf("her session needs %q, %v, wanted that nothing opens a mailbox", v.Needs, err)
	}
	w := s.browser().post("/login", "/login", "user", "bert@stadt.example", "password", good)
	if !strings.Contains(w.Body.String(), "gerade nicht offen") {
		t.Errorf("another log-in: %d, %s", w.Code, w.Body)
	}
	s.open = true
	if v, err := (Sessions{s.room}).Visitor(ctx, b.cookies["__Host-session"].Value); err != nil || v.Needs != "" {
		t.Errorf("in an event her session needs %q, %v", v.Needs, err)
	}
}

func TestScriptsThatSendRubbishAreToldInJSON(t *testing.T) {
	s := newSite(t, "")
	b := s.enrolled("bert")
	token := html.UnescapeString(tokens.FindStringSubmatch(b.get("/account").Body.String())[1])
	for _, path := range []string{"/login/passkey/finish", "/enrol/passkey/finish"} {
		r := httptest.NewRequest("POST", "https://127.0.0.1"+path, strings.NewReader(`{"name":"made up","response":{"id":1}}`))
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Token", token)
		for _, c := range b.cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("%s: %d, %s", path, w.Code, w.Body)
		}
	}
}

func TestWhoChangesHerPasswordHearsThatTheOneAtWorkLetsInAsWell(t *testing.T) {
	s := newSite(t, "directory_password_days = 30\n")
	b := s.browser()
	b.post("/enrol", "/enrol", "code", s.code("anna"))
	page := b.get("/enrol/password").Body.String()
	for _, want := range []string{`name="rest" value="1" checked`, "Ihr Passwort von der Arbeit lässt weiter herein. Ändern Sie es auch dort."} {
		if !strings.Contains(page, want) {
			t.Errorf("wanted %q on the page: %s", want, page)
		}
	}
	if strings.Contains(page, "Das sind:") {
		t.Errorf("the page begins to count what ends, and there is nothing: %s", page)
	}
	w := b.post("/enrol/password", "/enrol/password", "password", "drei kleine worte", "again", "drei kleine worte", "rest", "1")
	page = b.get(w.Header().Get("Location")).Body.String()
	if !strings.Contains(page, "Ihr Passwort von der Arbeit lässt weiter herein. Ändern Sie es auch dort.") || strings.Contains(page, "Außerdem beendet") {
		t.Errorf("after it the page does not say what lets in: %s", page)
	}
}

func TestWhoChangesHerPasswordIsAskedAndToldWhatElseEnds(t *testing.T) {
	s := newSite(t, "")
	b := s.browser()
	b.post("/enrol", "/enrol", "code", s.code("anna"))
	if page := b.get("/enrol/password").Body.String(); strings.Contains(page, `name="rest"`) {
		t.Error("who has nothing else is asked whether it is to end")
	}
	b.post("/enrol/password", "/enrol/password", "password", "drei kleine worte", "again", "drei kleine worte")
	s.code("anna")
	made := b.post("/account", "/account/app", "label", "Telefon").Body.String()
	for _, want := range []string{"mx.stadt.example, Port 993, SSL/TLS", "mx.stadt.example, Port 587, STARTTLS", "<dd>anna@stadt.example</dd>", `href="/setup"`} {
		if !strings.Contains(made, want) {
			t.Errorf("the page of a program's password does not say %q: %s", want, made)
		}
	}
	b.post("/account", "/account/app", "label", "Outlook")
	page := b.get("/enrol/password").Body.String()
	for _, want := range []string{`name="rest" value="1" checked`, "2 Programme, ein unbenutzter Code"} {
		if !strings.Contains(page, want) {
			t.Errorf("wanted %q on the page: %s", want, page)
		}
	}
	w := b.post("/enrol/password", "/enrol/password", "password", "drei kleine wort", "again", "drei kleine worte")
	if page := w.Body.String(); !strings.Contains(page, `name="rest" value="1" aria-`) {
		t.Errorf("after a mistake the tick that she took away is back: %s", page)
	}
	w = b.post("/enrol/password", "/enrol/password", "password", "vier andere kleine worte", "again", "vier andere kleine worte", "rest", "1")
	page = b.get(w.Header().Get("Location")).Body.String()
	for _, want := range []string{"Ihr Passwort ist geändert. Angemeldet sind Sie nur noch hier.", "Außerdem beendet: 2 Programme, ein unbenutzter Code."} {
		if !strings.Contains(page, want) {
			t.Errorf("wanted %q on the page after it: %s", want, page)
		}
	}
	ways, err := s.room.Ways(ctx, s.person("anna"), true)
	if err != nil || len(ways) != 1 || ways[0].Kind != "password" {
		t.Errorf("left are %+v, %v; wanted the password alone", ways, err)
	}
}

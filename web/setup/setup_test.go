package setup

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/web"
)

// people are Anna alone, whose session is "anna".
type people struct{ made int }

func (*people) Visitor(_ context.Context, cookie string) (web.Visitor, error) {
	if cookie != "anna" {
		return web.Visitor{}, &doppelboden.Error{Code: doppelboden.NotFound}
	}
	return web.Visitor{Person: 1, Address: doppelboden.Address{Local: "anna", Domain: "stadt.example"}, Name: "Anna & Söhne <b>", Language: "de"}, nil
}

func (p *people) NewApp(_ context.Context, cookie, label string) (string, error) {
	if label == "" {
		return "", &doppelboden.Error{Code: doppelboden.Invalid, Public: "a name is missing"}
	}
	p.made++
	return "abcd-efgh-" + cookie, nil
}

// rig is a server with the pages.
type rig struct {
	t      *testing.T
	root   http.Handler
	people *people
	clock  time.Time
	cert   *tls.Certificate
	ports  Ports

	cookies []*http.Cookie // that a browser keeps
}

func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, people: &people{}, clock: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), ports: Ports{IMAPS: 993, Submission: 587}}
	s, err := web.New(web.Options{Sessions: r.people, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	err = Mount(Options{Server: s, People: r.people, Host: "mx1.stadt.example", Ports: func() Ports { return r.ports },
		Ours:        func(d string) (string, bool) { return "Stadt & Land", d == "stadt.example" },
		Certificate: func() (*tls.Certificate, error) { return r.cert, nil }, Clock: func() time.Time { return r.clock }})
	if err != nil {
		t.Fatal(err)
	}
	r.root = s.Root()
	return r
}

// ask sends a request; body makes it a POST.
func (r *rig) ask(path, session, body string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest("GET", "https://127.0.0.1"+path, nil)
	if body != "" {
		req = httptest.NewRequest("POST", "https://127.0.0.1"+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if session != "" {
		req.AddCookie(&http.Cookie{Name: "__Host-session", Value: session})
	}
	req = req.WithContext(context.WithValue(req.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}))
	req.Header.Set("Accept-Language", "de")
	w := httptest.NewRecorder()
	for _, c := range r.cookies {
		req.AddCookie(c)
	}
	r.root.ServeHTTP(w, req)
	for _, c := range w.Result().Cookies() {
		if c.Name == "__Host-visit" {
			r.cookies = []*http.Cookie{c}
		}
	}
	return w
}

// program runs a program on a text and returns what it says.
func program(t *testing.T, in []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestThunderbirdGetsWhatItsFormatWants(t *testing.T) {
	r := start(t)
	for _, ports := range []Ports{{993, 587, 0}, {993, 587, 465}, {993, 0, 0}} {
		r.ports = ports
		for _, path := range []string{"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=anna%40Stadt.example", "/mail/config-v1.1.xml?emailaddress=niemand@stadt.example"} {
			w := r.ask(path, "", "")
			if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/xml") {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			program(t, w.Body.Bytes(), "xmllint", "--noout", "--nonet", "--relaxng", "testdata/autoconfig.rng", "-")
			if body := w.Body.String(); strings.Contains(body, "anna") || !strings.Contains(body, "<hostname>mx1.stadt.example</hostname>") || !strings.Contains(body, "%EMAILADDRESS%") {
				t.Errorf("%s: %s", path, body)
			}
		}
	}
	for _, path := range []string{"/mail/config-v1.1.xml?emailaddress=x@fremd.example", "/mail/config-v1.1.xml", "/mail/config-v1.1.xml?emailaddress=%3Cb%3E@%3Cscript%3E"} {
		if w := r.ask(path, "", ""); w.Code != 404 || strings.Contains(w.Body.String(), "script>@") {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

const question = `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>%s</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>`

func TestOutlookGetsItsServers(t *testing.T) {
	r := start(t)
	w := r.ask("/autodiscover/autodiscover.xml", "", strings.Replace(question, "%s", "anna@stadt.example", 1))
	body := w.Body.String()
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, body)
	}
	program(t, w.Body.Bytes(), "xmllint", "--noout", "--nonet", "-")
	for _, want := range []string{"<Type>IMAP</Type>", "<Port>993</Port>", "<LoginName>anna@stadt.example</LoginName>", "<Type>SMTP</Type>", "<Encryption>TLS</Encryption>",
		`<Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">`} {
		if !strings.Contains(body, want) {
			t.Errorf("the answer lacks %s:\n%s", want, body)
		}
	}
}

func TestHostileQuestionsOfOutlookAreRefused(t *testing.T) {
	r := start(t)
	for name, sent := range map[string]string{
		"an entity":       `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + strings.Replace(question[38:], "%s", "&x;@stadt.example", 1),
		"laughs":          `<!DOCTYPE l [<!ENTITY a "aaaa">]><Autodiscover/>`,
		"too deep":        strings.Repeat("<a>", 1000),
		"too long":        "<Autodiscover><Request>" + strings.Repeat(" ", 20000) + "<EMailAddress>anna@stadt.example</EMailAddress></Request></Autodiscover>",
		"another charset": `<?xml version="1.0" encoding="utf-7"?><Autodiscover/>`,
		"no address":      strings.Replace(question, "%s", "<b>x</b>", 1),
		"nothing":         "x",
		"not ours":        strings.Replace(question, "%s", "x@fremd.example", 1),
	} {
		if w := r.ask("/autodiscover/autodiscover.xml", "", sent); w.Code != 400 && w.Code != 404 || strings.Contains(w.Body.String(), "root:") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// made makes a password and returns the page and the path of the profile.
func (r *rig) made(session string) (page, path string) {
	r.t.Helper()
	form := r.ask("/setup", session, "").Body.String()
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(form)
	if token == nil {
		r.t.Fatalf("the page has no form: %s", form)
	}
	w := r.ask("/setup", session, "label=Handy&token="+token[1])
	if w.Code != 200 {
		r.t.Fatalf("make a password: %d %s", w.Code, w.Body)
	}
	page = w.Body.String()
	found := regexp.MustCompile(`/setup/profile/[A-Z0-9]+`).FindString(page)
	return page, found
}

func TestAPasswordIsMadeAndItsProfileFetchedWithoutTyping(t *testing.T) {
	r := start(t)
	page, path := r.made("anna")
	for _, want := range []string{"abcd-efgh-anna", "data:image/png;base64,", "Handy oder Mail-Programm einrichten", "nicht signiert"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	w := r.ask(path, "", "") // the telephone has no session
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-apple-aspen-config" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	program(t, w.Body.Bytes(), "xmllint", "--noout", "--nonet", "-")
	for _, want := range []string{"com.apple.mail.managed", "<string>abcd-efgh-anna</string>", "<string>anna@stadt.example</string>", "<integer>993</integer>", "Anna &amp; Söhne &lt;b&gt;"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the profile lacks %q:\n%s", want, w.Body)
		}
	}
	r.clock = r.clock.Add(11 * time.Minute)
	if w := r.ask(path, "", ""); w.Code != 404 {
		t.Errorf("after eleven minutes: %d, want 404", w.Code)
	}
	_, path = r.made("anna")
	for i, want := range []int{200, 200, 200, 404} {
		if w := r.ask(path, "", ""); w.Code != want {
			t.Errorf("fetch %d: %d, want %d", i+1, w.Code, want)
		}
	}
	if w := r.ask("/setup/profile/AAAA", "", ""); w.Code != 404 {
		t.Errorf("a guessed link: %d", w.Code)
	}
}

func TestNobodyMakesAPasswordWithoutASessionOrFromAnotherPage(t *testing.T) {
	r := start(t)
	if w := r.ask("/setup", "", ""); w.Code != http.StatusSeeOther {
		t.Errorf("without a session: %d, want a way to log in", w.Code)
	}
	if w := r.ask("/setup", "anna", "label=x&token=falsch"); w.Code < 400 {
		t.Errorf("from another page: %d", w.Code)
	}
	if r.people.made != 0 {
		t.Errorf("%d passwords were made, want none", r.people.made)
	}
}

func TestAProfileIsSignedWhereTelephonesMayKnowTheCertificate(t *testing.T) {
	r := start(t)
	dir := t.TempDir()
	authority, key := issue(t, nil, nil)
	leaf, leafKey := issue(t, authority, key)
	r.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, Leaf: leaf, PrivateKey: leafKey}
	page, path := r.made("anna")
	if strings.Contains(page, "nicht signiert") {
		t.Error("the page says that the profile is not signed")
	}
	signed, root := filepath.Join(dir, "p"), filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(signed, r.ask(path, "", "").Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	out := program(t, nil, "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", signed, "-CAfile", root, "-purpose", "any")
	if !strings.Contains(out, "com.apple.mail.managed") {
		t.Errorf("openssl says %s", out)
	}
	r.cert = &tls.Certificate{Certificate: [][]byte{authority.Raw}, Leaf: authority, PrivateKey: key}
	if page, _ := r.made("anna"); !strings.Contains(page, "nicht signiert") {
		t.Error("a certificate that signed itself signs the profile")
	}
}

// issue makes a certificate; without a parent it signs itself.
func issue(t *testing.T, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "mx1.stadt.example"}, NotAfter: time.Now().Add(time.Hour)}
	if parent == nil {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = "Authority", true, true, x509.KeyUsageCertSign
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func FuzzAskedAddress(f *testing.F) {
	f.Add(strings.Replace(question, "%s", "anna@stadt.example", 1))
	f.Add("<a><b></a>")
	f.Fuzz(func(t *testing.T, sent string) {
		a, err := askedAddress(strings.NewReader(sent))
		if err == nil && (a.Domain == "" || strings.ContainsAny(a.String(), "\r\n\x00")) {
			t.Fatalf("%q was read as %+v", sent, a)
		}
	})
}

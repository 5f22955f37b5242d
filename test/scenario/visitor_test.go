package scenario

import (
	"bytes"
	"crypto/tls"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// A visitor is a browser without scripts: it follows links, fills in forms, and keeps
// cookies. Every page must be answered with 200.
type visitor struct {
	t      *testing.T
	client *http.Client
	at     *url.URL   // of the page
	page   *html.Node // the page
}

// visit opens a page with a new browser. The certificate is the one that init has made.
func visit(t *testing.T, page string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, client: &http.Client{Jar: jar, Timeout: time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}}
	v.open(page)
	return v
}

// open goes to a page, seen from the one that is shown.
func (v *visitor) open(ref string) {
	v.t.Helper()
	at, err := url.Parse(ref)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.at != nil {
		at = v.at.ResolveReference(at)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, at.String(), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.do(req)
}

// do shows what is answered to a request.
func (v *visitor) do(req *http.Request) {
	v.t.Helper()
	req.Header.Set("Accept-Language", "de")
	res, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at = res.Request.URL
	if v.page, err = html.Parse(bytes.NewReader(text)); err != nil {
		v.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		v.t.Fatalf("%s %s: %s\n%s", req.Method, req.URL, res.Status, v.text())
	}
}

// text returns what a reader of the page sees.
func (v *visitor) text() string {
	var b strings.Builder
	for n := range v.page.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			b.WriteString(strings.TrimSpace(n.Data) + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// sees fails when the page does not say something.
func (v *visitor) sees(what string) {
	v.t.Helper()
	if text := v.text(); !strings.Contains(text, what) {
		v.t.Errorf("%s does not say %q: %s", v.at.Path, what, text)
	}
}

// textOf returns the text within a node.
func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// follow goes where the first link leads that holds a text.
func (v *visitor) follow(text string) {
	v.t.Helper()
	for n := range v.page.Descendants() {
		if n.Data == "a" && strings.Contains(textOf(n), text) {
			v.open(attr(n, "href"))
			return
		}
	}
	v.t.Fatalf("%s has no link %q: %s", v.at.Path, text, v.text())
}

// submit fills in the form that has a button with a text, and presses it.
func (v *visitor) submit(button string, fields map[string]string) {
	v.t.Helper()
	for form := range v.page.Descendants() {
		if form.Data != "form" {
			continue
		}
		for b := range form.Descendants() {
			if b.Data == "button" && strings.Contains(textOf(b), button) {
				v.send(form, b, fields)
				return
			}
		}
	}
	v.t.Fatalf("%s has no form with a button %q: %s", v.at.Path, button, v.text())
}

// send sends a form as a browser does.
func (v *visitor) send(form, button *html.Node, fields map[string]string) {
	v.t.Helper()
	values := url.Values{}
	var known []string
	for n := range form.Descendants() {
		name := attr(n, "name")
		switch {
		case name == "" || n.Data != "input" && n.Data != "textarea":
			continue
		case attr(n, "type") == "checkbox" || attr(n, "type") == "radio" || attr(n, "type") == "file":
			continue
		}
		known = append(known, name)
		value := attr(n, "value")
		if n.Data == "textarea" {
			value = textOf(n)
		}
		values.Add(name, value)
	}
	for name, value := range fields {
		if !slices.Contains(known, name) {
			v.t.Fatalf("%s: the form has no field %q, only %v", v.at.Path, name, known)
		}
		values.Set(name, value)
	}
	if name := attr(button, "name"); name != "" {
		values.Set(name, attr(button, "value"))
	}
	at, err := v.at.Parse(attr(form, "action"))
	if err != nil {
		v.t.Fatal(err)
	}
	body, kind := strings.NewReader(values.Encode()), "application/x-www-form-urlencoded"
	if attr(form, "enctype") == "multipart/form-data" {
		body, kind = v.parts(values)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, at.String(), body)
	if err != nil {
		v.t.Fatal(err)
	}
	if strings.EqualFold(attr(form, "method"), http.MethodGet) || attr(form, "method") == "" {
		at.RawQuery = values.Encode()
		v.open(at.String())
		return
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Origin", v.at.Scheme+"://"+v.at.Host)
	v.do(req)
}

// parts writes values as multipart/form-data: RFC 7578.
func (v *visitor) parts(values url.Values) (*strings.Reader, string) {
	var b strings.Builder
	w := multipart.NewWriter(&b)
	for name, list := range values {
		for _, value := range list {
			if err := w.WriteField(name, value); err != nil {
				v.t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		v.t.Fatal(err)
	}
	return strings.NewReader(b.String()), w.FormDataContentType()
}

// attr returns an attribute of a node, or "".
func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

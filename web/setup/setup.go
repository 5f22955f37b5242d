package setup

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/web"

	"rsc.io/qr"
)

//go:embed templates
var templates embed.FS

const (
	// linkLife is how long a profile can be fetched by its link.
	linkLife = 10 * time.Minute
	// linkUses is how often: telephones ask again when a person changes her mind.
	linkUses = 3
	// mostLinks bounds those that are alive, of all people.
	mostLinks = 5000
)

// People makes passwords for programs; see account.Room.
type People interface {
	NewApp(ctx context.Context, cookie, label string) (string, error)
}

// Ports are where mail programs connect to, by the node's host name; 0: not at all.
type Ports struct {
	IMAPS       int // IMAP with TLS from the start
	Submission  int // SMTP with STARTTLS
	Submissions int // SMTP with TLS from the start
}

// Options say what the pages work with. All must be set unless a default is named.
type Options struct {
	Server *web.Server
	People People
	Host   string       // the node's name, which its certificate has
	Ports  func() Ports // asked for each answer, for ports may be known late
	// Ours reports whether addresses of a domain are ours, and how people call the
	// administration.
	Ours func(domain string) (name string, ok bool)
	// Certificate signs profiles; nil, or a certificate that signed itself: nothing does.
	Certificate func() (*tls.Certificate, error)
	Clock       func() time.Time // default time.Now
}

// A Door answers.
type Door struct {
	o     Options
	pages *web.Pages

	mu    sync.Mutex
	links map[string]*link
}

// A link is a profile that can be fetched.
type link struct {
	profile profile
	until   time.Time
	uses    int
}

// Mount adds the pages to the server.
func Mount(o Options) error {
	if o.Server == nil || o.People == nil || o.Host == "" || o.Ports == nil || o.Ours == nil {
		return errors.New("setup: an option is not set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	pages, err := o.Server.NewPages(templates, german)
	if err != nil {
		return err
	}
	d := &Door{o: o, pages: pages, links: map[string]*link{}}
	for pattern, f := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /setup":              d.form,
		"POST /setup":             d.make,
		"GET /setup/profile/{id}": d.fetch,
		"GET /.well-known/autoconfig/mail/config-v1.1.xml": d.autoconfig,
		"GET /mail/config-v1.1.xml":                        d.autoconfig,
	} {
		o.Server.Mount(pattern, o.Server.Handler(f))
	}
	for _, path := range []string{"/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"} {
		o.Server.MountOpen("POST "+path, http.HandlerFunc(d.autodiscover))
	}
	return nil
}

var page = web.Page{Title: "Set up your telephone or mail program"}

// servers are what the page names for who has to type it.
type servers struct {
	Host, User        string
	IMAP, SMTP        int
	SMTPTLS           bool // from the start
	Password          string
	Link              string       // path of the profile; "" before a password was made
	QR                template.URL // of the link, as a picture
	Signed            bool
	Label, Mistake    string
	ProgramsAreClosed bool
}

// visitor returns who is logged in and needs no other step.
func visitor(r *http.Request) (*web.Visit, error) {
	v := web.VisitOf(r)
	if v.Visitor == nil {
		return nil, web.ErrLogIn
	}
	return v, nil
}

func (d *Door) servers(v *web.Visit) servers {
	p := d.o.Ports()
	s := servers{Host: d.o.Host, User: v.Visitor.Address.String(), IMAP: p.IMAPS, SMTP: p.Submission, Signed: d.signer() != nil, ProgramsAreClosed: p.IMAPS == 0}
	if p.Submissions != 0 {
		s.SMTP, s.SMTPTLS = p.Submissions, true
	}
	return s
}

func (d *Door) form(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	page := page
	page.Data = d.servers(v)
	d.pages.Show(w, r, http.StatusOK, "setup", page)
	return nil
}

// make makes a password for a program and shows all ways to use it.
func (d *Door) make(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	s := d.servers(v)
	s.Label = r.PostFormValue("label")
	page := page
	s.Password, err = d.o.People.NewApp(r.Context(), v.Session, s.Label)
	code := doppelboden.CodeOf(err)
	if s.Mistake = web.Said(v.Language, err); s.Mistake != "" && (code == doppelboden.Invalid || code == doppelboden.Policy) {
		page.Data = s
		d.pages.Show(w, r, http.StatusUnprocessableEntity, "setup", page)
		return nil
	}
	if err != nil {
		return err
	}
	id := d.keep(profile{servers: s, name: v.Visitor.Name, language: v.Language})
	s.Link = "/setup/profile/" + id
	square, err := qr.Encode((&url.URL{Scheme: "https", Host: r.Host, Path: s.Link}).String(), qr.M)
	if err != nil {
		return err
	}
	s.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(square.PNG()))
	page.Data = s
	d.pages.Show(w, r, http.StatusOK, "setup", page)
	return nil
}

// keep keeps a profile for some minutes and returns the name of its link.
func (d *Door) keep(p profile) string {
	id, now := rand.Text(), d.o.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for old, l := range d.links {
		if now.After(l.until) || len(d.links) >= mostLinks {
			delete(d.links, old)
		}
	}
	d.links[id] = &link{profile: p, until: now.Add(linkLife)}
	return id
}

// fetch gives a profile to who has its link.
func (d *Door) fetch(w http.ResponseWriter, r *http.Request) error {
	id, now := r.PathValue("id"), d.o.Clock()
	d.mu.Lock()
	l := d.links[id]
	good := l != nil && now.Before(l.until) && l.uses < linkUses
	if good {
		l.uses++
	} else {
		delete(d.links, id)
	}
	d.mu.Unlock()
	if !good {
		return web.ErrNotFound
	}
	text, err := l.profile.plist()
	if err != nil {
		return err
	}
	if cert := d.signer(); cert != nil {
		if text, err = sign(text, cert); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/x-apple-aspen-config")
	w.Header().Set("Content-Disposition", `attachment; filename="notfallpostfach.mobileconfig"`)
	_, _ = w.Write(text)
	return nil
}

// signer returns the certificate that telephones may know, or nil. One that signed itself
// is known to nobody, and a profile with it looks worse than one without.
func (d *Door) signer() *tls.Certificate {
	if d.o.Certificate == nil {
		return nil
	}
	c, err := d.o.Certificate()
	if err != nil || c == nil || c.Leaf == nil || strings.EqualFold(c.Leaf.Issuer.String(), c.Leaf.Subject.String()) {
		return nil
	}
	return c
}

// domain returns the domain that a program asks about: that of the address, or of the host
// without the "autoconfig." or "autodiscover." before it.
func (d *Door) domain(r *http.Request, address string) (domain, name string, ok bool) {
	if _, at, found := strings.Cut(address, "@"); found {
		domain = at
	} else {
		domain = strings.ToLower(r.Host)
		if host, _, found := strings.Cut(domain, ":"); found {
			domain = host
		}
		domain = strings.TrimPrefix(strings.TrimPrefix(domain, "autoconfig."), "autodiscover.")
	}
	domain, ok = doppelboden.ParseDomain(domain)
	if !ok {
		return "", "", false
	}
	name, ok = d.o.Ours(domain)
	return domain, name, ok
}

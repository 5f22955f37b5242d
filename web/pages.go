package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed templates
var templates embed.FS

// A Notice is a line that every page shows on top: in what state things are.
type Notice struct {
	Kind string // "good", "warning" or "bad": how it looks; the text says it too
	Text string // in the visitor's language
}

// A Page is what the layout is filled with.
type Page struct {
	Title   string // an English sentence of the words; see Raw
	Raw     bool   // Title is shown as it is: what came with a mail
	Mailbox int64  // whose state is told; 0: nobody's
	Nav     any    // for the template "nav", which a page may define
	Data    any    // for the template "main", which every page defines
	Wide    bool   // the page has a column of its own for "nav"
}

// shown is a Page with what the server knows.
type shown struct {
	Page
	*Visit
	State []Notice
	Path  string // of this page, for the switch of languages
	Home  string // where the mark leads
}

// An other is a language that a page could be shown in instead.
type other struct{ Code, Name string }

// Others returns the languages that the page is not in.
func (s shown) Others() []other {
	if s.Language == English {
		return []other{{"de", "Deutsch"}}
	}
	return []other{{"en", "English"}}
}

// Pages are the templates of one package within the layout of all.
type Pages struct {
	server *Server
	words  Words
	files  fs.FS
	links  map[string]string // see assets
	parts  []string          // the templates that all pages may use
	sets   map[Language]map[string]func() (*template.Template, error)
}

// NewPages reads templates/*.html of a package. Each is a page that defines "main" and
// may define "nav", "head" and "search"; those whose names begin with "_" are parts that
// all pages of the package may use. words are the German texts of its sentences, which
// templates write as {{t "sentence" args…}}.
//
// Every page is read once, to find mistakes now, and kept only once somebody looks at it:
// in both languages all of them are 3 MB that most nodes never need.
func (s *Server) NewPages(files fs.FS, words Words) (*Pages, error) {
	all := maps.Clone(german)
	maps.Copy(all, words)
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	links, _, err := assets()
	if err != nil {
		return nil, err
	}
	p := &Pages{server: s, words: all, files: files, links: links, sets: map[Language]map[string]func() (*template.Template, error){}}
	for _, l := range Languages() {
		p.sets[l] = map[string]func() (*template.Template, error){}
	}
	var pages []string
	for _, name := range names {
		switch id := path.Base(name); {
		case id[0] == '_':
			p.parts = append(p.parts, name)
		case id != "layout.html":
			pages = append(pages, name)
		}
	}
	for _, name := range pages {
		if _, err := p.parse(German, name); err != nil {
			return nil, err
		}
		for _, l := range Languages() {
			p.sets[l][strings.TrimSuffix(path.Base(name), ".html")] = sync.OnceValues(func() (*template.Template, error) { return p.parse(l, name) })
		}
	}
	return p, nil
}

// parse reads a page within the layout.
func (p *Pages) parse(l Language, name string) (*template.Template, error) {
	t, err := template.New("layout.html").Funcs(p.funcs(l, p.links)).ParseFS(templates, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("read the layout: %w", err)
	}
	if t, err = t.ParseFS(p.files, append(slices.Clone(p.parts), name)...); err != nil {
		return nil, fmt.Errorf("read the template %s: %w", name, err)
	}
	return t, nil
}

// funcs are what templates may use.
func (p *Pages) funcs(l Language, links map[string]string) template.FuncMap {
	return template.FuncMap{
		"t":     func(sentence string, args ...any) string { return p.words.T(l, sentence, args...) },
		"asset": func(name string) (string, error) { return assetOf(links, name) },
		"short": func(at time.Time) string { return Short(l, at, p.server.opts.Clock()) },
		"date":  func(t time.Time) string { return Date(l, t) },
		"size":  func(n int64) string { return Size(l, n) },
		"dict":  dict,
	}
}

func assetOf(links map[string]string, name string) (string, error) {
	if at, ok := links[name]; ok {
		return at, nil
	}
	return "", fmt.Errorf("there is no static file %q", name)
}

// dict makes a map of pairs, so that a part of a page can be given several values.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: %d values are no pairs", len(pairs))
	}
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

// T returns a sentence of the package in a visitor's language.
func (p *Pages) T(r *http.Request, sentence string, args ...any) string {
	return p.words.T(VisitOf(r).Language, sentence, args...)
}

// Show answers with a page.
func (p *Pages) Show(w http.ResponseWriter, r *http.Request, status int, name string, page Page) {
	v := VisitOf(r)
	out := shown{Page: page, Visit: v, Path: r.URL.RequestURI(), Home: "/"}
	if r.Method != http.MethodGet {
		out.Path = "/"
	}
	if !page.Raw && page.Title != "" {
		out.Title = p.T(r, page.Title)
	}
	if state := p.server.opts.State; state != nil {
		out.State = state(r.Context(), v, page.Mailbox)
	}
	p.write(w, r, status, name, "layout.html", out)
}

// Part answers with one template of a page, for what replaces a part of it. data stands
// where Page.Data stands.
func (p *Pages) Part(w http.ResponseWriter, r *http.Request, name, part string, page Page) {
	p.write(w, r, http.StatusOK, name, part, shown{Page: page, Visit: VisitOf(r), Home: "/"})
}

// sorry is what people read when not even the page of a mistake can be written.
const sorry = "Das hat nicht geklappt. Bitte versuchen Sie es in einer Minute noch einmal, oder rufen Sie Ihre Benutzerbetreuung an.\n" +
	"That did not work. Try again in a minute, or call your help desk."

func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, name, part string, data shown) {
	l := VisitOf(r).Language
	if l == "" {
		l = German
	}
	parsed := p.sets[l][name]
	if parsed == nil {
		p.server.opts.Log.Error("there is no such template", "template", name)
		http.Error(w, sorry, http.StatusInternalServerError)
		return
	}
	var b bytes.Buffer
	t, err := parsed()
	if err == nil {
		err = t.ExecuteTemplate(&b, part, data)
	}
	if err != nil {
		p.server.opts.Log.Error("a page cannot be written", "template", name, "err", err)
		http.Error(w, sorry, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", string(l))
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // who has gone away needs no answer
}

// Date writes a time for a reader: with its weekday, to the minute.
func Date(l Language, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.Local()
	if l == English {
		return t.Format("Mon 2 Jan 2006, 15:04")
	}
	days := [...]string{"So", "Mo", "Di", "Mi", "Do", "Fr", "Sa"}
	return days[t.Weekday()] + " " + t.Format("02.01.2006, 15:04")
}

// Short writes a time for a list: the hour of today, the day of this year, or the date.
func Short(l Language, t, now time.Time) string {
	t, now = t.Local(), now.Local()
	switch {
	case t.Year() == now.Year() && t.YearDay() == now.YearDay():
		return t.Format("15:04")
	case l == English && t.Year() == now.Year():
		return t.Format("2 Jan")
	case l == English:
		return t.Format("2 Jan 2006")
	case t.Year() == now.Year():
		return t.Format("02.01.")
	}
	return t.Format("02.01.2006")
}

// Size writes a number of bytes for a reader.
func Size(l Language, n int64) string {
	var s string
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%d KB", (n+500)/1000)
	default:
		s = fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	if l == German {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

func queryEscape(s string) string { return url.QueryEscape(s) }

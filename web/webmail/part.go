package webmail

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"doppelboden/letter"
	"doppelboden/web"
)

// part finds a part of a mail and reads it.
func (d *Door) part(r *http.Request, k *desk) (letter.Part, io.Reader, error) {
	number, m, err := k.mailAt(r)
	if err != nil {
		return letter.Part{}, nil, err
	}
	_, l, err := d.open(r.Context(), k, number, m.UID)
	if err != nil {
		return letter.Part{}, nil, err
	}
	path := r.PathValue("path")
	for _, p := range l.Parts() {
		if p.Path == path {
			if body, ok := l.Part(path); ok {
				return p, body, nil
			}
		}
	}
	return letter.Part{}, nil, web.ErrNotFound
}

// download gives a file of a mail to be saved. Its type is never what the mail says:
// nothing is opened by that in the browser.
func (d *Door) download(w http.ResponseWriter, r *http.Request, k *desk) error {
	p, body, err := d.part(r, k)
	if err != nil {
		return err
	}
	web.HeadersOfMail(w, "")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", disposition("attachment", p.Name))
	_, _ = io.Copy(w, body) // who has gone away needs no answer
	return nil
}

// How a file can be looked at without running anything.
const (
	seeNothing = iota
	seePicture
	seePDF
	seeText
)

// pictures are the types that browsers show as pixels and nothing else. SVG is none of
// them: it is a document with scripts.
var pictures = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"}

// seeable says how a part can be looked at, by what the mail says it is.
func seeable(p letter.Part) int {
	switch {
	case slices.Contains(pictures, p.Type) || p.Type == "image/jpg" || p.Type == "image/pjpeg":
		return seePicture
	case p.Type == "application/pdf" || p.Type == "application/octet-stream" && strings.HasSuffix(strings.ToLower(p.Name), ".pdf"):
		return seePDF
	case p.Type == "text/plain" || p.Type == "text/csv":
		return seeText
	}
	return seeNothing
}

// mostText bounds the text that a preview shows, in bytes.
const mostText = 256 << 10

// A sight is the page that shows a file.
type sight struct {
	Name    string
	Size    int64
	Back    string
	Get     string
	Picture string // address of the bytes
	PDF     string
	Text    string
	Cut     bool // the text goes on
}

// view shows a file of a mail on a page of ours.
func (d *Door) view(w http.ResponseWriter, r *http.Request, k *desk) error {
	p, body, err := d.part(r, k)
	if err != nil {
		return err
	}
	number, m, err := at(r)
	if err != nil {
		return err
	}
	mail := pathOf(k.base, number, nil) + "/" + m.String()
	s := sight{Name: p.Name, Size: p.Size, Back: mail, Get: mail + "/part/" + p.Path}
	switch seeable(p) {
	case seePicture:
		s.Picture = mail + "/bytes/" + p.Path
	case seePDF:
		s.PDF = mail + "/bytes/" + p.Path
	case seeText:
		all, err := io.ReadAll(io.LimitReader(body, mostText+1))
		if err != nil {
			return fmt.Errorf("read a file of a mail: %w", err)
		}
		s.Cut = len(all) > mostText
		s.Text = plain(all[:min(len(all), mostText)])
	default:
		return web.ErrNotFound
	}
	n, err := d.navigate(r, k, number)
	if err != nil {
		return err
	}
	d.show(w, r, k, http.StatusOK, "view", web.Page{Title: cmpName(p.Name), Raw: true, Nav: n, Data: s})
	return nil
}

func cmpName(name string) string {
	if name == "" {
		return "?"
	}
	return name
}

// plain makes text of bytes of which nobody knows more.
func plain(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "\ufffd"))
}

// preview gives the bytes of a picture or a PDF to the browser, which draws them and gives
// them no script, no cookie and no page of ours. What the bytes are is decided by the bytes.
func (d *Door) preview(w http.ResponseWriter, r *http.Request, k *desk) error {
	p, body, err := d.part(r, k)
	if err != nil {
		return err
	}
	all, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read a file of a mail: %w", err)
	}
	kind := http.DetectContentType(all)
	switch {
	case slices.Contains(pictures, kind):
		web.HeadersOfMail(w, "")
	case bytes.HasPrefix(all, []byte("%PDF-")):
		// Browsers show no PDF in a sandbox. Their viewers run in a process or an origin of
		// their own; the policy leaves them nothing to load from here.
		kind = "application/pdf"
		w.Header().Set("Content-Security-Policy", "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	default:
		return web.ErrNotFound
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", disposition("inline", p.Name))
	_, _ = w.Write(all) // who has gone away needs no answer
	return nil
}

// disposition writes a Content-Disposition with a name that came with a mail: RFC 6266 and
// RFC 8187. What could lead somewhere, or end a line, is left out.
func disposition(kind, name string) string {
	name = letter.FileName(name)
	if name == "" {
		name = "datei"
	}
	var plain, extended strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			plain.WriteByte(c)
			extended.WriteByte(c)
		default:
			if c < 0x80 || c >= 0xc0 {
				plain.WriteByte('_')
			}
			fmt.Fprintf(&extended, "%%%02X", c)
		}
	}
	return fmt.Sprintf(`%s; filename="%s"; filename*=UTF-8''%s`, kind, plain.String(), extended.String())
}

package webmail

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"doppelboden/letter"
)

// fill puts into the page of a mail what the mail says.
func (p *reading) fill(l *letter.Letter, q url.Values) {
	p.Summary = l.Summary()
	for _, who := range l.People("Reply-To") {
		if len(p.Summary.From) == 0 || !strings.EqualFold(who.Address, p.Summary.From[0].Address) {
			p.ReplyTo = append(p.ReplyTo, who)
		}
	}
	if note := kindNotes[p.Summary.Kind]; note != "" {
		p.Notes = append(p.Notes, note)
	}
	for _, part := range l.Parts() {
		if part.Attachment {
			p.Files = append(p.Files, p.attach(part))
		} else if part.Type == "text/html" {
			p.HTML = true
		}
	}
	p.BothWays = p.HTML
	p.ViewPlain = q.Get("plain") != ""
	p.HTML = p.HTML && !p.ViewPlain
	text := l.Text()
	if p.HTML {
		p.Loaded = q.Get("remote") != ""
		_, p.Remote = l.HTML(letter.HTMLOptions{Remote: p.Loaded})
		p.Height = height(text)
	} else {
		p.Text = text
	}
	for _, o := range l.Left() {
		if s := lefts[o]; s != "" {
			p.Left = append(p.Left, s)
		}
	}
}

// attach describes a file of the mail.
func (p *reading) attach(part letter.Part) attached {
	a := attached{Part: part, Get: p.Link + "/part/" + part.Path}
	if part.Name == "" {
		a.Name = "datei"
	}
	if seeable(part) != seeNothing {
		a.See = p.Link + "/view/" + part.Path
	}
	switch part.Type {
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		a.What = "encrypted or signed mail (S/MIME)"
	case "application/pkcs7-signature", "application/x-pkcs7-signature":
		a.What = "electronic signature (S/MIME)"
	case "application/pgp-signature":
		a.What = "electronic signature (PGP)"
	case "application/pgp-encrypted", "application/pgp-keys":
		a.What = "PGP"
	case "message/rfc822", "message/global":
		a.What = "a mail"
	case "text/calendar":
		a.What = "appointment"
	case "application/ms-tnef", "application/vnd.ms-tnef":
		a.What = "files packed by Outlook"
	}
	return a
}

// height estimates how tall a text is in a frame, in pixels. The frame belongs to nobody,
// so no script of ours may measure it.
func height(text string) int {
	const perLine, wide, least, most = 25, 75, 260, 6000
	lines := 4
	for l := range strings.SplitSeq(text, "\n") {
		lines += 1 + utf8.RuneCountInString(l)/wide
	}
	return max(least, min(most, lines*perLine))
}

// frame gives the mail as a page for the frame: sandboxed by its frame and by itself.
func (d *Door) frame(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, m, err := k.mailAt(r)
	if err != nil {
		return err
	}
	_, l, err := d.open(r.Context(), k, number, m.UID)
	if err != nil {
		return err
	}
	remote := r.URL.Query().Get("remote") != ""
	safe, _ := l.HTML(letter.HTMLOptions{Remote: remote, Language: string(k.Language)})
	h := w.Header()
	h.Set("Content-Security-Policy", letter.Policy(remote, "'self'"))
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Del("Cross-Origin-Opener-Policy")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(len(safe)))
	_, _ = w.Write(safe) // who has gone away needs no answer
	return nil
}

package letter

import (
	"html"
	"net/url"
	"path/filepath"
	"strings"
)

// A choice is which texts of a mail are shown: one list for who reads text, and one for
// who sees HTML. A part may be in both.
type choice struct{ text, rich []*node }

// choose decides what of the mail is shown, and what is listed below it.
func (l *Letter) choose() {
	c := l.pick(l.root)
	l.shown, l.rich = c.text, c.rich
	for _, n := range append(c.text[:len(c.text):len(c.text)], c.rich...) {
		n.hidden = true
	}
	asked := map[string]bool{} // by Content-ID: whether a text that is shown shows it
	for _, n := range l.leaves {
		if pictures[n.kind] && n.cid != "" && !n.hidden {
			asked[n.cid] = false
		}
	}
	if len(asked) == 0 {
		return
	}
	for _, n := range l.rich {
		if n.kind == "text/html" {
			findCIDs(l.textOf(n), asked)
		}
	}
	for _, n := range l.leaves {
		if pictures[n.kind] && asked[n.cid] {
			n.hidden = true
		}
	}
}

// maxCID is how long a Content-ID is that is looked for in a page, in bytes.
const maxCID = 1000

// findCIDs notes which of the pictures that are asked for a page names: RFC 2392. It looks at
// each byte once, however many pictures there are.
func findCIDs(page string, asked map[string]bool) {
	note := func(name string) {
		if _, ok := asked[name]; ok {
			asked[name] = true
		}
	}
	for {
		_, rest, ok := strings.Cut(page, "cid:")
		if !ok {
			return
		}
		name := rest[:min(len(rest), maxCID)]
		if i := strings.IndexAny(name, "\"'<>() \t\r\n"); i >= 0 {
			name = name[:i]
		}
		page = rest[len(name):]
		if note(name); strings.IndexByte(name, '&') >= 0 {
			name, _, _ = strings.Cut(html.UnescapeString(name), `"`)
			note(name)
		}
		if unescaped, err := url.PathUnescape(name); err == nil {
			note(unescaped)
		}
	}
}

// pick chooses among a part and those below it.
func (l *Letter) pick(n *node) choice {
	if len(n.kids) == 0 || n.boundary == "" {
		if !n.readable() {
			return choice{}
		}
		return choice{text: []*node{n}, rich: []*node{n}}
	}
	switch n.kind {
	case "multipart/alternative":
		return l.pickOne(n.kids)
	case "multipart/related":
		return l.pick(n.relatedRoot())
	case "multipart/encrypted":
		return choice{}
	case "multipart/signed": // RFC 1847, section 2.1: what is signed, and the signature
		if len(n.kids) > 1 {
			n.kids[1].hidden = true
		}
		return l.pick(n.kids[0])
	}
	var c choice
	for _, kid := range n.kids {
		one := l.pick(kid)
		c.text, c.rich = append(c.text, one.text...), append(c.rich, one.rich...)
	}
	return c
}

// pickOne chooses among alternatives. The best comes last: RFC 2046, section 5.1.4.
func (l *Letter) pickOne(kids []*node) (c choice) {
	plain := false
	for _, kid := range kids {
		one := l.pick(kid)
		if len(one.rich) > 0 {
			c.rich = one.rich
		}
		if len(one.text) == 0 {
			continue
		}
		if isPlain := one.text[0].kind == "text/plain"; c.text == nil || isPlain && !plain {
			c.text, plain = one.text, isPlain
		}
		for _, n := range one.text { // what is not chosen is no attachment either
			n.hidden = true
		}
	}
	return c
}

// relatedRoot returns the part of a multipart/related that the others belong to: RFC 2387,
// section 3.2.
func (n *node) relatedRoot() *node {
	if start := strings.Trim(n.params["start"], " <>"); start != "" {
		for _, kid := range n.kids {
			if kid.cid == start {
				return kid
			}
		}
	}
	return n.kids[0]
}

// readable reports whether a leaf is a text that is shown.
func (n *node) readable() bool {
	if n.uu || n.kind != "text/plain" && n.kind != "text/html" {
		return false
	}
	// What has a name was sent as a file, even where it is called inline, unless there is
	// nothing else.
	return n.place != "attachment" && (n.name == "" || n.up == nil)
}

// part describes a leaf.
func (n *node) part() Part {
	p := Part{Path: n.path, Type: harmlessType(n.kind), Name: n.name, Size: int64(len(n.content)), Disposition: n.place, CID: n.cid,
		Attachment: !n.hidden && !n.within()}
	if strings.HasPrefix(p.Type, "text/") {
		p.Charset = strings.ToLower(oneLine(n.params["charset"]))
	}
	if p.Name == "" && n.message != nil {
		p.Name = FileName(cutText(oneLine(decodeWords(n.message.raw("subject"))), 80) + ".eml")
	}
	if p.Name == "" {
		p.Name = "part-" + n.path + endings[p.Type]
	} else if filepath.Ext(p.Name) == "" {
		p.Name += endings[p.Type]
	}
	return p
}

// within reports whether n lies in a mail in the mail, which is listed as a whole.
func (n *node) within() bool {
	for ; n.up != nil; n = n.up {
		if n.up.message == n {
			return true
		}
	}
	return false
}

// harmlessType returns a media type that can be shown and compared.
func harmlessType(s string) string {
	if s = oneLine(s); len(s) > 100 || strings.ContainsAny(s, " \"<>';,") {
		return "application/octet-stream"
	}
	return s
}

// endings are those of files whose name nobody gave.
var endings = map[string]string{
	"text/plain": ".txt", "text/html": ".html", "text/calendar": ".ics", "text/csv": ".csv", "text/vcard": ".vcf",
	"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "image/tiff": ".tif",
	"application/pdf": ".pdf", "application/zip": ".zip", "application/rtf": ".rtf", "application/msword": ".doc",
	"application/pkcs7-mime": ".p7m", "application/pkcs7-signature": ".p7s", "application/pgp-signature": ".asc",
	"message/rfc822": ".eml", "message/delivery-status": ".txt", "message/disposition-notification": ".txt",
}

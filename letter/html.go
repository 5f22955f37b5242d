package letter

import (
	"encoding/base64"
	"html"
	"io"
	"net/url"
	"strings"
)

// HTMLOptions say how a mail is shown.
type HTMLOptions struct {
	// Remote shows pictures from the Internet, over https alone. Pixels that only say that
	// somebody reads stay out.
	Remote bool
	// CID gives the URL at which a part is to be had that the mail shows ("" for none);
	// nil: pictures come as data URLs, up to 8 MiB altogether.
	CID func(p Part) string
	// Language is that of the reader: "de" or "en"; default "de".
	Language string
}

// Policy is the Content-Security-Policy for a page that HTML made. It goes into the
// header of the page as well: a frame with it runs nothing, sends nothing, and belongs to
// no origin, whatever HTML may have overlooked. ancestors says who may frame it, such as
// "'self'"; "" leaves that out, as a page must that says it in itself.
func Policy(remote bool, ancestors string) string {
	images := "img-src data: 'self'"
	if remote {
		images += " https:"
	}
	p := "default-src 'none'; style-src 'unsafe-inline'; " + images + "; form-action 'none'; base-uri 'none'"
	if ancestors != "" { // CSP 3, section 3.3: a page cannot say these two of itself
		p += "; frame-ancestors " + ancestors + "; sandbox allow-popups allow-popups-to-escape-sandbox"
	}
	return p
}

// HTML returns the mail as a page for a frame with sandbox="allow-popups
// allow-popups-to-escape-sandbox" and nothing else, and how many remote contents were left
// out of it. Nothing of the mail's HTML gets there but elements, attributes and values
// that are known to be harmless.
func (l *Letter) HTML(o HTMLOptions) (safe []byte, remote int) {
	c := &cleaner{opts: o, letter: l, data: maxData}
	for i, n := range l.rich {
		if i > 0 {
			c.body.WriteString("<hr>\n")
		}
		if n.kind == "text/html" {
			c.clean(l.textOf(n))
		} else {
			if !textHTML(&c.body, strings.TrimRight(l.plainOf(n), " \t\n")) {
				l.leave(LeftText)
			}
		}
	}
	lang := "en"
	if o.Language != "en" {
		lang = "de"
	}
	var page strings.Builder
	page.WriteString(`<!DOCTYPE html>
<html lang="` + lang + `"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="` + html.EscapeString(Policy(o.Remote, "")) + `">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title></title>
<style>` + ownStyle + "</style>\n")
	if css := c.css.String(); css != "" {
		page.WriteString("<style>" + css + "</style>\n")
	}
	page.WriteString("</head><body>\n")
	page.WriteString(c.body.String())
	page.WriteString("\n</body></html>\n")
	return []byte(page.String()), c.remote
}

// ownStyle is how a mail looks that says nothing about it.
const ownStyle = `body{margin:8px;font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;overflow-wrap:anywhere}` +
	`img{max-width:100%;height:auto}blockquote{margin:.5em 0;padding-left:.8em;border-left:3px solid #aaa}` +
	`pre{white-space:pre-wrap}.db-alt{font:13px system-ui,sans-serif;color:#444;background:#fff}.db-text{white-space:pre-wrap}.db-quote{color:#444}`

// maxData is how many bytes of pictures a page holds itself.
const maxData = 8 << 20

// picture returns what stands for a picture that came with the mail, or "".
func (c *cleaner) picture(cid string) string {
	if unescaped, err := url.PathUnescape(cid); err == nil {
		cid = unescaped
	}
	n := c.letter.byCID(cid)
	if n == nil || !pictures[n.kind] {
		return ""
	}
	if c.opts.CID != nil {
		return safeHandler(c.opts.CID(n.part()))
	}
	if n.decodedSize() > c.data {
		c.letter.leave(LeftPicture)
		return ""
	}
	// Each time it is shown it is decoded again, and that costs what it could have been, also
	// where next to nothing, or far too much, comes out of it.
	most := c.data
	c.data -= n.decodedSize()
	raw, _ := io.ReadAll(io.LimitReader(n.decoded(), int64(most)+1)) // these readers know no error but the end
	if len(raw) > most {
		c.letter.leave(LeftPicture)
		return ""
	}
	c.data = min(c.data, most-len(raw))
	return "data:" + n.kind + ";base64," + base64.StdEncoding.EncodeToString(raw)
}

// byCID returns the part with a Content-ID, or nil.
func (l *Letter) byCID(cid string) *node {
	if l.cids == nil { // a page may ask very often
		l.cids = map[string]*node{}
		for _, n := range l.leaves {
			if n.cid != "" && l.cids[n.cid] == nil && !n.within() {
				l.cids[n.cid] = n
			}
		}
	}
	return l.cids[cid]
}

// pictures are the media types that a browser draws without running anything.
var pictures = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// safeHandler returns the URL of a handler of ours, or "" for what cannot be one.
func safeHandler(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "data" {
		return ""
	}
	return s
}

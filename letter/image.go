package letter

import (
	"encoding/base64"
	"html"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/html/atom"
)

// image writes a picture, or what it says of itself where it may not be shown.
func (c *cleaner) image(attrs map[string]string) {
	src := strings.TrimSpace(attrs["src"])
	shown, ok := c.source(src, attrs)
	alt := cutText(oneLine(attrs["alt"]), 300)
	if !ok {
		if alt != "" && !isPixel(attrs) {
			c.body.WriteString(`<span class="db-alt">[` + html.EscapeString(alt) + `]</span>`)
			if c.link != nil {
				c.link.text(alt)
			}
		}
		return
	}
	c.body.WriteString(`<img src="` + html.EscapeString(shown) + `" alt="` + html.EscapeString(alt) + `" referrerpolicy="no-referrer" loading="lazy"`)
	c.common(atom.Img, attrs, false)
	c.body.WriteByte('>')
}

// source returns the URL at which a picture may be had, and reports whether there is one.
// What is remote and left out is counted.
func (c *cleaner) source(src string, attrs map[string]string) (string, bool) {
	scheme, rest, _ := strings.Cut(src, ":")
	switch strings.ToLower(scheme) {
	case "cid":
		shown := c.picture(rest)
		return shown, shown != ""
	case "data":
		return c.dataURL(rest)
	}
	if !isRemote(src) {
		return "", false
	}
	if shown, ok := overHTTPS(src); ok && c.opts.Remote && !isPixel(attrs) {
		return shown, true
	}
	c.remote++
	return "", false
}

// dataURL checks a picture that the page brings itself: RFC 2397.
func (c *cleaner) dataURL(rest string) (string, bool) {
	head, body, ok := strings.Cut(rest, ",")
	kind := strings.TrimSuffix(strings.ToLower(strings.ReplaceAll(head, " ", "")), ";base64")
	if !ok || len(kind) == len(head) || !pictures[kind] || len(body) > c.data {
		return "", false
	}
	raw := unbase64(body)
	c.data -= len(raw)
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(raw), true
}

// isRemote reports whether a browser would ask somebody for a URL.
func isRemote(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s, " \t\r\n\f\x00"))
	return strings.HasPrefix(s, "http:") || strings.HasPrefix(s, "https:") || strings.HasPrefix(s, "//") ||
		strings.HasPrefix(s, "ftp:") || strings.HasPrefix(s, `\\`) || strings.HasPrefix(s, "file:")
}

// overHTTPS returns the URL of a picture by https.
func overHTTPS(s string) (string, bool) {
	if strings.HasPrefix(s, "//") {
		s = "https:" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "", false
	}
	if u.Scheme == "http" && u.Port() != "" && u.Port() != "80" {
		return "", false
	}
	u.Scheme = "https"
	u.Host = strings.TrimSuffix(u.Host, ":80")
	return u.String(), true
}

// isPixel reports whether a picture is there to tell that somebody reads, and not to be
// seen.
func isPixel(attrs map[string]string) bool {
	for _, key := range []string{"width", "height"} {
		if n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(attrs[key]), "px")); err == nil && n <= 3 {
			return true
		}
	}
	if _, hidden := attrs["hidden"]; hidden {
		return true
	}
	style := strings.Map(func(r rune) rune {
		if isSpace(r) {
			return -1
		}
		return r
	}, strings.ToLower(attrs["style"]))
	for decl := range strings.SplitSeq(style, ";") {
		name, value, _ := strings.Cut(decl, ":")
		switch name {
		case "display":
			if strings.HasPrefix(value, "none") {
				return true
			}
		case "visibility":
			if strings.HasPrefix(value, "hidden") {
				return true
			}
		case "width", "height", "max-width", "max-height":
			value = strings.TrimSuffix(strings.TrimSuffix(value, "!important"), "px")
			if n, err := strconv.ParseFloat(value, 64); err == nil && n <= 3 {
				return true
			}
		}
	}
	return false
}

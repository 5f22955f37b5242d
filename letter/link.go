package letter

import (
	"html"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// A link is an <a> that is being written.
type link struct {
	href  string // what may be followed; may be empty
	host  string // where it leads, with A-labels; of mailto: the address
	forge bool   // the URL itself pretends: a name before "@"
	said  strings.Builder
}

// maxSaid is how much of a link's text is compared with where it leads.
const maxSaid = 500

// newLink reads the target of a link. It has none when nobody should follow it.
func newLink(href string) *link {
	// WHATWG URL, section 4.4: browsers remove tabs and line breaks, and blanks around.
	href = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, strings.TrimFunc(href, func(r rune) bool { return r <= ' ' }))
	if name, ok := strings.CutPrefix(href, "#"); ok {
		if isName(name) {
			return &link{href: href}
		}
		return &link{}
	}
	// Browsers take a backslash for a slash; nobody else does.
	u, err := url.Parse(strings.ReplaceAll(Harmless(href), `\`, "/"))
	if err != nil || len(href) > 8000 {
		return &link{}
	}
	switch u.Scheme {
	case "http", "https":
		host, port := asciiHost(u.Hostname()), u.Port()
		if host == "" {
			return &link{}
		}
		if u.Host = host; port != "" {
			u.Host += ":" + port
		}
		return &link{href: u.String(), host: host, forge: u.User != nil}
	case "mailto", "tel":
		if u.Opaque == "" {
			return &link{}
		}
		to, _, _ := strings.Cut(u.Opaque, "?")
		if unescaped, err := url.PathUnescape(to); err == nil {
			to = unescaped
		}
		return &link{href: u.String(), host: cutText(oneLine(to), 200)}
	}
	return &link{}
}

// maxHost is how long the name of a host can be, in bytes of UTF-8: 253 letters at most. What is
// longer is nobody's, and would take long to be written with A-labels.
const maxHost = 4 * 253

// asciiHost returns a host as it is asked for, so that letters of other scripts that look
// like ours are seen.
func asciiHost(host string) string {
	if len(host) > maxHost {
		return ""
	}
	if strings.Contains(host, ":") {
		return "[" + strings.ToLower(host) + "]"
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		ascii = strings.ToLower(host)
	}
	for _, r := range ascii {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>"'%/\@:`, r) {
			return ""
		}
	}
	return ascii
}

// attributes returns what the tag says about the target.
func (l *link) attributes() string {
	if l.href == "" {
		return ""
	}
	if l.href[0] == '#' {
		return ` href="` + html.EscapeString(l.href) + `"`
	}
	title := cutText(l.href, 300)
	return ` href="` + html.EscapeString(l.href) + `" target="_blank" rel="noopener noreferrer" title="` + html.EscapeString(title) + `"`
}

// text notes what the link says it is.
func (l *link) text(s string) {
	if l.said.Len() < maxSaid {
		l.said.WriteString(cutText(s, maxSaid))
	}
}

// warnStyle makes what we say about a link visible whatever the mail's styles are.
const warnStyle = "all:initial!important;font:bold 13px system-ui,sans-serif!important;color:#8a1f11!important;background:#fff!important"

// warning returns where the link leads when its text, or its URL, pretends something else.
func (l *link) warning() string {
	if l.host == "" || !l.forge && !l.pretends() {
		return ""
	}
	return ` <span class="db-target" style="` + warnStyle + `">[` + html.EscapeString(l.host) + `]</span>`
}

// inText finds what looks like a host or an address.
var inText = regexp.MustCompile(`(?i)([\p{L}\p{N}._%+-]+@)?((?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+[\p{L}]{2,})`)

// pretends reports whether the text names another host, or address, than the target.
func (l *link) pretends() bool {
	for _, found := range inText.FindAllStringSubmatch(l.said.String(), 5) {
		host := asciiHost(found[2])
		if _, icann := publicsuffix.PublicSuffix(host); host == "" || !icann {
			continue // "z.B." is no host
		}
		target := l.host
		if i := strings.LastIndexByte(target, '@'); i >= 0 {
			target = strings.ToLower(target[i+1:])
		}
		if !sameOwner(host, target) {
			return true
		}
	}
	return false
}

// sameOwner reports whether two hosts belong to one registered domain.
func sameOwner(a, b string) bool {
	if a == b {
		return true
	}
	x, err := publicsuffix.EffectiveTLDPlusOne(a)
	y, err2 := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && err2 == nil && x == y
}

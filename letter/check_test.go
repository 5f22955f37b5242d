package letter

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// What a page may hold, said once more and in another way than the cleaner does.
var (
	okElements = set(`html head meta title style body a abbr acronym address article aside b big blockquote br caption
		center cite code col colgroup dd del dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i
		img ins kbd li main mark nav ol p pre q s samp section small span strike strong sub sup table tbody td tfoot th
		thead time tr tt u ul var wbr`)
	okAttributes = set(`align alt bgcolor border cellpadding cellspacing charset class clear color colspan content dir face
		frame height href hspace http-equiv id lang loading name noshade nowrap referrerpolicy rel rowspan rules size span
		src start style target title type valign value vspace width`)
	badStyle = regexp.MustCompile(`(?i)url\s*\(|expression|@import|@font-face|javascript|behavior|-moz-binding|position\s*:|content\s*:|z-index|[\s:,(]-\.?\d|\\|<|transform|animation`)
)

// checkPage parses a page as a browser does and says what must not be in it.
func checkPage(page []byte, remote bool) (wrong []string) {
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		return []string{"it cannot be parsed: " + err.Error()}
	}
	complain := func(what string) { wrong = append(wrong, what) }
	heads := 0
	var walk func(n *html.Node, depth int)
	walk = func(n *html.Node, depth int) {
		if depth > 300 {
			complain("it is nested too deeply")
			return
		}
		switch n.Type {
		case html.CommentNode:
			complain("a comment")
		case html.ElementNode:
			if n.Namespace != "" || !okElements[n.Data] {
				complain("element " + n.Namespace + ":" + n.Data)
			}
			if n.Data == "meta" {
				heads++
			}
			if n.Data == "style" && n.FirstChild != nil && badStyle.MatchString(strings.ReplaceAll(n.FirstChild.Data, "nth-child", "")) {
				complain("style sheet " + n.FirstChild.Data)
			}
			for _, a := range n.Attr {
				if why := checkAttribute(n, a, remote); why != "" {
					complain(why)
				}
			}
		}
		for kid := n.FirstChild; kid != nil; kid = kid.NextSibling {
			walk(kid, depth+1)
		}
	}
	walk(root, 0)
	if heads != 4 {
		complain("not the four <meta> of ours")
	}
	return wrong
}

func checkAttribute(n *html.Node, a html.Attribute, remote bool) string {
	said := n.Data + " " + a.Key + "=" + a.Val
	if !okAttributes[a.Key] || a.Namespace != "" || strings.HasPrefix(a.Key, "on") {
		return "attribute " + said
	}
	switch a.Key {
	case "class":
		for _, name := range strings.Fields(a.Val) {
			if strings.HasPrefix(name, "db-") && !ours(n) {
				return "a class of ours: " + said
			}
		}
	case "style":
		if badStyle.MatchString(a.Val) {
			return "style " + said
		}
	case "href":
		u, err := url.Parse(a.Val)
		if err != nil {
			return "url " + said
		}
		switch u.Scheme {
		case "http", "https", "mailto", "tel":
		case "":
			if !strings.HasPrefix(a.Val, "#") {
				return "url " + said
			}
		default:
			return "url " + said
		}
		if u.Scheme != "" && (attribute(n, "rel") != "noopener noreferrer" || attribute(n, "target") != "_blank") {
			return "a link that can reach back: " + said
		}
	case "src":
		if strings.HasPrefix(a.Val, "data:image/png;base64,") || strings.HasPrefix(a.Val, "data:image/jpeg;base64,") ||
			strings.HasPrefix(a.Val, "data:image/gif;base64,") || strings.HasPrefix(a.Val, "data:image/webp;base64,") {
			return ""
		}
		if !remote || !strings.HasPrefix(a.Val, "https://") {
			return "src " + said
		}
	}
	return ""
}

// ours reports whether an element is one that the cleaner adds itself.
func ours(n *html.Node) bool {
	switch attribute(n, "class") {
	case "db-target":
		return n.Data == "span" && attribute(n, "style") == warnStyle
	case "db-alt":
		return n.Data == "span" && len(n.Attr) == 1
	case "db-text":
		return n.Data == "div" && len(n.Attr) == 1
	case "db-quote":
		return n.Data == "blockquote" && len(n.Attr) == 1
	}
	return false
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// htmlMail returns a mail of one HTML part.
func htmlMail(body string) string {
	return "From: a@example.org\r\nSubject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
}

// read parses a mail that a test wrote.
func read(t testing.TB, mail string) *Letter {
	t.Helper()
	l, err := Parse(strings.NewReader(mail), Limits{})
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return l
}

// bodyOf returns what stands between the body's tags.
func bodyOf(page []byte) string {
	_, rest, _ := strings.Cut(string(page), "<body>\n")
	body, _, _ := strings.Cut(rest, "\n</body>")
	return body
}

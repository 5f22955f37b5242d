package letter

import (
	"bytes"
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxToken bounds one tag or one run of text in HTML, in bytes.
const maxToken = 1 << 20

// metaCharset finds the charset that a page names itself, within its first kilobytes.
func metaCharset(page []byte) string {
	found := inPage.FindSubmatch(page[:min(len(page), 4096)])
	if found == nil {
		return ""
	}
	return string(bytes.ToLower(found[1]))
}

var inPage = regexp.MustCompile(`(?i)<meta[^>]{0,200}charset\s*=\s*["']?([a-z0-9_-]{1,40})`)

// htmlText returns what can be read of a page.
func htmlText(page string) string {
	t := textWriter{z: html.NewTokenizer(strings.NewReader(page))}
	t.z.SetMaxBuf(maxToken)
	for {
		switch t.z.Next() {
		case html.ErrorToken:
			return strings.TrimSpace(t.out.String())
		case html.TextToken:
			if t.skip == 0 {
				t.text(string(t.z.Text()))
			}
		case html.StartTagToken:
			t.start(false)
		case html.SelfClosingTagToken:
			t.start(true)
		case html.EndTagToken:
			t.end()
		}
	}
}

// A textWriter writes the text of a page.
type textWriter struct {
	z     *html.Tokenizer
	out   strings.Builder
	skip  atom.Atom // the element whose content is passed over; 0: none
	deep  int       // how many of them are open
	pre   int       // open <pre>
	quote int       // open <blockquote>
	blank int       // line breaks at the end of out
	space bool      // white space that was not written yet
}

// text writes a run of text.
func (t *textWriter) text(s string) {
	if t.pre > 0 {
		for i, line := range strings.Split(s, "\n") {
			if i > 0 {
				t.breaks(min(t.blank+1, 2))
			}
			t.write(line)
		}
		return
	}
	for i, w := range strings.FieldsFunc(s, isSpace) {
		if i > 0 || t.space || isSpace(rune(s[0])) {
			if t.blank == 0 && t.out.Len() > 0 {
				t.out.WriteByte(' ')
			}
		}
		t.space = false
		t.write(w)
	}
	if s != "" && isSpace(rune(s[len(s)-1])) {
		t.space = true
	}
}

func isSpace(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f' }

// write writes text without line breaks, behind the marks of quotations on a new line.
func (t *textWriter) write(s string) {
	if s == "" {
		return
	}
	if (t.blank > 0 || t.out.Len() == 0) && t.quote > 0 {
		t.out.WriteString(strings.Repeat(">", min(t.quote, 9)) + " ")
	}
	t.out.WriteString(s)
	t.blank = 0
}

// breaks has the text end in n line breaks at least.
func (t *textWriter) breaks(n int) {
	if t.out.Len() == 0 {
		return
	}
	for ; t.blank < n; t.blank++ {
		t.out.WriteByte('\n')
	}
	t.space = false
}

// start reads an opening tag, which holds nothing when it is closed already.
func (t *textWriter) start(closed bool) {
	name, more := t.z.TagName()
	a := atom.Lookup(name)
	if t.skip != 0 {
		if a == t.skip {
			t.deep++
		}
		return
	}
	switch a {
	case atom.Script, atom.Style, atom.Title, atom.Svg, atom.Math, atom.Template, atom.Iframe, atom.Object, atom.Select:
		if !closed || a != atom.Svg && a != atom.Math {
			t.skip, t.deep = a, 1
		}
	case atom.Br:
		t.breaks(min(t.blank+1, 2))
	case atom.Pre:
		t.pre++
		t.breaks(1)
	case atom.Blockquote:
		t.breaks(1)
		t.quote++
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		t.breaks(2)
	case atom.Li:
		t.breaks(1)
		t.write("- ")
	case atom.Td, atom.Th:
		t.space = true
	case atom.Hr:
		t.breaks(1)
		t.write("---")
		t.breaks(1)
	case atom.Img:
		t.alt(more)
	default:
		if blocks[a] {
			t.breaks(1)
		}
	}
}

// alt writes what a picture says of itself.
func (t *textWriter) alt(more bool) {
	for more {
		var key, value []byte
		if key, value, more = t.z.TagAttr(); string(key) == "alt" {
			t.text(string(value))
			return
		}
	}
}

// end reads a closing tag.
func (t *textWriter) end() {
	name, _ := t.z.TagName()
	a := atom.Lookup(name)
	switch {
	case t.skip != 0:
		if a == t.skip {
			if t.deep--; t.deep == 0 {
				t.skip = 0
			}
		}
	case a == atom.Pre:
		t.pre = max(t.pre-1, 0)
		t.breaks(1)
	case a == atom.Blockquote:
		t.quote = max(t.quote-1, 0)
		t.breaks(1)
	case a == atom.P:
		t.breaks(2)
	case blocks[a]:
		t.breaks(1)
	}
}

// blocks are elements that begin on a line of their own.
var blocks = map[atom.Atom]bool{
	atom.Address: true, atom.Article: true, atom.Aside: true, atom.Body: true, atom.Caption: true, atom.Center: true,
	atom.Dd: true, atom.Div: true, atom.Dl: true, atom.Dt: true, atom.Figcaption: true, atom.Figure: true,
	atom.Footer: true, atom.Form: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true,
	atom.H6: true, atom.Header: true, atom.Html: true, atom.Li: true, atom.Main: true, atom.Nav: true, atom.Ol: true,
	atom.Section: true, atom.Table: true, atom.Tbody: true, atom.Tfoot: true, atom.Thead: true, atom.Tr: true, atom.Ul: true,
}

package letter

import (
	"html"
	"slices"
	"strings"

	xhtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxOpen is how many elements may be open at once. Browsers stop at 512.
	maxOpen = 200
	// maxAttributes is how many attributes of one tag are looked at.
	maxAttributes = 100
	// maxPage bounds a page, in bytes: escaping and links make it longer than the mail.
	maxPage = 16 << 20
)

// A cleaner writes HTML anew, token by token, with what is known to be harmless. What it
// writes is nested rightly, so that a browser has nothing to mend, and holds nothing that
// is not plain text or an element of ours.
type cleaner struct {
	opts   HTMLOptions
	letter *Letter
	z      *xhtml.Tokenizer
	body   strings.Builder
	css    strings.Builder
	open   []atom.Atom
	skip   atom.Atom // the element that goes with all it holds; 0: none
	deep   int       // how many of these are open
	remote int
	data   int // bytes of pictures that may still go into the page
	link   *link
}

// clean writes one page of the mail.
func (c *cleaner) clean(page string) {
	c.z = xhtml.NewTokenizer(strings.NewReader(page))
	c.z.SetMaxBuf(maxToken)
	base := len(c.open)
	for {
		if c.body.Len() > maxPage {
			c.letter.leave(LeftText)
			break
		}
		kind := c.z.Next()
		if kind == xhtml.ErrorToken {
			if c.z.Err() == xhtml.ErrBufferExceeded {
				c.letter.leave(LeftText)
			}
			break
		}
		switch kind {
		case xhtml.TextToken:
			c.text()
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			c.start(kind == xhtml.SelfClosingTagToken)
		case xhtml.EndTagToken:
			c.end()
		}
	}
	c.closeTo(base)
	c.skip = 0
}

// text writes a run of text, or takes over a style sheet.
func (c *cleaner) text() {
	raw := string(c.z.Text())
	switch {
	case c.skip == atom.Style && c.deep == 1:
		sheet, remote := cleanSheet(raw)
		c.css.WriteString(sheet)
		c.remote += remote
	case c.skip == 0:
		s := Harmless(raw) // the tokenizer has decoded the entities
		c.body.WriteString(html.EscapeString(s))
		if c.link != nil {
			c.link.text(s)
		}
	}
}

// start reads an opening tag, which holds nothing when it is closed already.
func (c *cleaner) start(closed bool) {
	name, more := c.z.TagName()
	a := atom.Lookup(name)
	if c.skip != 0 {
		if a == c.skip {
			c.deep++
		}
		return
	}
	if active[a] {
		c.letter.leave(LeftActive)
	}
	attrs := c.attributes(more)
	switch {
	case dropped[a]:
		c.count(a, attrs)
		// HTML, section 13.1.2.1: only foreign elements can be closed so.
		if !closed || a != atom.Svg && a != atom.Math {
			c.skip, c.deep = a, 1
		}
	case a == atom.Body: // its colours are those of the mail
		c.element(atom.Div, attrs)
	case a == atom.Img || a == atom.Image:
		c.image(attrs)
	default:
		if _, ok := kept[a]; ok {
			c.element(a, attrs)
			return
		}
		c.count(a, attrs)
	}
}

// attributes reads those of a tag. Of two with one name the first counts, as in browsers.
func (c *cleaner) attributes(more bool) map[string]string {
	if !more {
		return nil
	}
	attrs := map[string]string{}
	for n := 0; more && n < maxAttributes; n++ {
		var key, value []byte
		key, value, more = c.z.TagAttr()
		if _, twice := attrs[string(key)]; !twice {
			attrs[string(key)] = string(value)
		}
	}
	return attrs
}

// count counts what an element would have fetched.
func (c *cleaner) count(a atom.Atom, attrs map[string]string) {
	for _, key := range []string{"src", "data", "poster", "background"} {
		if isRemote(attrs[key]) {
			c.remote++
			return
		}
	}
	if a == atom.Link && isRemote(attrs["href"]) && !strings.Contains(strings.ToLower(attrs["rel"]), "canonical") {
		c.remote++
	}
}

// element writes an opening tag.
func (c *cleaner) element(a atom.Atom, attrs map[string]string) {
	c.makeRoom(a)
	if len(c.open) >= maxOpen && !empty[a] {
		return
	}
	var target *link
	c.body.WriteString("<" + a.String())
	if a == atom.A {
		target = newLink(attrs["href"])
		c.body.WriteString(target.attributes())
	}
	c.common(a, attrs, target != nil && target.href != "")
	c.body.WriteByte('>')
	if empty[a] {
		return
	}
	c.open = append(c.open, a)
	if a == atom.A {
		c.link = target
	}
}

// common writes the attributes that need no decision of their own.
func (c *cleaner) common(a atom.Atom, attrs map[string]string, titled bool) {
	if isRemote(attrs["background"]) {
		c.remote++
	}
	for _, key := range sortedKeys(attrs) {
		value := attrs[key]
		switch {
		case everywhere[key] || slices.Contains(kept[a], key):
			if !plainValue(value) {
				continue
			}
		case key == "class":
			value = classes(value)
		case key == "id":
			if !isName(value) || strings.HasPrefix(value, "db-") {
				continue
			}
		case key == "style":
			var remote int
			value, remote = cleanStyle(value, false)
			c.remote += remote
		case key == "title" && !titled:
			value = cutText(oneLine(value), 300)
		default:
			continue
		}
		if value != "" {
			c.body.WriteString(" " + key + `="` + html.EscapeString(value) + `"`)
		}
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// makeRoom ends what cannot hold a.
func (c *cleaner) makeRoom(a atom.Atom) {
	if rule, ok := closes[a]; ok {
		for i := len(c.open) - 1; i >= 0; i-- {
			if slices.Contains(rule.these, c.open[i]) {
				c.closeTo(i)
				break
			}
			if slices.Contains(rule.until, c.open[i]) {
				break
			}
		}
	}
	if !closesP[a] {
		return
	}
	for i := len(c.open) - 1; i >= 0 && !barrier(c.open[i]); i-- {
		if c.open[i] == atom.P {
			c.closeTo(i)
			return
		}
	}
}

// barrier reports whether an element keeps what is in it from ending what is around it.
func barrier(a atom.Atom) bool {
	return a == atom.Td || a == atom.Th || a == atom.Table || a == atom.Caption
}

// end reads a closing tag.
func (c *cleaner) end() {
	name, _ := c.z.TagName()
	a := atom.Lookup(name)
	if c.skip != 0 {
		if a == c.skip {
			if c.deep--; c.deep == 0 {
				c.skip = 0
			}
		}
		return
	}
	if a == atom.Body {
		return // the mail may go on behind it; clean ends everything
	}
	for i := len(c.open) - 1; i >= 0; i-- {
		if c.open[i] == a {
			c.closeTo(i)
			return
		}
		if barrier(c.open[i]) && !tabular(a) {
			return
		}
	}
}

// tabular reports whether the end of an element ends cells too.
func tabular(a atom.Atom) bool {
	return a == atom.Table || a == atom.Tbody || a == atom.Thead || a == atom.Tfoot || a == atom.Tr || a == atom.Td || a == atom.Th
}

// closeTo writes closing tags until n elements are open.
func (c *cleaner) closeTo(n int) {
	for i := len(c.open) - 1; i >= n; i-- {
		a := c.open[i]
		c.body.WriteString("</" + a.String() + ">")
		if a == atom.A && c.link != nil {
			c.body.WriteString(c.link.warning())
			c.link = nil
		}
	}
	c.open = c.open[:min(n, len(c.open))]
}

// plainValue reports whether an attribute's value is a word, a number or a colour.
func plainValue(s string) bool {
	if len(s) > 60 {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("#%.,+- *", r)) {
			return false
		}
	}
	return true
}

// classes returns the names in a class attribute that may stand there.
func classes(s string) string {
	var names []string
	for _, name := range strings.Fields(s) {
		if isName(name) && !strings.HasPrefix(strings.ToLower(name), "db-") && len(names) < 20 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// isName reports whether s can name a class or a place in the page.
func isName(s string) bool {
	if s == "" || len(s) > 60 {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}

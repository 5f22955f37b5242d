package letter

import (
	"regexp"
	"strings"
)

const (
	// maxRules is how many rules of a style sheet are kept.
	maxRules = 3000
	// maxSheet bounds all of a style sheet, in bytes.
	maxSheet = 512 << 10
	// maxStyle bounds one style attribute or one rule, in bytes.
	maxStyle = 8 << 10
)

// properties are those that a mail may set. There is nothing among them that fetches,
// moves, lies over other things, or puts text where there is none.
var properties = set(`color background-color background font font-family font-size font-style font-weight font-variant
	font-stretch line-height letter-spacing word-spacing word-break word-wrap overflow-wrap white-space hyphens
	text-align text-decoration text-decoration-color text-decoration-line text-indent text-transform text-overflow
	margin margin-top margin-right margin-bottom margin-left padding padding-top padding-right padding-bottom padding-left
	border border-top border-right border-bottom border-left border-color border-style border-width border-radius
	border-top-color border-right-color border-bottom-color border-left-color border-top-style border-right-style
	border-bottom-style border-left-style border-top-width border-right-width border-bottom-width border-left-width
	border-top-left-radius border-top-right-radius border-bottom-left-radius border-bottom-right-radius
	border-collapse border-spacing table-layout caption-side empty-cells vertical-align
	width height min-width min-height max-width max-height box-sizing display float clear overflow visibility
	list-style list-style-type list-style-position opacity -webkit-text-size-adjust text-size-adjust`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

var (
	// cssValue is what a value may be made of: words, numbers, colours, names in quotes.
	cssValue = regexp.MustCompile(`^(?:[a-zA-Z0-9#%.,+ /-]|'[a-zA-Z0-9 _.-]*'|"[a-zA-Z0-9 _.-]*"|(?:rgb|rgba|hsl|hsla)\([0-9a-z ,.%/+-]*\))+$`)
	// negative numbers move things over others.
	negative = regexp.MustCompile(`(?:^|[ ,(])-\.?[0-9]`)
	// cssURL is what would be fetched.
	cssURL = regexp.MustCompile(`(?i)(?:url|image|image-set|src)\s*\(\s*["']?([^)]*)\)?`)
	// cssComment is a comment, also one that does not end.
	cssComment = regexp.MustCompile(`(?s)/\*.*?(?:\*/|$)`)
	// selector is what a rule may be for.
	selector = regexp.MustCompile(`^[a-zA-Z0-9 .#,>+~*:_()-]+$`)
	// media is when a rule may hold.
	media = regexp.MustCompile(`^[a-zA-Z0-9 ,():.-]+$`)
)

// cleanStyle returns the declarations that a mail may make, and how many things the
// others would have fetched.
func cleanStyle(s string, sheet bool) (safe string, remote int) {
	if len(s) > maxStyle {
		return "", 0
	}
	s = cssComment.ReplaceAllString(s, "")
	var out strings.Builder
	for decl := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(decl, ":")
		if !ok {
			continue
		}
		for _, found := range cssURL.FindAllStringSubmatch(value, -1) {
			if isRemote(found[1]) {
				remote++
			}
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if value, ok = cleanValue(name, value, sheet); ok {
			if out.Len() > 0 {
				out.WriteByte(';')
			}
			out.WriteString(name + ":" + value)
		}
	}
	return out.String(), remote
}

// cleanValue returns the value of a declaration, and reports whether it may be made.
func cleanValue(name, value string, sheet bool) (string, bool) {
	if !properties[name] {
		return "", false
	}
	value = strings.TrimSpace(value)
	important := ""
	if i := strings.IndexByte(value, '!'); i >= 0 {
		if !strings.EqualFold(strings.TrimSpace(value[i+1:]), "important") {
			return "", false
		}
		value = strings.TrimSpace(value[:i])
		if sheet { // elsewhere it would only beat styles of the mail itself
			important = "!important"
		}
	}
	if name == "background" { // its colour is needed to read what lies on it
		value = strings.TrimSpace(cssURL.ReplaceAllString(value, ""))
	}
	value = strings.Join(strings.Fields(value), " ")
	if value == "" || len(value) > 300 || !cssValue.MatchString(value) || strings.Contains(value, "//") {
		return "", false
	}
	if negative.MatchString(value) {
		return "", false
	}
	return value + important, true
}

// cleanSheet returns the rules of a style sheet that a mail may have, and how many things
// the others would have fetched.
func cleanSheet(s string) (safe string, remote int) {
	if len(s) > maxSheet {
		s = s[:maxSheet]
	}
	s = strings.NewReplacer("<!--", "", "-->", "").Replace(cssComment.ReplaceAllString(s, ""))
	p := sheetCleaner{rest: s}
	p.rules()
	return p.out.String(), p.remote
}

// A sheetCleaner reads a style sheet from its beginning to its end.
type sheetCleaner struct {
	rest   string
	within bool // within @media
	out    strings.Builder
	count  int // of rules
	remote int
}

// rules reads all rules.
func (p *sheetCleaner) rules() {
	for p.count < maxRules {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n\f;")
		i := strings.IndexAny(p.rest, "{};")
		if i < 0 {
			p.fetches(p.rest)
			p.rest = ""
			return
		}
		head, mark := strings.Join(strings.Fields(p.rest[:i]), " "), p.rest[i]
		p.rest = p.rest[i+1:]
		switch {
		case mark == '}': // nothing was open
		case mark == ';': // @import, @charset
			p.fetches(head)
		case strings.HasPrefix(head, "@"):
			p.at(head)
		default:
			p.rule(head)
		}
	}
}

// rule reads the declarations of a rule.
func (p *sheetCleaner) rule(head string) {
	body := p.block()
	p.count++
	safe, remote := cleanStyle(body, true)
	p.remote += remote
	if safe != "" && len(head) <= 500 && selector.MatchString(head) && !strings.Contains(head, "db-") {
		p.out.WriteString(head + "{" + safe + "}\n")
	}
}

// at reads an at-rule with a block. @media alone is kept.
func (p *sheetCleaner) at(head string) {
	condition, ok := strings.CutPrefix(strings.ToLower(head), "@media")
	if !ok || p.within || len(condition) > 300 || !media.MatchString(condition) {
		p.fetches(p.block())
		return
	}
	inner := sheetCleaner{rest: p.block(), within: true, count: p.count}
	inner.rules()
	p.count, p.remote = inner.count, p.remote+inner.remote
	if inner.out.Len() > 0 {
		p.out.WriteString("@media" + condition + "{" + inner.out.String() + "}\n")
	}
}

// block returns what is left of the block that was opened last, with the blocks in it.
func (p *sheetCleaner) block() string {
	depth := 1
	for i := range len(p.rest) {
		switch p.rest[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				body := p.rest[:i]
				p.rest = p.rest[i+1:]
				return body
			}
		}
	}
	body := p.rest
	p.rest = ""
	return body
}

// fetches counts what would have been fetched by something that is left out.
func (p *sheetCleaner) fetches(s string) {
	found := cssURL.FindAllStringSubmatch(s, -1)
	for _, f := range found {
		if isRemote(f[1]) {
			p.remote++
		}
	}
	if len(found) == 0 && strings.HasPrefix(s, "@import") && isRemote(strings.Trim(strings.TrimPrefix(s, "@import"), ` "'`)) {
		p.remote++
	}
}

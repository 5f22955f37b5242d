package letter

import (
	"html"
	"regexp"
	"strings"
)

// maxQuote is how many levels of quotation are shown as such.
const maxQuote = 8

// textHTML shows a plain text as HTML, with its links and its levels of quotation. It reports
// whether all of it is in the page.
func textHTML(b *strings.Builder, text string) (whole bool) {
	depth, i := 0, 0
	b.WriteString(`<div class="db-text">`)
	for line := range strings.SplitSeq(text, "\n") {
		if b.Len() > maxPage {
			break
		}
		level, rest := quoteLevel(line)
		if level != depth {
			for ; depth > level; depth-- {
				b.WriteString("</blockquote>")
			}
			for ; depth < level; depth++ {
				b.WriteString(`<blockquote class="db-quote">`)
			}
		} else if i > 0 {
			b.WriteByte('\n')
		}
		linked(b, rest)
		i++
	}
	whole = b.Len() <= maxPage
	b.WriteString(strings.Repeat("</blockquote>", depth) + "</div>")
	return whole
}

// quoteLevel returns how deeply a line is quoted, and the line without the marks.
func quoteLevel(line string) (level int, rest string) {
	rest = line
	for level < maxQuote {
		after, ok := strings.CutPrefix(strings.TrimPrefix(rest, " "), ">")
		if !ok || level == 0 && rest[0] == ' ' {
			break
		}
		level, rest = level+1, after
	}
	if level > 0 {
		rest = strings.TrimPrefix(rest, " ")
	}
	return level, rest
}

// inLine finds what people take for a link.
var inLine = regexp.MustCompile(`(?i)\bhttps?://[^\s<>"]{3,}|\bwww\.[^\s<>"]{3,}|\b[a-z0-9._%+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,20}\b`)

// linked writes a line with its links, or as much of it as the page can hold.
func linked(b *strings.Builder, line string) {
	for b.Len() <= maxPage {
		at := inLine.FindStringIndex(line)
		if at == nil {
			b.WriteString(html.EscapeString(line))
			return
		}
		word := trimLink(line[at[0]:at[1]])
		b.WriteString(html.EscapeString(line[:at[0]]))
		href := word
		switch {
		case strings.Contains(word, "://"):
		case strings.HasPrefix(strings.ToLower(word), "www."):
			href = "http://" + word
		default:
			href = "mailto:" + word
		}
		if l := newLink(href); l.href != "" {
			l.text(word)
			b.WriteString("<a" + l.attributes() + ">" + html.EscapeString(word) + "</a>" + l.warning())
		} else {
			b.WriteString(html.EscapeString(word))
		}
		line = line[at[0]+len(word):]
	}
}

// trimLink cuts off what belongs to the sentence and not to the link in it.
func trimLink(s string) string {
	round := strings.Count(s, ")") - strings.Count(s, "(") // how many more end than begin
	square := strings.Count(s, "]") - strings.Count(s, "[")
	for end := len(s); ; end-- {
		s = s[:end]
		switch {
		case s == "":
			return s
		case strings.IndexByte(".,;:!?'*_", s[end-1]) >= 0:
		case s[end-1] == ')' && round > 0:
			round--
		case s[end-1] == ']' && square > 0:
			square--
		default:
			return s
		}
	}
}

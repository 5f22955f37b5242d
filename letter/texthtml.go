package letter

import (
	"html"
	"regexp"
	"strings"
)

// maxQuote is how many levels of quotation are shown as such.
const maxQuote = 8

// textHTML shows a plain text as HTML, with its links and its levels of quotation.
func textHTML(text string) string {
	var b strings.Builder
	depth := 0
	b.WriteString(`<div class="db-text">`)
	for i, line := range strings.Split(text, "\n") {
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
		linked(&b, rest)
	}
	b.WriteString(strings.Repeat("</blockquote>", depth) + "</div>")
	return b.String()
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

// linked writes a line with its links.
func linked(b *strings.Builder, line string) {
	for {
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
	for {
		t := strings.TrimRight(s, ".,;:!?'*_")
		if strings.HasSuffix(t, ")") && strings.Count(t, ")") > strings.Count(t, "(") {
			t = t[:len(t)-1]
		}
		if strings.HasSuffix(t, "]") && strings.Count(t, "]") > strings.Count(t, "[") {
			t = t[:len(t)-1]
		}
		if t == s {
			return s
		}
		s = t
	}
}

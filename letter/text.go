package letter

import (
	"io"
	"strings"
)

// Text returns what the mail says: its plain texts, or what can be read of its HTML, with
// lines that end in LF.
func (l *Letter) Text() string {
	var texts []string
	for _, n := range l.shown {
		if s := strings.TrimRight(l.plainOf(n), " \t\n"); s != "" {
			texts = append(texts, s)
		}
	}
	return strings.Join(texts, "\n\n")
}

// AllText returns everything in the mail that is text, for who searches it: what is shown,
// in all its versions, texts that came as files, and mails in the mail with their headers.
func (l *Letter) AllText() string {
	var b strings.Builder
	add := func(s string) {
		if s != "" {
			b.WriteString(s)
			b.WriteByte('\n')
		}
	}
	for _, n := range l.leaves {
		if n.message != nil {
			for _, name := range []string{"subject", "from", "to", "cc"} {
				add(oneLine(decodeWords(n.message.raw(name))))
			}
		} else if strings.HasPrefix(n.kind, "text/") || n.kind == "message/delivery-status" {
			add(l.plainOf(n))
		}
	}
	return b.String()
}

// plainOf returns a text part as it can be read on any screen.
func (l *Letter) plainOf(n *node) string {
	text := l.textOf(n)
	if n.kind == "text/html" {
		return Harmless(htmlText(text))
	}
	if strings.EqualFold(n.params["format"], "flowed") {
		text = unflow(text, strings.EqualFold(n.params["delsp"], "yes"))
	}
	return Harmless(text)
}

// textOf decodes a text part, and is bounded by what is left of Limits.Decoded.
func (l *Letter) textOf(n *node) string {
	if text, ok := l.texts[n]; ok {
		return text
	}
	most := max(l.limits.Decoded-l.decoded, 0)
	raw := make([]byte, 0, min(n.decodedSize(), most)+1)
	r := io.LimitReader(n.decoded(), int64(most)+1)
	for {
		if len(raw) == cap(raw) {
			raw = append(raw, 0)[:len(raw)]
		}
		k, err := r.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+k]
		if err != nil { // these readers know no error but the end
			break
		}
	}
	if len(raw) > most {
		raw = raw[:most]
		l.leave(LeftText)
	}
	l.decoded += len(raw)
	charset := n.params["charset"]
	if charset == "" && n.kind == "text/html" {
		charset = metaCharset(raw)
	}
	text, whole := decodeCharset(raw, charset)
	if !whole {
		l.leave(LeftCharset)
	}
	text = newlines(text)
	l.texts[n] = text
	return text
}

// newlines makes every line end in LF.
func newlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// unflow joins the lines of text that says format=flowed: RFC 3676, section 4.
func unflow(text string, delsp bool) string {
	var out strings.Builder
	depth, open := 0, false // of the paragraph that goes on
	for line := range strings.SplitSeq(text, "\n") {
		rest := strings.TrimLeft(line, ">")
		level := len(line) - len(rest)
		rest = strings.TrimPrefix(rest, " ") // section 4.4: it was stuffed
		if open && (level != depth || rest == "-- ") {
			out.WriteByte('\n')
			open = false
		}
		if !open && level > 0 {
			out.WriteString(strings.Repeat(">", level) + " ")
		}
		depth = level
		open = strings.HasSuffix(rest, " ") && rest != "-- "
		if open && delsp {
			rest = rest[:len(rest)-1]
		}
		out.WriteString(rest)
		if !open {
			out.WriteByte('\n')
		}
	}
	return strings.TrimSuffix(out.String(), "\n")
}

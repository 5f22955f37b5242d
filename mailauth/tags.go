package mailauth

import (
	"errors"
	"strings"
)

// A tag is one entry of a tag list: RFC 6376, section 3.2. Records of DKIM and DMARC
// and signatures are such lists.
type tag struct {
	name  string
	value string // without white space around it
	from  int    // where the value begins in the text, white space included
	to    int    // where it ends
}

// tags is a tag list in the order of its text.
type tags []tag

// mostTags bounds a list. Ten are known.
const mostTags = 64

var errTags = errors.New("not a list of tags")

// parseTags reads a tag list. A tag that comes twice spoils the whole list.
func parseTags(s string) (tags, error) {
	list := make(tags, 0, 16)
	for at := 0; at < len(s); {
		end := strings.IndexByte(s[at:], ';')
		if end < 0 {
			end = len(s)
		} else {
			end += at
		}
		spec := s[at:end]
		name, value, ok := strings.Cut(spec, "=")
		name = trim(name)
		switch {
		case !ok && name == "" && end >= len(strings.TrimRight(s, " \t\r\n")): // after the last semicolon
		case !ok, !isTagName(name), list.has(name), len(list) == mostTags:
			return nil, errTags
		default:
			list = append(list, tag{name: name, value: trim(value), from: end - len(value), to: end})
		}
		at = end + 1
	}
	return list, nil
}

// isTagName checks ALPHA *(ALPHA / DIGIT / "_").
func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != ""
}

// find returns the tag of a name.
func (l tags) find(name string) (tag, bool) {
	for _, t := range l {
		if t.name == name {
			return t, true
		}
	}
	return tag{}, false
}

func (l tags) has(name string) bool { _, ok := l.find(name); return ok }

// get returns the value of a tag, or fallback when there is none.
func (l tags) get(name, fallback string) string {
	if t, ok := l.find(name); ok {
		return t.value
	}
	return fallback
}

// trim removes folding white space around s.
func trim(s string) string { return strings.Trim(s, " \t\r\n") }

// dense removes all folding white space from s.
func dense(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		}
		return r
	}, s)
}

// listed returns the entries of a colon-separated value.
func listed(s string) []string {
	entries := strings.Split(s, ":")
	for i, e := range entries {
		entries[i] = trim(e)
	}
	return entries
}

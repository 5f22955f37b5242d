package city

import (
	"errors"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxText bounds a configuration file, in bytes. A city with a thousand domains needs
// a tenth of it.
const maxText = 4 << 20

// A document is a TOML text on its way to being checked. It collects mistakes, so that
// all of them can be told at once.
type document struct {
	file     string
	lines    map[string]int // path with indexes, such as "tenant[0].route[1].hosts" → line
	mistakes Mistakes
}

// A section is one table of a document.
type section struct {
	doc    *document
	path   string         // with indexes, "" at the top
	line   int            // where the table starts
	values map[string]any // what TOML made of it
	known  []string       // the keys that were asked for
}

// open decodes text. Without a section the text is not TOML at all, and the document
// holds that one mistake.
func open(file string, text []byte) (*document, *section) {
	d := &document{file: file, lines: map[string]int{}}
	if len(text) > maxText {
		d.add(1, "", "", says("the file is too large"), says("at most %s bytes", maxText))
		return d, nil
	}
	values := map[string]any{}
	if err := toml.Unmarshal(text, &values); err != nil {
		d.syntax(text, err)
		return d, nil
	}
	d.locate(text)
	return d, &section{doc: d, line: 1, values: values}
}

// syntax notes what the TOML decoder says.
func (d *document) syntax(text []byte, err error) {
	m := Mistake{File: d.file, Line: 1, Problem: says("not TOML: %s", err), Want: says("see %s", "https://toml.io")}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		m.Line, m.Column = de.Position()
		m.Line = min(max(m.Line, 1), 1+strings.Count(string(text), "\n"))
		m.Problem = says("not TOML: %s", printable(strings.TrimPrefix(de.Error(), "toml: ")))
	}
	d.mistakes = append(d.mistakes, m)
}

// locate notes the line of every table and key.
func (d *document) locate(text []byte) {
	var breaks []int
	for i, c := range text {
		if c == '\n' {
			breaks = append(breaks, i)
		}
	}
	l := locator{doc: d, breaks: breaks, sizes: map[string]int{}}
	l.parser.Reset(text)
	table := ""
	for l.parser.NextExpression() {
		n := l.parser.Expression()
		switch n.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = l.table(n)
		case unstable.KeyValue:
			l.keyValue(table, n)
		}
	}
}

// A locator walks the syntax tree of a document that is known to be TOML.
type locator struct {
	doc    *document
	parser unstable.Parser
	breaks []int          // offsets of all line ends
	sizes  map[string]int // how many tables an array of tables has so far
}

// line returns the line in which a node starts.
func (l *locator) line(n *unstable.Node) int {
	return 1 + sort.SearchInts(l.breaks, int(n.Raw.Offset))
}

// table notes a [table] or [[array of tables]] and returns its path.
func (l *locator) table(n *unstable.Node) string {
	path, line := "", 0
	for it := n.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		line = l.line(it.Node())
		if it.IsLast() && n.Kind == unstable.ArrayTable {
			l.sizes[path]++
		}
		if size := l.sizes[path]; size > 0 {
			path = index(path, size-1)
		}
	}
	l.doc.lines[path] = line
	return path
}

// keyValue notes a key below table, and what its value holds.
func (l *locator) keyValue(table string, n *unstable.Node) {
	path := table
	for it := n.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		l.doc.lines[path] = l.line(it.Node())
	}
	l.value(path, l.doc.lines[path], n.Value())
}

// value notes the elements of lists and inline tables. Those that have no place of
// their own get the line of their parent.
func (l *locator) value(path string, line int, n *unstable.Node) {
	switch n.Kind {
	case unstable.Array:
		i := 0
		for it := n.Children(); it.Next(); i++ {
			child := it.Node()
			if child.Kind == unstable.Comment {
				i--
				continue
			}
			at := line
			if child.Raw.Length > 0 {
				at = l.line(child)
			}
			l.doc.lines[index(path, i)] = at
			l.value(index(path, i), at, child)
		}
	case unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				l.keyValue(path, it.Node())
			}
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// plain returns a path without indexes, as people write it.
func plain(path string) string {
	var b strings.Builder
	for path != "" {
		before, rest, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			break
		}
		_, path, _ = strings.Cut(rest, "]")
	}
	return b.String()
}

// add notes a mistake.
func (d *document) add(line int, field, value string, problem, want Text) {
	d.mistakes = append(d.mistakes, Mistake{File: d.file, Line: line, Field: field,
		Value: value, Problem: problem, Want: want})
}

// at returns the line of a path, or that of what surrounds it.
func (s *section) at(key string) int {
	if line, ok := s.doc.lines[join(s.path, key)]; ok {
		return line
	}
	return s.line
}

// wrong notes that the value of key is not right.
func (s *section) wrong(key string, problem, want Text) {
	field := join(plain(s.path), key)
	value, ok := s.values[key]
	if !ok {
		s.missing(key, want)
		return
	}
	s.doc.add(s.at(key), field, shown(field, value), problem, want)
}

// wrongItem notes that one element of a list is not right.
func (s *section) wrongItem(key string, i int, value string, problem, want Text) {
	field := join(plain(s.path), key)
	s.doc.add(s.at(index(key, i)), field, shown(field, value), problem, want)
}

// missing notes that a key that must be there is not.
func (s *section) missing(key string, want Text) {
	s.doc.add(s.line, join(plain(s.path), key), "", says("is missing"), want)
}

// has reports whether key is written, and makes it known.
func (s *section) has(key string) bool {
	if !slices.Contains(s.known, key) {
		s.known = append(s.known, key)
	}
	_, ok := s.values[key]
	return ok
}

// text returns a string, or fallback when the key is not written. An empty string is a
// mistake, for it never means anything.
func (s *section) text(key, fallback string, want Text) string {
	if !s.has(key) {
		return fallback
	}
	v, ok := s.values[key].(string)
	if !ok || v == "" {
		s.wrong(key, says("not a text with at least one character"), want)
		return ""
	}
	return v
}

// must returns a string that has to be written.
func (s *section) must(key string, want Text) string {
	if !s.has(key) {
		s.missing(key, want)
		return ""
	}
	return s.text(key, "", want)
}

// number returns an integer from low to high, or fallback when it is not written.
func (s *section) number(key string, fallback, low, high int64) int64 {
	if !s.has(key) {
		return fallback
	}
	v, ok := s.values[key].(int64)
	if !ok || v < low || v > high {
		s.wrong(key, says("not a whole number in its range"), says("write %s to %s", low, high))
		return fallback
	}
	return v
}

// flag returns true or false, or false when the key is not written.
func (s *section) flag(key string) bool {
	if !s.has(key) {
		return false
	}
	v, ok := s.values[key].(bool)
	if !ok {
		s.wrong(key, says("neither true nor false"), says("write true, without quotes"))
	}
	return v
}

// texts returns a list of strings; a wrong element is noted and left empty.
func (s *section) texts(key string, want Text) []string {
	if !s.has(key) {
		return nil
	}
	list, ok := s.values[key].([]any)
	if !ok {
		s.wrong(key, says("not a list"), want)
		return nil
	}
	if len(list) == 0 {
		s.wrong(key, says("an empty list"), want)
	}
	texts := make([]string, len(list))
	for i, e := range list {
		if texts[i], ok = e.(string); !ok || texts[i] == "" {
			s.doc.add(s.at(index(key, i)), join(plain(s.path), key), shown(key, e), says("not a text with at least one character"), want)
		}
	}
	return texts
}

// table returns a table; when it is not written, an empty one.
func (s *section) table(key string) *section {
	sub := &section{doc: s.doc, path: join(s.path, key), line: s.at(key)}
	if s.has(key) {
		var ok bool
		if sub.values, ok = s.values[key].(map[string]any); !ok {
			s.wrong(key, says("not a table"), says("write [%s] and its keys below", plain(sub.path)))
		}
	}
	return sub
}

// tables returns the tables of an array of tables.
func (s *section) tables(key string) []*section {
	if !s.has(key) {
		return nil
	}
	want := says("write [[%s]] and its keys below", join(plain(s.path), key))
	list, ok := s.values[key].([]any)
	if !ok {
		s.wrong(key, says("not a list of tables"), want)
		return nil
	}
	var subs []*section
	for i, e := range list {
		values, ok := e.(map[string]any)
		if !ok {
			s.wrong(key, says("not a list of tables"), want)
			return nil
		}
		path := index(join(s.path, key), i)
		subs = append(subs, &section{doc: s.doc, path: path, line: s.at(index(key, i)), values: values})
	}
	return subs
}

// done notes every key that nobody asked for.
func (s *section) done() {
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if slices.Contains(s.known, key) {
			continue
		}
		field := join(plain(s.path), key)
		want := says("known here: %s", strings.Join(s.known, ", "))
		if near := nearest(key, s.known); near != "" {
			want = says("did you mean %s?", near)
		}
		s.doc.add(s.at(key), field, shown(field, s.values[key]), says("unknown key"), want)
	}
}

// nearest returns the word that differs from key by one or two letters, or "".
func nearest(key string, words []string) string {
	best, distance := "", 3
	for _, w := range words {
		if d := editDistance(key, w); d < distance && d < len(w) {
			best, distance = w, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete or change (Levenshtein), bounded
// to short words.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

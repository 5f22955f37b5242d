package city

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"doppelboden"
)

// A Mistake is one thing wrong in a file, with what would be right.
type Mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line"`             // from 1
	Column  int    `json:"column,omitempty"` // from 1; 0 when the line says enough
	Field   string `json:"field,omitempty"`  // such as "tenant.route.hosts"; empty when the line cannot be read at all
	Value   string `json:"value,omitempty"`  // as written, "***" for what may be a secret; empty when missing
	Problem Text   `json:"problem"`          // what is wrong
	Want    Text   `json:"want,omitzero"`    // what to write instead
}

// A Text is a sentence of a mistake. Its key is the English sentence, with %s where the
// arguments stand; package say knows the key in other languages.
type Text struct {
	Key  string   `json:"key"`
	Args []string `json:"args,omitempty"`
}

// says makes a text. A test holds that every key has a German sentence.
func says(key string, args ...any) Text {
	t := Text{Key: key}
	for _, a := range args {
		t.Args = append(t.Args, fmt.Sprint(a))
	}
	return t
}

// String returns the text in English.
func (t Text) String() string {
	if len(t.Args) == 0 {
		return t.Key
	}
	args := make([]any, len(t.Args))
	for i, a := range t.Args {
		args[i] = a
	}
	return fmt.Sprintf(t.Key, args...)
}

// notAddress says what doppelboden.ParseAddress found wrong.
func notAddress(err error) Text {
	_, why, _ := strings.Cut(doppelboden.PublicOf(err), ": ")
	return says("not a mail address: %s", why)
}

// IsZero reports whether t says nothing.
func (t Text) IsZero() bool { return t.Key == "" }

// String returns the mistake in one line of English.
func (m Mistake) String() string { return m.In(Text.String) }

// In returns the mistake in one line, without control characters, in the words that
// speak finds for its texts.
func (m Mistake) In(speak func(Text) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", printable(m.File), m.Line)
	if m.Column > 0 {
		b.WriteString(speak(says("column %s", m.Column)) + ": ")
	}
	if m.Field != "" {
		b.WriteString(printable(m.Field))
		if m.Value != "" {
			b.WriteString(" = " + speak(Text{Key: printable(m.Value)})) // "a list" is a sentence too
		}
		b.WriteString(": ")
	}
	b.WriteString(speak(m.Problem))
	if !m.Want.IsZero() {
		b.WriteString("; " + speak(m.Want))
	}
	return b.String()
}

// Mistakes is the error of a file that was refused: all that is wrong, by line.
type Mistakes []Mistake

// Error returns one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the mistakes the code Invalid.
func (m Mistakes) Unwrap() error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the file has mistakes, nothing was changed"}
}

// sorted returns the mistakes in the order of lines and columns, or nil without any.
func (m Mistakes) sorted() error {
	if len(m) == 0 {
		return nil
	}
	slices.SortStableFunc(m, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return m
}

// maxShown bounds how much of a wrong value a mistake repeats.
const maxShown = 120

// printable returns s without characters that a terminal would act upon.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// secretWords are parts of field names whose values are never repeated.
var secretWords = [...]string{"password", "passwort", "secret", "token", "credential", "api_key", "apikey"}

// shown returns a value as a mistake may repeat it.
func shown(field string, value any) string {
	for _, w := range secretWords {
		if strings.Contains(strings.ToLower(field), w) {
			return "***"
		}
	}
	var s string
	switch v := value.(type) {
	case string:
		s = strconv.Quote(maskParameter(maskUserinfo(v)))
	case []any:
		s = "a list"
	case map[string]any:
		s = "a table"
	default:
		s = fmt.Sprint(v)
	}
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// maskParameter hides a password among the parameters of a URL, with all that follows it.
func maskParameter(s string) string {
	if at := strings.Index(strings.ToLower(s), "password="); at >= 0 {
		return s[:at+len("password=")] + "***"
	}
	return s
}

// maskUserinfo hides user and password in front of a host (RFC 3986, section 3.2.1):
// people paste them where they don't belong.
func maskUserinfo(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 || !ok && !strings.Contains(rest[:at], ":") {
		return s
	}
	if ok {
		scheme += "://"
	}
	return scheme + "***@" + rest[at+1:]
}

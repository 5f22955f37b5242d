// Package say gives the program's words to people in their language: German or
// English.
//
// The key of a text is its English sentence, with the verbs of package fmt. A sentence
// without a translation comes out in English; a test holds that there is none, and no
// translation that nobody uses. Numbers are written as the language writes them, so a
// port or an id is passed as a string.
//
// It never sees mail: what a stranger wrote must be made harmless (Plain) before it
// becomes an argument.
package say

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// A Printer speaks one language. It may be used by several goroutines.
type Printer struct {
	tag language.Tag
	p   *message.Printer
}

// New returns a printer for a locale such as "de_DE.UTF-8" or "de"; everything that is
// not German is English.
func New(locale string) *Printer {
	tag := language.English
	lang, _, _ := strings.Cut(strings.ToLower(locale), ".")
	if lang == "de" || strings.HasPrefix(lang, "de_") || strings.HasPrefix(lang, "de-") {
		tag = language.German
	}
	return &Printer{tag: tag, p: message.NewPrinter(tag, message.Catalog(words()))}
}

// FromEnv returns a printer for the locale of the environment: POSIX, section 8.2.
func FromEnv(getenv func(string) string) *Printer {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			return New(v)
		}
	}
	return New("")
}

// German reports whether the printer speaks German.
func (p *Printer) German() bool { return p.tag == language.German }

// T returns the text of an English sentence in the printer's language.
func (p *Printer) T(key string, args ...any) string { return p.p.Sprintf(key, args...) }

// Number returns n as the language writes it.
func (p *Printer) Number(n int64) string { return p.p.Sprintf("%d", n) }

// words builds the catalog of all texts.
func words() catalog.Catalog {
	b := catalog.NewBuilder(catalog.Fallback(language.English))
	for key, text := range german {
		// SetString fails only for a tag that is none.
		_ = b.SetString(language.German, key, text)
	}
	for key, c := range counted {
		_ = b.Set(language.English, key, plural.Selectf(1, "", "=1", c.one, "other", key))
		_ = b.Set(language.German, key, plural.Selectf(1, "", "=1", c.eins, "other", c.mehrere))
	}
	return b
}

// Plain returns s without anything that a terminal would act upon: control characters,
// line breaks and what turns the direction of writing become "?".
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ', unicode.IsPrint(r) && r != unicode.ReplacementChar:
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
}

// Known returns the translation of a sentence that another package made, such as the
// public text of an error, with args in the place of its %s; what has none stays as it
// is. An argument that is a known sentence itself is translated too.
func (p *Printer) Known(sentence string, args ...string) string {
	if p.German() {
		sentence = cmp.Or(foreign[sentence], mistakes[sentence], sentence)
	}
	if len(args) == 0 {
		return sentence
	}
	words := make([]any, len(args))
	for i, a := range args {
		words[i] = p.Known(a)
	}
	return fmt.Sprintf(sentence, words...)
}

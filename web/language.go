package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// A Language is one that pages are written in.
type Language string

// The languages of all pages.
const (
	German  Language = "de"
	English Language = "en"
)

// Languages returns all languages of pages, the first being what is taken for everybody
// who names none of them.
func Languages() []Language { return []Language{German, English} }

var matcher = language.NewMatcher([]language.Tag{language.German, language.English})

// languageOf chooses: what the visitor clicked, what her account says, what her browser
// says (RFC 9110, section 12.5.4).
func languageOf(r *http.Request, v *Visitor) Language {
	if c, err := r.Cookie(languageCookie); err == nil {
		if l, ok := parseLanguage(c.Value); ok {
			return l
		}
	}
	if v != nil {
		if l, ok := parseLanguage(v.Language); ok {
			return l
		}
	}
	accept := r.Header.Get("Accept-Language")
	if accept == "" || len(accept) > 200 {
		return German
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return German
	}
	_, i, sure := matcher.Match(tags...)
	if sure == language.No {
		return German
	}
	return Languages()[i]
}

func parseLanguage(s string) (Language, bool) {
	switch l := Language(strings.ToLower(s)); l {
	case German, English:
		return l, true
	}
	return "", false
}

// setLanguage notes which language the visitor wants.
func (s *Server) setLanguage(w http.ResponseWriter, r *http.Request) error {
	l, ok := parseLanguage(r.URL.Query().Get("to"))
	if !ok {
		return ErrNotFound
	}
	setCookie(w, languageCookie, string(l), int((365 * 24 * time.Hour).Seconds()))
	http.Redirect(w, r, Back(r.URL.Query().Get("back"), "/"), http.StatusSeeOther)
	return nil
}

// Words are the German texts of English sentences, which have the verbs of package fmt.
type Words map[string]string

// T returns an English sentence in a language.
func (w Words) T(l Language, sentence string, args ...any) string {
	if l != English {
		if text, ok := w[sentence]; ok {
			sentence = text
		}
	}
	if len(args) == 0 {
		return sentence
	}
	return fmt.Sprintf(sentence, args...)
}

// Back returns a path that came with a request when it leads to a page of ours, or
// fallback: no link with our name in front may lead to somebody else.
func Back(path, fallback string) string {
	if len(path) == 0 || len(path) > 500 || path[0] != '/' {
		return fallback
	}
	for i, c := range []byte(path) {
		// Browsers read "/\" like "//", and drop tabs and line breaks.
		if c < ' ' || c == 0x7f || c == '\\' || i == 1 && c == '/' {
			return fallback
		}
	}
	return path
}

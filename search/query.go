package search

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"doppelboden"
)

// A Query is what somebody looks for; all that is set must hold. Umlauts, their plain
// letters and their spellings (ä, a, ae; ß, ss) are alike, and so are capitals and accents.
type Query struct {
	Words      []string  // each is somewhere in the mail, perhaps inside of a word
	Phrases    []string  // each is there as whole words that follow each other
	From       []string  // each is in a sender's name or address
	To         []string  // each is in a recipient's name or address
	Subject    []string  // each is in the subject
	Since      time.Time // received then or later; zero: no bound
	Before     time.Time // received before; zero: no bound
	Attachment bool      // only with attachments
	Set, Clear uint32    // flags that are set, and flags that are not
	Hidden     bool      // also what the groupware has deleted
	Limit      int       // at most so many hits; 0: no bound
}

// maxTerms is how many things one query looks for; a text that somebody pasted has more.
const maxTerms = 30

// ParseQuery reads what a person typed. Nothing is an error: what is no question of the
// language is a word to look for. now says what "today" is, and where.
//
//	Bauantrag Müller        both, also inside of words
//	"frist zum 1. Mai"      whole words that follow each other
//	von: an: betreff:       (from: to: subject:) with a word or "several words"
//	seit:1.11.2026          (since:) also seit:gestern, seit:7t, seit:2026-11
//	vor:heute, bis:gestern  (before:, until:)
//	hat:anhang              (has:attachment)
//	ist:ungelesen           (is:unread) also gelesen, markiert, beantwortet
func ParseQuery(text string, now time.Time) Query {
	var q Query
	for n, rest := 0, text; n < maxTerms; n++ {
		var t term
		var ok bool
		if t, rest, ok = cutTerm(rest); !ok {
			break
		}
		q.add(t, now)
	}
	return q
}

// A term is one question: a key, if any, and a value.
type term struct {
	key    string // in lower case, folded; may be empty
	value  string
	quoted bool
	whole  string // as it was typed
}

// cutTerm takes a term from the front of s.
func cutTerm(s string) (t term, rest string, ok bool) {
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	if s == "" {
		return term{}, "", false
	}
	i := strings.IndexFunc(s, func(r rune) bool { return r == ':' || isQuote(r) || unicode.IsSpace(r) })
	if i > 0 && s[i] == ':' {
		t.key = keyOf(s[:i])
	}
	value := s
	if t.key != "" {
		value = s[i+1:]
	}
	t.value, rest, t.quoted = cutQuoted(value)
	t.whole = s[:len(s)-len(rest)]
	return t, rest, true
}

// isQuote reports whether r begins or ends a quotation, as people and their phones write it.
func isQuote(r rune) bool { return strings.ContainsRune("\"„“”«»", r) }

// cutQuoted takes a word, or several in quotes, from the front of s.
func cutQuoted(s string) (value, rest string, quoted bool) {
	if first, size := utf8.DecodeRuneInString(s); isQuote(first) {
		s = s[size:]
		end := strings.IndexFunc(s, isQuote)
		if end < 0 {
			return s, "", true
		}
		_, size = utf8.DecodeRuneInString(s[end:])
		return s[:end], s[end+size:], true
	}
	end := strings.IndexFunc(s, unicode.IsSpace)
	if end < 0 {
		return s, "", false
	}
	return s[:end], s[end:], false
}

// keyOf returns the English name of a key, or "" for what is none.
func keyOf(s string) string {
	switch strings.ToLower(s) {
	case "from", "von", "absender":
		return "from"
	case "to", "an", "empfänger", "empfaenger":
		return "to"
	case "subject", "betreff":
		return "subject"
	case "has", "hat", "mit":
		return "has"
	case "since", "seit", "ab", "after", "nach":
		return "since"
	case "before", "vor":
		return "before"
	case "until", "bis":
		return "until"
	case "is", "ist":
		return "is"
	}
	return ""
}

// add adds what a term asks for.
func (q *Query) add(t term, now time.Time) {
	switch t.key {
	case "from":
		q.From = appendTerm(q.From, t.value)
		return
	case "to":
		q.To = appendTerm(q.To, t.value)
		return
	case "subject":
		q.Subject = appendTerm(q.Subject, t.value)
		return
	case "since", "before", "until":
		if day, ok := parseDay(t.value, now); ok {
			q.bound(t.key, day)
			return
		}
	case "has":
		switch strings.ToLower(t.value) {
		case "attachment", "attachments", "anhang", "anhänge", "anhaenge", "anlage", "anlagen", "file", "datei":
			q.Attachment = true
			return
		}
	case "is":
		if q.is(strings.ToLower(t.value)) {
			return
		}
	}
	if t.key != "" { // it was meant as a word, such as "an:" alone or "seit:Ostern"
		q.Words = appendTerm(q.Words, strings.TrimSuffix(t.whole, ":"))
	} else if t.quoted {
		q.Phrases = appendTerm(q.Phrases, t.value)
	} else {
		q.Words = appendTerm(q.Words, strings.Trim(t.value, "*"))
	}
}

// bound adds a bound of the time at which mails came.
func (q *Query) bound(key string, day time.Time) {
	switch {
	case key == "since":
		if day.After(q.Since) {
			q.Since = day
		}
		return
	case key == "until": // that day is within
		day = day.AddDate(0, 0, 1)
	}
	if q.Before.IsZero() || day.Before(q.Before) {
		q.Before = day
	}
}

// is adds what a mail must be.
func (q *Query) is(what string) bool {
	switch what {
	case "unread", "unseen", "ungelesen", "neu", "new":
		q.Clear |= doppelboden.Seen
	case "read", "seen", "gelesen":
		q.Set |= doppelboden.Seen
	case "flagged", "starred", "important", "markiert", "wichtig":
		q.Set |= doppelboden.Flagged
	case "answered", "beantwortet":
		q.Set |= doppelboden.Answered
	case "unanswered", "unbeantwortet", "offen":
		q.Clear |= doppelboden.Answered
	default:
		return false
	}
	return true
}

// appendTerm adds what is not empty.
func appendTerm(list []string, s string) []string {
	if strings.TrimSpace(s) == "" {
		return list
	}
	return append(list, s)
}

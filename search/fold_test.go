package search

import (
	"strings"
	"testing"
)

func TestWordsAreFoundHoweverTheyAreWritten(t *testing.T) {
	for _, c := range []struct {
		text, word string
		want       bool
	}{
		{"Bauantragsformular", "Antrag", true}, {"BAUANTRAG", "bauantrag", true}, {"bauantrag", "BAUANTRÄG", true},
		{"Müller", "mueller", true}, {"Mueller", "Müller", true}, {"Müller", "muller", true}, {"Muller", "müller", true}, {"Mueller", "Muller", false},
		{"Straße", "strasse", true}, {"STRASSE", "straße", true}, {"Strase", "straße", false}, {"Masse", "maße", true},
		{"Neueröffnung", "eröffnung", true}, {"Neueroeffnung", "eröffnung", true}, {"Steuererklärung", "erklaerung", true}, {"Bauentwurf", "entwurf", true},
		{"Café", "cafe", true}, {"cafe", "Café", true}, {"Mu\u0308ller", "müller", true}, {"Cafe\u0301", "café", true}, {"Łódź", "lodz", true},
		{"Ærø", "aero", true}, {"æ", "ä", true}, {"Ďáblice", "dablice", true}, {"Ёлка", "елка", true}, {"Αθήνα", "αθηνα", true},
		{"日本語のテキスト", "テキスト", true}, {"ﬁnanzen", "finanzen", true}, {"ＡＢＣ", "abc", true}, {"한국말로", "국말", true},
		{"eins\r\n\t  zwei", "eins zwei", true}, {"eins zwei", "zwei eins", false}, {"über", "ü", true}, {"uber", "ü", true}, {"ae", "ä", true}, {"x", "ä", false},
		{"äöüß", "aeoeuess", true}, {"aeoeuess", "äöüß", true}, {"sss", "ss", true}, {"ßs", "sss", true}, {"a", "", false},
		{"ab", "abc", false}, {"„Antrag“", "\"antrag\"", true}, {"a\u2013b", "a-b", true}, {strings.Repeat("ue", 1000), strings.Repeat("ü", 100), true},
		{strings.Repeat("ueu", 1000), strings.Repeat("üu", 60) + "x", false}, {"Frau O\u2019Neill", "o'neill", true}, {"a\x00b", "a b", true},
	} {
		p := newPattern(c.word, false)
		if got := p != nil && p.in(fold(nil, c.text)); got != c.want {
			t.Errorf("%.40q in %.40q: got %v, wanted %v", c.word, c.text, got, c.want)
		}
	}
}

func TestAPhraseBeginsAndEndsWhereWordsDo(t *testing.T) {
	for _, c := range []struct {
		text, phrase string
		want         bool
	}{
		{"der Antrag ist da", "antrag ist", true}, {"Bauantrag ist", "antrag ist", false}, {"Antrag istda", "antrag ist", false},
		{"Antrag", "antrag", true}, {"Anträge, Antrag!", "antrag", true}, {"(Müller)", "mueller", true}, {"Müllers Müller", "müller", true},
		{"Müller\nund Söhne", "müller und söhne", true}, {"Überantrag", "antrag", false}, {"antragé", "antrag", false},
	} {
		if got := newPattern(c.phrase, true).in(fold(nil, c.text)); got != c.want {
			t.Errorf("%q in %q: got %v, wanted %v", c.phrase, c.text, got, c.want)
		}
	}
}

// FuzzPattern compares the matcher with what is obviously right: a text without letters of
// several spellings holds what strings says, and every text holds each of its own parts.
func FuzzPattern(f *testing.F) {
	f.Add("Müller aus der Straße", 3, 9)
	f.Add("aeoeue äöü ss ß \x00 a\u0308", 0, 20)
	f.Fuzz(func(t *testing.T, text string, from, to int) {
		folded := fold(nil, text)
		if again := fold(nil, string(fold(nil, strings.Map(spellable, text)))); string(again) != string(fold(nil, strings.Map(spellable, text))) {
			t.Errorf("%q: folding twice differs", text)
		}
		r := []rune(text)
		from, to = max(min(from, len(r)), 0), max(min(to, len(r), from+30), 0)
		if from >= to || len(text) > 1000 {
			return
		}
		part := strings.TrimFunc(string(r[from:to]), func(r rune) bool { return r > 0x7f || r <= ' ' || r == 0x7f })
		if p := newPattern(part, false); p != nil && strings.Contains(text, part) && part != "" && isPlain(part) && !p.in(folded) && isPlain(text) {
			t.Errorf("%q is not found in %q", part, text)
		}
	})
}

// spellable leaves letters out that fold to what folds again.
func spellable(r rune) rune {
	if r > 0x7f {
		return -1
	}
	return r
}

func isPlain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f || r <= ' ' || r == 0x7f }) < 0
}

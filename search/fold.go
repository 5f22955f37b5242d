package search

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Letters that can be written in two ways have a byte of their own in folded text, where
// no other control character is left.
const (
	markA byte = 1 // ä
	markO byte = 2 // ö
	markU byte = 3 // ü
	markS byte = 4 // ß
)

// fold returns text as it is compared: in small letters, without accents, with single
// blanks, and with marks for umlauts. It appends to out.
func fold(out []byte, text string) []byte {
	begin, blank := len(out), true
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			end := i
			for end < len(text) && text[end] >= utf8.RuneSelf {
				end++
			}
			if mark := umlaut(text[i:end]); mark != 0 { // what most of them are, for speed
				out, blank, i = append(out, mark), false, end
				continue
			}
			// An accent of its own belongs to the letter before.
			if i > 0 && !blank && norm.NFC.QuickSpanString(text[i-1:end]) < end-i+1 {
				out, i = out[:len(out)-1], i-1
			}
			out, blank = foldRest(out, text[i:end], blank)
			i = end
			continue
		}
		i++
		switch {
		case c <= ' ' || c == 0x7f:
			if !blank {
				out, blank = append(out, ' '), true
			}
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		out, blank = append(out, c), false
	}
	if len(out) > begin && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	return out
}

// umlaut returns the mark of a text that is one German letter, else 0.
func umlaut(s string) byte {
	switch s {
	case "ä", "Ä":
		return markA
	case "ö", "Ö":
		return markO
	case "ü", "Ü":
		return markU
	case "ß":
		return markS
	}
	return 0
}

// foldRest folds a run of text that is not US-ASCII.
func foldRest(out []byte, text string, blank bool) ([]byte, bool) {
	for _, r := range norm.NFKC.String(text) {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			if !blank {
				out, blank = append(out, ' '), true
			}
			continue
		}
		blank = false
		switch r = unicode.ToLower(r); r {
		case 'ä':
			out = append(out, markA)
		case 'ö', 'ø':
			out = append(out, markO)
		case 'ü':
			out = append(out, markU)
		case 'ß':
			out = append(out, markS)
		case 'æ':
			out = append(out, markA)
		case 'œ':
			out = append(out, markO)
		case 'ı':
			out = append(out, 'i')
		case 'ł':
			out = append(out, 'l')
		case 'đ', 'ð':
			out = append(out, 'd')
		case '\u2019', '\u2018':
			out = append(out, '\'')
		case '\u201c', '\u201d', '\u201e':
			out = append(out, '"')
		case '\u2010', '\u2011', '\u2013':
			out = append(out, '-')
		default:
			out = utf8.AppendRune(out, base(r))
		}
	}
	return out, blank
}

// base returns the letter that an accent stands on, in scripts where that is the same
// letter for who searches.
func base(r rune) rune {
	if r < utf8.RuneSelf || !unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic) {
		return r
	}
	var buf [utf8.UTFMax]byte
	d := norm.NFD.Properties(buf[:utf8.EncodeRune(buf[:], r)]).Decomposition()
	if len(d) == 0 {
		return r
	}
	for first, size := utf8.DecodeRune(d); size < len(d); {
		if mark, _ := utf8.DecodeRune(d[size:]); !unicode.Is(unicode.Mn, mark) {
			break
		}
		if deeper := base(first); deeper != first {
			return deeper
		}
		return first
	}
	return r
}

package search

import (
	"bytes"
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

// A pattern finds one folded text within another, where umlauts, their plain letters and
// their two-letter spellings are alike.
type pattern struct {
	tokens []token
	anchor []byte // the longest run of tokens that are what they are; may be empty
	at     int    // the first token of it
	words  bool   // it must begin and end where a word does
}

// A token is one byte, or a letter that can be written in several ways.
type token struct {
	byte byte
	many bool // as ways has them
}

// ways are the spellings of a letter, by what was asked for: 'a' finds "a" and ä, which
// a mark stands for; a mark (ä or ae) finds all three but "a" alone when "ae" was asked for.
type ways [3][]byte

// spellings returns in which ways a token may be written.
func (t token) spellings() ways {
	switch t.byte {
	case 'a', 'o', 'u':
		return ways{{t.byte}, {markOf(t.byte)}}
	case markA:
		return ways{{markA}, []byte("ae"), {'a'}}
	case markO:
		return ways{{markO}, []byte("oe"), {'o'}}
	case markU:
		return ways{{markU}, []byte("ue"), {'u'}}
	case markS:
		return ways{{markS}, []byte("ss")}
	case spelled + markA:
		return ways{{markA}, []byte("ae")}
	case spelled + markO:
		return ways{{markO}, []byte("oe")}
	case spelled + markU:
		return ways{{markU}, []byte("ue")}
	}
	return ways{{t.byte}}
}

// spelled is added to the mark of an umlaut that was asked for in two letters.
const spelled = 16

func markOf(c byte) byte {
	switch c {
	case 'a':
		return markA
	case 'o':
		return markO
	}
	return markU
}

// maxPattern is how much of what somebody looks for is compared, in bytes.
const maxPattern = 200

// newPattern returns the pattern of what somebody looks for; nil when that is nothing.
func newPattern(text string, words bool) *pattern {
	folded := fold(nil, text)
	folded = folded[:min(len(folded), maxPattern)]
	p := &pattern{words: words}
	for i := 0; i < len(folded); i++ {
		c, next := folded[i], byte(0)
		if i+1 < len(folded) {
			next = folded[i+1]
		}
		switch {
		case c == 's' && next == 's':
			p.tokens = append(p.tokens, token{markS, true})
			i++
		case (c == 'a' || c == 'o' || c == 'u') && next == 'e':
			p.tokens = append(p.tokens, token{spelled + markOf(c), true})
			i++
		case c == 'a' || c == 'o' || c == 'u' || c <= markS:
			p.tokens = append(p.tokens, token{c, true})
		default:
			p.tokens = append(p.tokens, token{byte: c})
		}
	}
	if len(p.tokens) == 0 {
		return nil
	}
	for i := 0; i < len(p.tokens); {
		end := i
		for end < len(p.tokens) && !p.tokens[end].many {
			end++
		}
		if end-i > len(p.anchor) {
			p.at, p.anchor = i, p.anchor[:0]
			for _, t := range p.tokens[i:end] {
				p.anchor = append(p.anchor, t.byte)
			}
		}
		i = end + 1
	}
	return p
}

// in reports whether the pattern is in a folded text.
func (p *pattern) in(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if len(p.anchor) > 0 {
			j := bytes.Index(text[i:], p.anchor)
			if j < 0 {
				return false
			}
			i += j
		}
		if p.here(text, i) {
			return true
		}
	}
	return false
}

// here reports whether the pattern is there with its anchor at i.
func (p *pattern) here(text []byte, i int) bool {
	var ends, begins [8]int
	after := p.forward(text, i+len(p.anchor), p.tokens[p.at+len(p.anchor):], ends[:0])
	if len(after) == 0 {
		return false
	}
	before := p.backward(text, i, p.tokens[:p.at], begins[:0])
	if !p.words {
		return len(before) > 0
	}
	return anyOf(before, func(at int) bool { return at == 0 || !inWord(text[at-1]) }) &&
		anyOf(after, func(at int) bool { return at == len(text) || !inWord(text[at]) })
}

func anyOf(list []int, ok func(int) bool) bool {
	for _, v := range list {
		if ok(v) {
			return true
		}
	}
	return false
}

// inWord reports whether a byte of folded text belongs to a word.
func inWord(c byte) bool {
	return c >= utf8.RuneSelf || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c <= markS && c > 0
}

// forward returns where tokens may end that begin at i.
func (p *pattern) forward(text []byte, i int, tokens []token, ends []int) []int {
	for n, t := range tokens {
		if !t.many {
			if i >= len(text) || text[i] != t.byte {
				return ends
			}
			i++
			continue
		}
		for _, way := range t.spellings() {
			if len(way) > 0 && bytes.HasPrefix(text[min(i, len(text)):], way) && len(ends) < cap(ends) {
				ends = p.forward(text, i+len(way), tokens[n+1:], ends)
			}
		}
		return ends
	}
	if len(ends) < cap(ends) {
		ends = append(ends, i)
	}
	return ends
}

// backward returns where tokens may begin that end at i.
func (p *pattern) backward(text []byte, i int, tokens []token, begins []int) []int {
	for n := len(tokens) - 1; n >= 0; n-- {
		t := tokens[n]
		if !t.many {
			if i == 0 || text[i-1] != t.byte {
				return begins
			}
			i--
			continue
		}
		for _, way := range t.spellings() {
			if len(way) > 0 && bytes.HasSuffix(text[:i], way) && len(begins) < cap(begins) {
				begins = p.backward(text, i-len(way), tokens[:n], begins)
			}
		}
		return begins
	}
	if len(begins) < cap(begins) {
		begins = append(begins, i)
	}
	return begins
}

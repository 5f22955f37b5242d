package search

import (
	"bytes"
	"unicode/utf8"
)

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
	c    byte
	ways [][]byte // nil: it is what it is
}

// waysOf returns how a letter may be spelled in a folded text. Who asks for "a" finds ä as
// well, who asks for ä finds "ae" and "a", and who asks for "ae" finds ä.
func waysOf(c byte) [][]byte {
	switch c {
	case 'a', 'o', 'u':
		return [][]byte{{c}, {markOf(c)}}
	case markA:
		return [][]byte{{markA}, []byte("ae"), {'a'}}
	case markO:
		return [][]byte{{markO}, []byte("oe"), {'o'}}
	case markU:
		return [][]byte{{markU}, []byte("ue"), {'u'}}
	case markS:
		return [][]byte{{markS}, []byte("ss")}
	case spelled + markA:
		return [][]byte{{markA}, []byte("ae")}
	case spelled + markO:
		return [][]byte{{markO}, []byte("oe")}
	case spelled + markU:
		return [][]byte{{markU}, []byte("ue")}
	}
	return nil
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
			p.tokens = append(p.tokens, token{markS, waysOf(markS)})
			i++
		case (c == 'a' || c == 'o' || c == 'u') && next == 'e':
			p.tokens = append(p.tokens, token{spelled + markOf(c), waysOf(spelled + markOf(c))})
			i++
		case c == 'a' || c == 'o' || c == 'u' || c <= markS:
			p.tokens = append(p.tokens, token{c, waysOf(c)})
		default:
			p.tokens = append(p.tokens, token{c: c})
		}
	}
	if len(p.tokens) == 0 {
		return nil
	}
	for i := 0; i < len(p.tokens); {
		end := i
		for end < len(p.tokens) && p.tokens[end].ways == nil {
			end++
		}
		if end-i > len(p.anchor) {
			p.at, p.anchor = i, p.anchor[:0]
			for _, t := range p.tokens[i:end] {
				p.anchor = append(p.anchor, t.c)
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
		if t.ways == nil {
			if i >= len(text) || text[i] != t.c {
				return ends
			}
			i++
			continue
		}
		for _, way := range t.ways {
			if bytes.HasPrefix(text[min(i, len(text)):], way) && len(ends) < cap(ends) {
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
		if t.ways == nil {
			if i == 0 || text[i-1] != t.c {
				return begins
			}
			i--
			continue
		}
		for _, way := range t.ways {
			if bytes.HasSuffix(text[:i], way) && len(begins) < cap(begins) {
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

package sink

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// A play is a script in use.
type play struct {
	Script
	began time.Time
	rules map[string][]*rule // by phase
}

// A rule is a Rule with what it has counted.
type rule struct {
	*Rule
	wire string // Reply as it is sent

	mu    sync.Mutex
	seen  int // how often it matched
	fired int // how often it was played
	dice  *rand.Rand
}

// newPlay begins to play a script.
func newPlay(s *Script, now time.Time) *play {
	p := &play{began: now, rules: make(map[string][]*rule)}
	if s != nil {
		p.Script = *s
	}
	for i := range p.Rules {
		r := &rule{Rule: &p.Rules[i], dice: rand.New(rand.NewPCG(p.Seed, uint64(i)))}
		if r.Reply != "" {
			r.wire = formatReply(r.Reply)
		}
		p.rules[r.Phase] = append(p.rules[r.Phase], r)
	}
	return p
}

// An occasion is what rules are matched with.
type occasion struct {
	phase      string
	verb       string
	sender     string
	recipients []string
	now        time.Time
}

// next returns the rule that is to be played, or nil.
func (p *play) next(o occasion) *rule {
	for _, r := range p.rules[o.phase] {
		if r.matches(o, o.now.Sub(p.began)) && r.takes() {
			return r
		}
	}
	return nil
}

// matches reports whether the occasion is one of the rule's.
func (r *rule) matches(o occasion, since time.Duration) bool {
	if since < time.Duration(r.From) || r.Until > 0 && since >= time.Duration(r.Until) {
		return false
	}
	if r.Verb != "" && r.Verb != o.verb || r.Sender != "" && !glob(r.Sender, o.sender) {
		return false
	}
	if r.Recipient == "" {
		return true
	}
	for _, to := range o.recipients {
		if glob(r.Recipient, to) {
			return true
		}
	}
	return false
}

// takes counts a match and reports whether it is one to be played.
func (r *rule) takes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	switch {
	case r.Nth > 0 && r.seen != r.Nth,
		r.Every > 0 && r.seen%r.Every != 0,
		r.Times > 0 && r.fired >= r.Times,
		r.Probability > 0 && r.dice.Float64() >= r.Probability:
		return false
	}
	r.fired++
	return true
}

// glob reports whether s matches a pattern in which * is any text and ? any octet.
func glob(pattern, s string) bool {
	pattern, s = strings.ToLower(pattern), strings.ToLower(s)
	star, mark := -1, 0 // the last *, and where its text ends so far
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

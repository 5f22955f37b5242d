package search

// A matcher says whether a mail has what a query looks for.
type matcher struct {
	anywhere   []*pattern
	from       []*pattern
	to         []*pattern
	subject    []*pattern
	attachment bool
	all        bool // nothing is looked for in the mail itself
}

func newMatcher(q *Query) *matcher {
	m := &matcher{attachment: q.Attachment}
	for _, part := range []struct {
		to    *[]*pattern
		terms []string
		words bool
	}{{&m.anywhere, q.Words, false}, {&m.anywhere, q.Phrases, true}, {&m.from, q.From, false}, {&m.to, q.To, false}, {&m.subject, q.Subject, false}} {
		for _, s := range part.terms {
			if p := newPattern(s, part.words); p != nil {
				*part.to = append(*part.to, p)
			}
		}
	}
	m.all = !m.attachment && len(m.anywhere)+len(m.from)+len(m.to)+len(m.subject) == 0
	return m
}

// matches reports whether a mail has all that is looked for.
func (m *matcher) matches(c *content) bool {
	if m.attachment && c.attachments == 0 || !every(m.from, c.from) || !every(m.to, c.to) || !every(m.subject, c.subject) {
		return false
	}
	for _, p := range m.anywhere {
		if !p.in(c.subject) && !p.in(c.from) && !p.in(c.body) && !p.in(c.to) && !p.in(c.names) {
			return false
		}
	}
	return true
}

func every(patterns []*pattern, text []byte) bool {
	for _, p := range patterns {
		if !p.in(text) {
			return false
		}
	}
	return true
}

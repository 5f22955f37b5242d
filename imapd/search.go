package imapd

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/search"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"golang.org/x/text/unicode/norm"
)

// mostCriteria bounds the conditions of one SEARCH, at all depths together.
const mostCriteria = 500

// Search implements imapserver.Session: RFC 9051, section 6.4.4.
func (s *session) Search(kind imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if count(c) > mostCriteria {
		return nil, no(imap.ResponseCodeLimit, "Too many conditions.")
	}
	places, err := s.search(c)
	if err != nil {
		return nil, refused(err)
	}
	data := &imap.SearchData{Count: uint32(len(places))}
	uids := s.view.uidsOf(places)
	if o.ReturnSave { // RFC 5182
		s.found = uidSet(uids)
	}
	if kind == imapserver.NumKindUID {
		data.All = uidSet(uids)
	} else {
		data.All = seqSet(places)
	}
	if n := len(places); n > 0 {
		data.Min, data.Max = uint32(places[0])+1, uint32(places[n-1])+1
		if kind == imapserver.NumKindUID {
			data.Min, data.Max = uids[0], uids[n-1]
		}
	}
	return data, nil
}

// count counts conditions.
func count(c *imap.SearchCriteria) int {
	n := 1 + len(c.SeqNum) + len(c.UID) + len(c.Header) + len(c.Body) + len(c.Text) + len(c.Flag) + len(c.NotFlag)
	for i := range c.Not {
		n += count(&c.Not[i])
	}
	for i := range c.Or {
		n += count(&c.Or[i][0]) + count(&c.Or[i][1])
	}
	return n
}

// A finder looks for what a SEARCH wants.
type finder struct {
	s    *session
	sets map[*imap.SearchCriteria][]map[int]bool
}

// A candidate is a mail that is looked at.
type candidate struct {
	at   int
	row  store.Shown
	f    *finder
	mail func() Mail           // opens it; nil when nobody may, or it is gone
	head []byte                // once it was read
	said []string              // the texts, folded, once they were read
	told map[search.Probe]bool // what is known of its texts without opening it; nil: nothing
	err  error
}

// search returns the places of what is found, rising. What can be known without opening a
// mail decides first.
func (s *session) search(c *imap.SearchCriteria) (places []int, err error) {
	v := s.view
	f := &finder{s: s, sets: map[*imap.SearchCriteria][]map[int]bool{}}
	f.resolve(c)
	rows := map[uint32]store.Shown{}
	if needsRow(c) {
		err := v.box.Shown(s.ctx, v.folder, store.ShownFilter{Hidden: true}, func(m store.Shown) error {
			rows[m.UID] = m
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var open []*candidate // those that have to be opened
	for at, m := range v.mails {
		one := &candidate{at: at, row: rows[m.uid], f: f}
		one.row.Flags = m.flags
		switch one.holds(c, false) {
		case yes:
			places = append(places, at)
		case unknown:
			if one.row.UID != 0 {
				open = append(open, one)
			}
		}
	}
	if len(open) > 0 {
		found, err := s.searchIn(c, open)
		if err != nil {
			return nil, err
		}
		places = append(places, found...)
		slices.Sort(places)
	}
	return places, nil
}

// searchIn opens mails and looks into them.
func (s *session) searchIn(c *imap.SearchCriteria, open []*candidate) (places []int, err error) {
	if places, open, err = s.probe(c, open); err != nil || len(open) == 0 {
		return places, err
	}
	uids := make([]uint32, len(open))
	for i, one := range open {
		uids[i] = one.row.UID
	}
	mails := s.openAll(uids)
	defer mails.close()
	for _, one := range open {
		o := mails.next(one.row.UID)
		if code := doppelboden.CodeOf(o.err); o.err != nil && code != doppelboden.NotFound && code != doppelboden.Policy {
			return nil, o.err
		}
		if o.mail == nil {
			continue // nobody may read it, or it has gone
		}
		one.mail = func() Mail { return o.mail }
		if one.holds(c, true) == yes {
			places = append(places, one.at)
		}
		one.mail, one.head = nil, nil
		o.mail.Free()
		if one.err != nil {
			return nil, one.err
		}
	}
	return places, nil
}

// resolve notes which mails the number sets of c name.
func (f *finder) resolve(c *imap.SearchCriteria) {
	var sets []imap.NumSet
	for _, set := range c.SeqNum {
		sets = append(sets, set)
	}
	for _, set := range c.UID {
		sets = append(sets, set)
	}
	for _, set := range sets {
		named := map[int]bool{}
		for _, at := range f.s.pick(set) {
			named[at] = true
		}
		f.sets[c] = append(f.sets[c], named)
	}
	for i := range c.Not {
		f.resolve(&c.Not[i])
	}
	for i := range c.Or {
		f.resolve(&c.Or[i][0])
		f.resolve(&c.Or[i][1])
	}
}

// needsRow reports whether flags and numbers are not enough.
func needsRow(c *imap.SearchCriteria) bool {
	if !c.Since.IsZero() || !c.Before.IsZero() || c.Larger > 0 || c.Smaller > 0 || needsMail(c) {
		return true
	}
	for i := range c.Not {
		if needsRow(&c.Not[i]) {
			return true
		}
	}
	for i := range c.Or {
		if needsRow(&c.Or[i][0]) || needsRow(&c.Or[i][1]) {
			return true
		}
	}
	return false
}

// needsMail reports whether c itself has conditions for which mails have to be opened.
func needsMail(c *imap.SearchCriteria) bool {
	return !c.SentSince.IsZero() || !c.SentBefore.IsZero() || len(c.Header)+len(c.Body)+len(c.Text) > 0
}

// An answer is whether a condition holds.
type answer int

const (
	never answer = iota
	unknown
	yes
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return never
}

// holds reports whether all conditions hold. Without opening the mail the answer may be
// unknown.
func (m *candidate) holds(c *imap.SearchCriteria, open bool) answer {
	if !m.holdsOutside(c) {
		return never
	}
	result := yes
	for i := range c.Not {
		result = min(result, yes-m.holds(&c.Not[i], open))
	}
	for i := range c.Or {
		result = min(result, max(m.holds(&c.Or[i][0], open), m.holds(&c.Or[i][1], open)))
	}
	if result == never || !needsMail(c) {
		return result
	}
	if m.told != nil {
		result = min(result, answerOf(m.holdsTold(c)))
		if result == never || c.SentSince.IsZero() && c.SentBefore.IsZero() {
			return result
		}
	}
	if !open {
		return unknown
	}
	return min(result, answerOf(m.holdsInside(c)))
}

// holdsOutside looks at what is known of a mail without opening it.
func (m *candidate) holdsOutside(c *imap.SearchCriteria) bool {
	for _, named := range m.f.sets[c] {
		if !named[m.at] {
			return false
		}
	}
	for _, flag := range c.Flag {
		if bit := bitOf(flag); bit == 0 || m.row.Flags&bit == 0 {
			return false
		}
	}
	for _, flag := range c.NotFlag {
		if m.row.Flags&bitOf(flag) != 0 {
			return false
		}
	}
	switch {
	case !c.Since.IsZero() && day(m.row.Date).Before(day(c.Since)),
		!c.Before.IsZero() && !day(m.row.Date).Before(day(c.Before)),
		c.Larger > 0 && m.row.Size <= c.Larger,
		c.Smaller > 0 && m.row.Size >= c.Smaller:
		return false
	}
	return true
}

// day is the date of a time, as the time zone has it in which it is told: RFC 9051, section
// 6.4.4.
func day(t time.Time) time.Time {
	y, mo, d := t.Date()
	return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
}

// holdsInside looks into a mail that was opened.
func (m *candidate) holdsInside(c *imap.SearchCriteria) bool {
	if m.head == nil {
		t := &text{mail: m.mail()}
		if m.err = t.readHead(); m.err != nil {
			return false
		}
		m.head = t.head
	}
	if !c.SentSince.IsZero() || !c.SentBefore.IsZero() {
		sent := envelope(m.head).Date
		if sent.IsZero() || !c.SentSince.IsZero() && day(sent).Before(day(c.SentSince)) || !c.SentBefore.IsZero() && !day(sent).Before(day(c.SentBefore)) {
			return false
		}
	}
	if m.told != nil {
		return true // what is asked of texts was answered before
	}
	for _, h := range c.Header {
		if !headerHas(m.head, h.Key, fold(h.Value)) {
			return false
		}
	}
	for _, want := range c.Body {
		if !m.says(fold(want)) {
			return false
		}
	}
	for _, want := range c.Text {
		folded := fold(want)
		if !headerHas(m.head, "", folded) && !m.says(folded) {
			return false
		}
	}
	return m.err == nil
}

// fold makes one form of texts that are to count as equal.
func fold(s string) string { return strings.ToLower(norm.NFC.String(s)) }

// headerHas reports whether a field of a name (all: "") holds a folded text, as it is
// written or decoded.
func headerHas(head []byte, name, want string) (found bool) {
	eachField(head, func(n, field []byte) bool {
		if name != "" && !strings.EqualFold(string(n), name) {
			return true
		}
		value := unfold(field[bytes.IndexByte(field, ':')+1:])
		found = strings.Contains(fold(value), want) || strings.Contains(value, "=?") && strings.Contains(fold(decoded(field)), want)
		if !found && name == "" {
			found = strings.Contains(fold(string(field)), want)
		}
		return !found
	})
	return found
}

// decoded returns a field's value with its encoded words decoded: RFC 2047.
func decoded(field []byte) (value string) {
	l, err := letter.Parse(bytes.NewReader(field), letter.Limits{})
	if err != nil {
		return ""
	}
	l.Fields(func(_, v string) { value = v })
	return value
}

// says reports whether the text of a mail holds a folded text.
func (m *candidate) says(want string) bool {
	if m.said == nil {
		m.said = []string{""}
		mail := m.mail()
		memory, who := m.f.s.server.memory, m.f.s.person.ID
		if m.err = memory.take(m.f.s.ctx, who, mail.Len()); m.err != nil {
			return false
		}
		defer memory.give(who, mail.Len())
		r, err := mail.Reader()
		if err != nil {
			m.err = err
			return false
		}
		defer r.Close()
		l, err := letter.Parse(r, letter.Limits{})
		if err != nil {
			m.err = err
			return false
		}
		m.said = []string{fold(l.AllText())}
	}
	return slices.ContainsFunc(m.said, func(text string) bool { return strings.Contains(text, want) })
}

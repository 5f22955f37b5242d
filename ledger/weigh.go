package ledger

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"doppelboden"
)

// A sheet is the balance while it is being added up.
type sheet struct {
	doppelboden.Balance
	days map[int64]*dayCount
}

// A dayCount tells whether a whole day is missing from a log.
type dayCount struct {
	accepted, intents int64 // messages of the day: in the ledger, and of these at the doors
	claimed, answered int64 // successes of the day by the courier: in the ledger, and of these in the replies
}

// weigh judges every message of the pass. Each delivery goes into the line of its state,
// or into the difference.
func (p *pass) weigh() {
	for id, i := range p.index {
		m := &p.messages[i]
		switch {
		case m.is(isLate):
		case m.is(isAccepted):
			p.weighAccepted(id, m)
		default:
			p.weighUnknown(id, m)
		}
	}
}

// weighUnknown judges a message that the ledger does not have. An intent alone means
// that it was not accepted; that is in order.
func (p *pass) weighUnknown(id doppelboden.ID, m *tallied) {
	s := &p.sheet
	n := int64(m.used)
	var rows, settled, tried bool
	passing := 0
	for _, d := range p.deliveries(m) {
		rows = rows || d.row != 0
		settled = settled || d.is(isSettled)
		switch {
		case d.is(isPassing) && m.intent >= 0:
			passing++
		case d.is(isTried):
			tried = true
		}
	}
	var what []string
	if m.is(isLost) {
		n = max(n, int64(m.intent), 1)
		s.Acknowledged += max(int64(m.intent), 1)
		what = append(what, "the door said 250, the ledger does not have it")
	}
	add := func(is bool, text string) {
		if is {
			n = max(n, 1)
			what = append(what, text)
		}
	}
	add(rows, "there are rows, but the ledger does not have it")
	add(settled, "the ledger settled it, but never accepted it")
	add(tried, "the replies know it, the ledger does not have it")
	add(m.is(isExpired), "retention removed it, but the ledger never accepted it")
	add(m.is(isBad) && len(what) == 0, "a log names a number out of range")
	if len(what) > 0 {
		s.differ(id, -1, n, what...)
		return
	}
	// The next server has it, and before we had a crash came: the sender, who was told
	// nothing, sends it again.
	s.InDoubt += int64(passing)
}

// weighAccepted judges a message that the ledger has.
func (p *pass) weighAccepted(id doppelboden.ID, m *tallied) {
	s := &p.sheet
	if !m.is(isGenerated) {
		day := s.day(id.Time())
		day.accepted++
		if m.intent >= 0 {
			day.intents++
		}
	}
	should := m.recipients + m.expanded - m.merged
	switch n := int64(m.deliveries); {
	case m.is(isGenerated):
		s.Generated += n
	case m.is(isSent):
		s.Acknowledged += int64(max(m.intent, 0))
		s.Expanded += int64(m.expanded)
		s.Merged += int64(m.merged)
	case m.intent >= 0:
		s.Unacknowledged += n
	}
	var what []string
	add := func(is bool, format string, args ...any) {
		if is {
			what = append(what, fmt.Sprintf(format, args...))
		}
	}
	add(m.is(isTwice), "the ledger accepted it twice")
	add(m.is(isBad), "a source names a number out of range")
	add(!m.is(isGenerated) && m.intent < 0, "the ledger has it, but it came through no door")
	add(!m.is(isGenerated) && m.intent >= 0 && m.intent != m.recipients,
		"the door counted %d recipients, the ledger %d", m.intent, m.recipients)
	add(should != m.deliveries, "%d recipients, %d expanded and %d merged do not make %d deliveries",
		m.recipients, m.expanded, m.merged, m.deliveries)
	add(m.used > m.deliveries, "there are %d deliveries, but the ledger accepted %d", m.used, m.deliveries)
	if len(what) > 0 {
		s.differ(id, -1, int64(max(should, m.deliveries, m.used, 1)), what...)
		return
	}
	for n := range p.deliveries(m) {
		p.weighDelivery(id, n, m, &p.all[int(m.base)+n])
	}
}

// weighDelivery judges one delivery.
func (p *pass) weighDelivery(id doppelboden.ID, n int, m *tallied, d *counted) {
	s := &p.sheet
	state := doppelboden.State(d.state)
	s.InDoubt += int64(d.doubt)
	if d.is(isOpen) {
		s.InDoubt++
	}
	// What is opened again is meant to be taken again.
	if most := d.replayed + 1; d.took > most {
		s.Duplicates += int64(d.took - most)
	}
	if d.is(isClaimed) {
		day := s.day(time.UnixMicro(d.deliveredAt))
		day.claimed++
		if d.took > 0 {
			day.answered++
		}
	}
	var what []string
	if d.is(isClaimed) && d.took == 0 {
		what = append(what, fmt.Sprintf("the ledger says %s by the courier, but no next server took it", state))
	}
	if d.unheard() {
		if p.excused(d) {
			s.InDoubt++
		} else {
			what = append(what, fmt.Sprintf("a next server took it, but the ledger says %s", state))
		}
	}
	switch {
	case m.is(isExpired) && !state.Ended():
		what = append(what, fmt.Sprintf("retention removed it while it was %s", state))
	case d.is(rowDiffers) && m.is(isExpired):
		what = append(what, "the ledger says that retention removed it, but its row is there")
	case d.is(rowDiffers) && d.row == 0:
		what = append(what, fmt.Sprintf("the ledger says %s, but its row is gone", state))
	case d.is(rowDiffers):
		what = append(what, fmt.Sprintf("the ledger says %s, its row says %s", state, doppelboden.State(d.row-1)))
	}
	line := s.line(state)
	if line == nil {
		what = append(what, "the ledger names a state that does not exist")
	}
	if len(what) > 0 {
		s.differ(id, n, 1, what...)
		return
	}
	s.Accepted++
	*line++
}

// excused reports whether a success may be unknown to the ledger: it has only just been
// logged, or the run that logged it has ended.
func (p *pass) excused(d *counted) bool {
	at := time.UnixMicro(d.tookAt)
	return at.After(p.now.Add(-settleGrace)) || p.Started.IsZero() || at.Before(p.Started)
}

// line returns the line of the sheet for a state, or nil.
func (s *sheet) line(state doppelboden.State) *int64 {
	switch state {
	case doppelboden.Confirmed:
		return &s.Confirmed
	case doppelboden.Delivered:
		return &s.Delivered
	case doppelboden.Queued:
		return &s.Queued
	case doppelboden.Held:
		return &s.Held
	case doppelboden.Bounced:
		return &s.Bounced
	case doppelboden.Discarded:
		return &s.Discarded
	}
	return nil
}

// day returns the count of the day (UTC) of t.
func (s *sheet) day(t time.Time) *dayCount {
	n := t.Unix() / 86400
	if s.days == nil {
		s.days = map[int64]*dayCount{}
	}
	if s.days[n] == nil {
		s.days[n] = &dayCount{}
	}
	return s.days[n]
}

// differ adds n deliveries to the difference.
func (s *sheet) differ(id doppelboden.ID, n int, deliveries int64, what ...string) {
	s.Accepted += deliveries
	s.Difference += deliveries
	s.Findings = append(s.Findings, doppelboden.Finding{Message: id, N: n, What: strings.Join(what, "; ")})
	if len(s.Findings) >= 4*maxFindings {
		s.trim()
	}
}

// trim keeps the first findings, by message and delivery. Those about everything have no
// message and come first.
func (s *sheet) trim() {
	slices.SortFunc(s.Findings, func(a, b doppelboden.Finding) int {
		return cmp.Or(bytes.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.N, b.N), cmp.Compare(a.What, b.What))
	})
	s.Findings = s.Findings[:min(len(s.Findings), maxFindings)]
}

// result closes the sheet. What nobody could read is no proof of anything: each lost
// record counts as one delivery about which nothing is known.
func (w *weighing) result() doppelboden.Balance {
	s := &w.sheet
	s.From, s.To = w.from, w.to
	texts, lost := w.damage.texts()
	if lost > 0 {
		s.differ(doppelboden.ID{}, -1, lost, texts...)
	}
	reasons := make([]string, 0, len(w.blind))
	for why := range w.blind {
		reasons = append(reasons, why)
	}
	sort.Strings(reasons)
	for _, why := range reasons {
		s.differ(doppelboden.ID{}, -1, w.blind[why], fmt.Sprintf("the entries of %d links of the ledger %s", w.blind[why], why))
	}
	// Every message of such a day is in the difference already; this says why.
	for n, d := range s.days {
		day := time.Unix(n*86400, 0).UTC().Format(time.DateOnly)
		if d.accepted > 0 && d.intents == 0 {
			s.explain("the log of the doors of " + day + " is missing")
		}
		if d.claimed > 0 && d.answered == 0 {
			s.explain("the log of the replies of " + day + " is missing")
		}
	}
	s.trim()
	return s.Balance
}

// explain adds a finding that makes no difference of its own.
func (s *sheet) explain(what string) {
	s.Findings = append(s.Findings, doppelboden.Finding{N: -1, What: what})
}

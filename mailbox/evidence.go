package mailbox

import (
	"time"

	"doppelboden"
)

const (
	// evidenceFor is how long a look counts.
	evidenceFor = time.Hour
	// An alarm begins when at least so many mails, and so many of a hundred, are missing:
	// people delete mail, and their rules throw it away.
	alarmMissing, alarmPercent = 3, 10
	// It ends when at least so many were looked for, and fewer of a hundred are missing.
	calmLooked, calmPercent = 5, 3
)

// A finding is what one look into a mailbox gave.
type finding struct {
	at                 time.Time // when it was looked
	looked, moved, not int       // mails: looked for; of these in other folders, and missing
	back               bool      // the mailbox went back
	first, last        time.Time // when the first and the last of what is missing were handed over
}

// Evidence is what the looks into a route's mailboxes say.
type Evidence struct {
	Mailboxes int64     `json:"mailboxes"` // that were looked into in the last hour
	Looked    int64     `json:"looked"`    // mails that were looked for
	Moved     int64     `json:"moved"`     // of these, in other folders than the inbox
	Missing   int64     `json:"missing"`   // of these, in none
	Back      int64     `json:"back"`      // mailboxes that are older than what was seen in them
	First     time.Time `json:"first,omitzero"`
	Last      time.Time `json:"last,omitzero"` // when the last of what is missing was handed over
	Alarm     bool      `json:"alarm"`
	Noticed   time.Time `json:"noticed,omitzero"` // when the alarm began
}

// A record gathers findings of a route.
type record struct {
	findings []finding // the oldest first
	alarm    bool
	noticed  time.Time
}

// add adds a finding, and what follows.
func (r *record) add(f finding) {
	r.findings = append(r.findings, f)
	e := r.sum(f.at)
	switch {
	case !r.alarm && (e.Missing >= alarmMissing && e.Missing*100 >= alarmPercent*e.Looked):
		r.alarm, r.noticed = true, f.at
	case r.alarm && e.Looked >= calmLooked && e.Missing*100 < calmPercent*e.Looked:
		r.alarm, r.noticed = false, time.Time{}
	}
}

// sum adds up the last hour. While an alarm lasts nothing is forgotten but by newer looks.
func (r *record) sum(now time.Time) Evidence {
	old := 0
	for old < len(r.findings) && now.Sub(r.findings[old].at) > evidenceFor {
		old++
	}
	if r.alarm {
		old = max(0, min(old, len(r.findings)-mostFindings))
	}
	r.findings = r.findings[old:]
	if len(r.findings) > mostFindings {
		r.findings = append([]finding(nil), r.findings[len(r.findings)-mostFindings:]...)
	}
	e := Evidence{Alarm: r.alarm, Noticed: r.noticed}
	for _, f := range r.findings {
		e.Mailboxes++
		e.Looked += int64(f.looked)
		e.Moved += int64(f.moved)
		e.Missing += int64(f.not)
		if f.back {
			e.Back++
		}
		if !f.first.IsZero() && (e.First.IsZero() || f.first.Before(e.First)) {
			e.First = f.first
		}
		if f.last.After(e.Last) {
			e.Last = f.last
		}
	}
	return e
}

// mostFindings bounds a record: more looks than this say nothing new.
const mostFindings = 10_000

// Tell says what is wrong, and the command that mends it. Its period is wider than what was
// found: not every mailbox was looked into, and a replay leaves alone what is there.
func (e Evidence) Tell(route string, now time.Time) doppelboden.Telling {
	tenant, name := parts(route)
	said := doppelboden.Tell("The groupware of route %s has lost mail that it said it took: looked for %s mails, missing: %s (taken from %s to %s; looks into mailboxes: %s). They are all still here.",
		route, e.Looked, e.Missing, e.First, e.Last, e.Mailboxes)
	from := e.First.Add(-time.Hour)
	if e.Back > 0 {
		said = said.And(doppelboden.Tell("Mailboxes that were older than before: %s; a backup was restored.", e.Back))
		from = e.First.Add(-24 * time.Hour)
	}
	return said.And(doppelboden.Tell("When it is in order again: doppelboden replay --from %s --to %s --tenant %s --route %s --preview, where --from is not later than the backup.",
		from.Local().Truncate(time.Minute).Format(time.RFC3339), now.Local().Truncate(time.Second).Format(time.RFC3339), tenant, name))
}

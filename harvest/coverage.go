package harvest

import "time"

// A Source says by which way mail comes into a part of a mailbox.
type Source string

// The sources that a part can have.
const (
	SourceNone    Source = "none"
	SourceMX      Source = "mx"      // the Internet's mail passes us
	SourceRelay   Source = "relay"   // the groupware sends through us
	SourceHairpin Source = "hairpin" // mail between colleagues passes us too
	SourceJournal Source = "journal" // the groupware reports it
	SourceSync    Source = "sync"    // its mailboxes are read
	SourceHere    Source = "here"    // the mailbox lies here and nowhere else
)

// A Part is what is known of one part of a mailbox. It is complete from Since to Until: what
// came earlier or later may be missing.
type Part struct {
	Source Source    `json:"source"`
	Since  time.Time `json:"since,omitzero"` // zero: nothing is proved
	Until  time.Time `json:"until,omitzero"` // zero, with a Since: up to now
	Why    string    `json:"why,omitzero"`   // a Reason: why it is not complete up to now; "": it is
}

// Now reports whether the part is complete up to now.
func (p Part) Now() bool { return !p.Since.IsZero() && p.Until.IsZero() }

// Reasons why a part is not complete up to now. Texts for people are made of them.
const (
	WhyNothing = "nothing_configured" // no way is configured by which it could come
	WhyFilling = "filling"            // the first reading is not over
	WhyStale   = "stale"              // it was read, but not lately
	WhyTrouble = "trouble"            // the mailbox cannot be read
	WhySilent  = "silent"             // no journal report has come for long
	WhyStopped = "stopped"            // reading is stopped, as in attack mode or an outage
)

// A Coverage is what can be said truthfully of a mailbox.
type Coverage struct {
	Inbox    Part      `json:"inbox"`            // mail from the Internet
	Sent     Part      `json:"sent"`             // what the mailbox's owner sent
	Internal Part      `json:"internal"`         // mail between colleagues
	Folders  Part      `json:"folders"`          // flags and folders
	Sync     time.Time `json:"sync,omitzero"`    // when the groupware's mailbox was last read to its end
	Trouble  string    `json:"trouble,omitzero"` // why it cannot be read; hostile text
}

// Until returns the time up to which everything that is promised for the mailbox is
// there, and whether that is now. A zero time that is not now: nothing is proved.
func (c Coverage) Until() (until time.Time, now bool) {
	now = true
	for _, p := range []Part{c.Inbox, c.Sent, c.Internal} {
		switch {
		case p.Now():
		case p.Until.IsZero():
			return time.Time{}, false
		case now || p.Until.Before(until):
			until, now = p.Until, false
		}
	}
	return until, now
}

package doppelboden

import "time"

// An Alarm is something that a person must know. It is stored first; how it travels is
// another matter. There is at most one open alarm for a kind and subject.
type Alarm struct {
	Kind    string    `json:"kind"`           // stable name, such as "disk", "clock", "ledger", "route"
	Subject string    `json:"subject"`        // what it is about, such as a route; may be empty
	Text    string    `json:"text"`           // in English: what is wrong, what becomes of mail, what to do
	Said    Telling   `json:"said,omitempty"` // the same for every language; none from a program that knew no others
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero while it lasts
}

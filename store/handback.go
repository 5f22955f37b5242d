package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"doppelboden"
)

// A Handback is how far what people did in a mailbox has gone back to the groupware. There
// is one for each mailbox of which anything ever went back, or that was opened in an event.
type Handback struct {
	Tenant  doppelboden.TenantID
	Mailbox doppelboden.MailboxID
	HandbackState
	At time.Time // when it was written
}

// A HandbackState is what is known of a Handback besides whose it is. It holds nothing that
// came with a mail. Its texts are UTF-8.
type HandbackState struct {
	Event int64     `json:"event,omitempty"` // in which it was done; 0: in none
	Since time.Time `json:"since,omitzero"`  // when the first of it was done, or the event began
	Told  int64     `json:"told,omitempty"`  // the event of which the owner was told last; 0: none
	// Opened says that somebody opened the mailbox in Event, until the owner was told.
	Opened bool `json:"opened,omitempty"`

	// Doing is what was begun, on Route, and of which nobody knows the end.
	Doing  []HandbackDoing `json:"doing,omitempty"`
	Route  string          `json:"route,omitempty"`
	Note   *HandbackNote   `json:"note,omitempty"`   // what a folder said before mails were put into it
	Letter *HandbackLetter `json:"letter,omitempty"` // a mail to the owner that is being made

	Done HandbackCounts `json:"done"`           // of Event
	Left []HandbackLeft `json:"left,omitempty"` // what could not be done, of Event
	More int            `json:"more,omitempty"` // so many more, which are not in Left
}

// A HandbackDoing is a deed that was begun. The groupware has the mail as Was says, or as
// one of Tried.
type HandbackDoing struct {
	Number  int64          `json:"number"`
	Message doppelboden.ID `json:"message"`
	Date    time.Time      `json:"date"`
	Size    int64          `json:"size"`
	Was     *Spot          `json:"was,omitempty"`
	Tried   []*Spot        `json:"tried,omitempty"` // nil in it: it was removed
}

// A HandbackNote is what a folder of the groupware said right before mails were put into it.
// When nobody knows what came of that, what lies there at UID Next and above is compared
// with them.
type HandbackNote struct {
	Folder   string  `json:"folder"`   // as the groupware names it, with "/" between its parts
	Validity uint32  `json:"validity"` // UIDVALIDITY: RFC 9051, section 2.3.1.1
	Next     uint32  `json:"next"`     // its UIDNEXT
	Numbers  []int64 `json:"numbers"`  // Deed.Number of each of the mails
}

// A HandbackLetter is a mail to the owner of a mailbox that has its ID before it is made, so
// that it is never made twice.
type HandbackLetter struct {
	ID     doppelboden.ID `json:"id"`
	Final  bool           `json:"final,omitempty"`  // it tells what became of all; else it brings what goes back
	Covers []Returned     `json:"covers,omitempty"` // what it brings
	// Kept is what the groupware refuses, which a final letter tells; More is so much more.
	Kept []HandbackLeft `json:"kept,omitempty"`
	More int            `json:"more,omitempty"`
}

// HandbackCounts counts what went back.
type HandbackCounts struct {
	Sent    int `json:"sent,omitempty"`    // mails that were sent here
	Put     int `json:"put,omitempty"`     // other mails that were put into a folder
	Flagged int `json:"flagged,omitempty"` // read marks and the like of so many mails
	Moved   int `json:"moved,omitempty"`
	Binned  int `json:"binned,omitempty"`
	Brought int `json:"brought,omitempty"` // mails that came as attachments, where there was no other way
	Listed  int `json:"listed,omitempty"`  // what was told in words alone there
}

// A HandbackLeft is something that could not be done.
type HandbackLeft struct {
	Message doppelboden.ID `json:"message"`
	Why     string         `json:"why"` // a word that package handback knows
	At      time.Time      `json:"at"`
}

// Pack writes a state as engines keep it.
func (s HandbackState) Pack() (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("pack a handback: %w", err)
	}
	return string(b), nil
}

// UnpackHandback reads what Pack wrote.
func UnpackHandback(text string) (s HandbackState, err error) {
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("read a handback: %w", err)
	}
	return s, nil
}

// Handbacks holds how far everything is on its way back to the groupware.
type Handbacks interface {
	// PutHandback replaces what is known of h.Mailbox and does what Returned does with list, in
	// one commit. It is durable when it returns. lease is as in Queue.Settle.
	PutHandback(ctx context.Context, lease Lease, h Handback, list []Returned) error

	// HandbackOf returns what is known of a mailbox. NotFound.
	HandbackOf(ctx context.Context, m doppelboden.MailboxID) (Handback, error)

	// Handbacks yields all that are known of a tenant (0: of every one), by mailbox.
	Handbacks(ctx context.Context, t doppelboden.TenantID, yield func(Handback) error) error

	// Came counts the deliveries for a mailbox of messages that came between two times.
	Came(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, from, to time.Time) (int64, error)
}

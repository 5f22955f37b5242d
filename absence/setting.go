package absence

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// Kind is that of the slip that holds a mailbox's setting; its key is empty.
	Kind = "absence"
	// KindAnswered is that of the slips that say who had an answer.
	KindAnswered = "answered"

	// MostText and MostSubject bound what people write, in bytes.
	MostText    = 16000
	MostSubject = 600

	// day is how a day is written.
	day = time.DateOnly
)

// A Setting is what somebody says about being away.
type Setting struct {
	On      bool      `json:"on"`
	From    string    `json:"from,omitempty"`    // the first day, as in 2026-12-24; empty: at once
	Until   string    `json:"until,omitempty"`   // the last day, which counts; empty: until it is switched off
	Subject string    `json:"subject,omitempty"` // one line; empty: that of the mail that is answered
	Text    string    `json:"text"`              // lines end in LF
	Since   time.Time `json:"since"`             // when it was set; mail from before is not answered
}

// What can be wrong with a setting.
var (
	ErrDay   = errors.New("a day cannot be read")
	ErrOrder = errors.New("the last day is before the first")
	ErrEmpty = errors.New("the answer has no text")
	ErrLong  = errors.New("the answer is too long, or no text")
)

// Check returns what is wrong with a setting, as one of the errors above.
func (s Setting) Check() error {
	for _, d := range []string{s.From, s.Until} {
		if _, err := time.Parse(day, d); d != "" && err != nil {
			return ErrDay
		}
	}
	switch {
	case s.From != "" && s.Until != "" && s.Until < s.From:
		return ErrOrder
	case s.On && strings.TrimSpace(s.Text) == "":
		return ErrEmpty
	case len(s.Text) > MostText || len(s.Subject) > MostSubject,
		!utf8.ValidString(s.Text+s.Subject) || strings.ContainsAny(s.Subject, "\r\n") || strings.Contains(s.Text, "\r"):
		return ErrLong
	}
	return nil
}

// Encode returns the setting as it is kept.
func (s Setting) Encode() (string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("write an absence: %w", err)
	}
	return string(text), nil
}

// Decode reads what Encode wrote.
func Decode(text string) (s Setting, err error) {
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Setting{}, fmt.Errorf("read an absence: %w", err)
	}
	return s, nil
}

// Covers reports whether mail that came at a time is answered. Days are those of the time's
// zone.
func (s Setting) Covers(at time.Time) bool {
	d := at.Format(day)
	return s.On && s.Text != "" && !at.Before(s.Since) && d >= s.From && (s.Until == "" || d <= s.Until)
}

// Over reports whether the last day is over at a time.
func (s Setting) Over(at time.Time) bool { return s.Until != "" && at.Format(day) > s.Until }

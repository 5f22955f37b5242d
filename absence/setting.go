package absence

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"doppelboden"
)

const (
	// Kind is that of the slip that holds a mailbox's setting; its key is empty.
	Kind = "absence"
	// KindAnswered is that of the slips that say who had an answer.
	KindAnswered = "answered"

	// MostText and MostSubject bound what people write, in bytes.
	MostText    = 8000
	MostSubject = 200

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

// Check says what is wrong with a setting; the code is Invalid.
func (s Setting) Check() error {
	wrong := func(public string) error {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: public}
	}
	for _, d := range []string{s.From, s.Until} {
		if _, err := time.Parse(day, d); d != "" && err != nil {
			return wrong("a day of the absence cannot be read: write it as in 24.12.2026")
		}
	}
	switch {
	case s.From != "" && s.Until != "" && s.Until < s.From:
		return wrong("the last day of the absence is before its first")
	case s.On && strings.TrimSpace(s.Text) == "":
		return wrong("the answer has no text")
	case len(s.Text) > MostText || len(s.Subject) > MostSubject:
		return wrong("the answer is too long")
	case !utf8.ValidString(s.Text+s.Subject) || strings.ContainsAny(s.Subject, "\r\n") || strings.Contains(s.Text, "\r"):
		return wrong("the answer cannot be read")
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

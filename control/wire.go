package control

import (
	"encoding/json"
	"errors"

	"doppelboden"
	"doppelboden/city"
)

// A line is one line of an answer; exactly one of its fields is set.
type line struct {
	Item     json.RawMessage `json:"item,omitempty"`
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

// Progress says how far a long command has come.
type Progress struct {
	Step string `json:"step"` // a word such as "links"
	Done int64  `json:"done"` // how many of them
}

// A failure is an error on its way to the client.
type failure struct {
	Code     string        `json:"code"`
	Text     string        `json:"text"`
	Mistakes city.Mistakes `json:"mistakes,omitempty"`
	Refusal  *city.Text    `json:"refusal,omitempty"`
}

// describe returns what the client may know of err. The socket's user runs the node,
// so it gets the cause too: without it nobody can help themselves.
func describe(err error) *failure {
	f := &failure{Code: doppelboden.CodeOf(err).String(), Text: err.Error()}
	errors.As(err, &f.Mistakes)
	var no *Refusal
	if errors.As(err, &no) {
		f.Refusal = &no.Text
	}
	return f
}

// err returns the error that the server described.
func (f *failure) err() error {
	if len(f.Mistakes) > 0 {
		return f.Mistakes
	}
	if f.Refusal != nil {
		return &Refusal{*f.Refusal}
	}
	return &doppelboden.Error{Code: codeNamed(f.Code), Public: f.Text}
}

// codeNamed is the inverse of Code.String.
func codeNamed(name string) doppelboden.Code {
	for c := doppelboden.Temporary; c <= doppelboden.Fenced; c++ {
		if c.String() == name {
			return c
		}
	}
	return doppelboden.Temporary
}

func invalid(text string) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: text}
}

func notFound(text string) error {
	return &doppelboden.Error{Code: doppelboden.NotFound, Public: text}
}

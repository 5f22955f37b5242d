package doppelboden

import (
	"fmt"
	"strings"
	"time"
)

// A Telling is what people are told, without a language yet: sentences that package say
// knows in German and English, and their values. Nothing in it is made harmless before it
// is shown.
type Telling []Sentence

// A Sentence is one or more sentences that belong together.
type Sentence struct {
	Key  string  `json:"key"` // the English text, with %s for each value
	Args []Value `json:"args,omitempty"`
}

// A Value stands in a sentence. One of its fields is set, or none for empty words.
type Value struct {
	Words  string    `json:"words,omitempty"`  // a name, a path, what somebody said
	Number *int64    `json:"number,omitempty"` // an amount
	Time   time.Time `json:"time,omitzero"`    // shown in the reader's time zone
	Length int64     `json:"length,omitempty"` // how long something lasts, in seconds
	Inner  Telling   `json:"inner,omitempty"`  // a telling of its own
}

// Tell makes a telling of one sentence. The values are words (strings, errors and what
// has a method String), numbers, times, durations and tellings. A test holds that every
// key has a German text.
func Tell(key string, values ...any) Telling {
	s := Sentence{Key: key}
	for _, v := range values {
		s.Args = append(s.Args, valueOf(v))
	}
	return Telling{s}
}

// And returns the telling with another after it.
func (t Telling) And(o Telling) Telling { return append(t[:len(t):len(t)], o...) }

// valueOf makes a value of what Tell takes.
func valueOf(v any) Value {
	switch v := v.(type) {
	case int:
		return amount(int64(v))
	case int64:
		return amount(v)
	case time.Time:
		return Value{Time: v}
	case time.Duration:
		return Value{Length: int64(v.Round(time.Second) / time.Second)}
	case Telling:
		return Value{Inner: v}
	}
	return Value{Words: fmt.Sprint(v)}
}

func amount(n int64) Value { return Value{Number: &n} }

// String returns the telling in English, as logs have it.
func (t Telling) String() string { return t.In(func(key string) string { return key }, Value.english) }

// In returns the telling in a language: text finds the text of a key, and write writes a
// value that holds no telling.
func (t Telling) In(text func(key string) string, write func(Value) string) string {
	parts := make([]string, len(t))
	for i, s := range t {
		args := make([]any, len(s.Args))
		for j, a := range s.Args {
			if len(a.Inner) > 0 {
				args[j] = a.Inner.In(text, write)
			} else {
				args[j] = write(a)
			}
		}
		if parts[i] = text(s.Key); len(args) > 0 {
			parts[i] = fmt.Sprintf(parts[i], args...)
		}
	}
	return strings.Join(parts, " ")
}

// english writes a value for logs.
func (v Value) english() string {
	switch {
	case v.Number != nil:
		return fmt.Sprint(*v.Number)
	case !v.Time.IsZero():
		return v.Time.Local().Format("2006-01-02 15:04:05")
	case v.Length != 0:
		return (time.Duration(v.Length) * time.Second).String()
	}
	return v.Words
}

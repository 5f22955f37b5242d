package control

import (
	"fmt"

	"doppelboden"
	"doppelboden/city"
)

// A Refusal says why something was not done, in a sentence that package say knows in other
// languages. Nothing was changed.
type Refusal struct{ Text city.Text }

// Error returns the sentence in English.
func (r *Refusal) Error() string { return r.Text.String() }

// Unwrap gives the refusal the code Invalid.
func (r *Refusal) Unwrap() error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: r.Text.String()}
}

// refuse makes a refusal. A test holds that every key has a German sentence.
func refuse(key string, args ...any) error {
	t := city.Text{Key: key}
	for _, a := range args {
		t.Args = append(t.Args, fmt.Sprint(a))
	}
	return &Refusal{t}
}

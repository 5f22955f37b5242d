package mailbox

import "errors"

// A doubt wraps the error of an answer that never came.
type doubt struct{ cause error }

// Error returns the cause's text.
func (d *doubt) Error() string { return "no answer: " + d.cause.Error() }

// Unwrap returns the cause.
func (d *doubt) Unwrap() error { return d.cause }

// Doubtful says of an error that nobody knows whether what was asked for was done.
func Doubtful(err error) error { return &doubt{cause: err} }

// InDoubt reports whether nobody knows if what ended with err was done.
func InDoubt(err error) bool {
	var d *doubt
	return errors.As(err, &d)
}

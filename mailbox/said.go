package mailbox

import (
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// An Answer is what a server said when it did not do what it was asked for.
type Answer struct {
	Code string // RFC 5530, such as "OVERQUOTA", or empty
	Text string // the whole answer; hostile
}

// Said returns the answer in err's tree; ok is false when there was none, because the
// server could not be reached or broke off.
func Said(err error) (a Answer, ok bool) {
	var no *imap.Error
	if !errors.As(err, &no) {
		return Answer{}, false
	}
	text := string(no.Type)
	if no.Code != "" {
		text += " [" + string(no.Code) + "]"
	}
	return Answer{Code: strings.ToUpper(string(no.Code)), Text: text + " " + no.Text}, true
}

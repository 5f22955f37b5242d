package doppelboden

import "strings"

// A Notice is an occasion to tell a sender what became of a mail: RFC 3461, section 4.1.
type Notice string

const (
	// OnSuccess asks for a DSN when the mail was delivered.
	OnSuccess Notice = "SUCCESS"
	// OnFailure asks for a DSN when the mail could not be delivered.
	OnFailure Notice = "FAILURE"
	// OnDelay allows a DSN when the mail waits for long.
	OnDelay Notice = "DELAY"
)

// Notify reports whether the sender is to be told on an occasion. notify is the value of
// NOTIFY as it came; without one, failures and delays are told (RFC 3461, section 4.1).
func Notify(notify string, on Notice) bool {
	if notify == "" {
		return on != OnSuccess
	}
	for word := range strings.SplitSeq(notify, ",") {
		if strings.EqualFold(word, string(on)) {
			return true
		}
	}
	return false
}

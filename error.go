package doppelboden

import "errors"

// A Code is the class of an Error. The zero value is Temporary: what nobody has
// classified is tried again.
type Code int

const (
	// Temporary says: not now, try again. It is also the class of everything unknown.
	Temporary Code = iota
	// Busy is a temporary refusal because we have enough to do (overload, limits).
	Busy
	// StorageFull is a temporary refusal because the disk has no room for one more
	// message and the work that follows it.
	StorageFull
	// NoSuchMailbox says that the recipient does not exist here.
	NoSuchMailbox
	// MailboxListStale says that we cannot tell whether the recipient exists.
	MailboxListStale
	// OtherTenant says that a message that already has a recipient of one tenant was
	// given one of another; it is to be sent again on its own.
	OtherTenant
	// TooManyRecipients says that the rest is to be sent in another transaction.
	TooManyRecipients
	// TenantPaused is a temporary refusal for the domains of one tenant.
	TenantPaused
	// TenantClosed is a permanent refusal for the domains of one tenant.
	TenantClosed
	// TooLarge says that the message exceeds the size we announce.
	TooLarge
	// Loop says that the message has been here too often.
	Loop
	// BadMessage says that the message cannot be carried by SMTP at all.
	BadMessage
	// Policy is a permanent refusal of what we do not do, such as relaying.
	Policy
	// Invalid says that a caller's input (a command, a file) is wrong.
	Invalid
	// NotFound says that what was asked for does not exist.
	NotFound
	// Fenced says that another node has taken over; who gets it must stop working.
	Fenced
)

// String returns the code's name as logs and metrics use it.
func (c Code) String() string {
	names := [...]string{"temporary", "busy", "storage_full", "no_such_mailbox",
		"mailbox_list_stale", "other_tenant", "too_many_recipients", "tenant_paused",
		"tenant_closed", "too_large", "loop", "bad_message", "policy", "invalid",
		"not_found", "fenced"}
	if c < 0 || int(c) >= len(names) {
		return "temporary"
	}
	return names[c]
}

// Permanent reports whether trying the same again can never help.
func (c Code) Permanent() bool {
	switch c {
	case NoSuchMailbox, TenantClosed, TooLarge, Loop, BadMessage, Policy, Invalid, NotFound:
		return true
	}
	return false
}

// An Error is what may be said to a peer. Its cause is for the log alone.
type Error struct {
	Code   Code   // the class
	Public string // one line of plain US-ASCII that a stranger may read
	Cause  error  // nil, or what went wrong in here
	// Passed is what a next server said, to be given through to the client as it is;
	// zero for none.
	Passed Reply
}

// RefusalOf returns the error that gives a next server's reply through: permanent for a 5xx,
// temporary for all else.
func RefusalOf(r Reply) error {
	code := Temporary
	switch {
	case r.Code/100 == 5 && r.Enhanced == "5.1.1":
		code = NoSuchMailbox
	case r.Code/100 == 5:
		code = Policy
	}
	return &Error{Code: code, Public: "the next server refuses it", Passed: r}
}

// PassedOf returns the reply of a next server in err's tree that is to be given through,
// or the zero Reply.
func PassedOf(err error) Reply {
	var e *Error
	if errors.As(err, &e) {
		return e.Passed
	}
	return Reply{}
}

// Error returns the public text and the cause; it is for logs, never for a peer.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Public
	}
	return e.Public + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf returns the code of the Error in err's tree, or Temporary: what we do not
// understand, we try again.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Temporary
}

// PublicOf returns the text of the Error in err's tree that a stranger may read, or a
// sentence that tells nothing.
func PublicOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Public != "" {
		return e.Public
	}
	return "temporary problem, please try again"
}

package scan

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf8"

	"doppelboden"
)

// A Mail is what scanners are shown. All of its texts may be hostile.
type Mail struct {
	ID         string   // our id, which scanners log
	Peer       string   // the client's IP address, or empty
	PeerName   string   // its name in the DNS, or empty
	Helo       string   // what it calls itself, or empty
	User       string   // who logged in, or empty
	Sender     string   // reverse-path without brackets; empty when it is null
	Recipients []string // as RCPT named them

	// MustTake says that nothing is refused: what would be is held or marked.
	MustTake bool

	Size int64 // of the body, in bytes
	// Open reads the body as it came. It is called by several goroutines.
	Open func() (io.ReadCloser, error)
}

// mailOf describes a message that is kept.
func mailOf(m *doppelboden.Message, open func() (io.ReadCloser, error)) *Mail {
	mail := &Mail{ID: m.ID.String(), Peer: m.Peer, Helo: m.Helo, Sender: m.Sender.String(), Size: m.Body.Size, Open: open}
	if m.Door == "submission" {
		mail.User = "own" // whoever it was: rspamd asks only whether somebody logged in
	}
	for i := range m.Deliveries {
		mail.Recipients = append(mail.Recipients, m.Deliveries[i].Recipient.String())
	}
	return mail
}

// A mailError says that the mail could not be read, which is no scanner's fault.
type mailError struct{ err error }

func (e *mailError) Error() string { return e.err.Error() }
func (e *mailError) Unwrap() error { return e.err }

// What a scanner that works may say instead of a verdict.
var (
	errTooLarge = errors.New("the mail is too large for the scanner")
	errLater    = errors.New("the scanner asks to try again later")
)

// largeMail is the size above which a mail may be too large for a scanner, in bytes. No
// scanner in use takes less.
const largeMail = 1 << 20

// brokeOff joins the errors of sending a mail and of reading the answer. A scanner that
// ends the connection in the middle of a large mail does not want so much: rspamd says
// it in no other way. It must not count as dead, or a few large mails would stop the
// scanning of all others.
func brokeOff(m *Mail, sending, reading error) error {
	ended := sending != nil || errors.Is(reading, syscall.ECONNRESET) // we may have sent all of it by then
	if ended && m.Size > largeMail && !timedOut(sending) && !timedOut(reading) {
		return fmt.Errorf("%w: it ended the connection in the middle of it", errTooLarge)
	}
	return errors.Join(sending, reading)
}

// chunks holds buffers for a head and a piece of a mail.
var chunks = sync.Pool{New: func() any {
	b := make([]byte, chunkSize+64)
	return &b
}}

// mostSaid bounds what we repeat of a scanner's words, in bytes.
const mostSaid = 120

// brief returns the beginning of what a scanner said, in one line without control
// characters, for logs and for the reason of a quarantine.
func brief(said []byte) string {
	s := string(said[:min(len(said), mostSaid)])
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(said) > mostSaid {
		s += "…"
	}
	return s
}

// line returns s without the characters that would end a header field of HTTP, and not
// longer than any name or address is.
func line(s string) string {
	s = s[:min(len(s), 1000)]
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

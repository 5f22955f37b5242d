// Package load sends mail to a server as a city receives it, and remembers what was
// said about every single mail.
//
// It takes a source of mails and an address. It promises one record for each mail it
// began to send: which recipients were taken, what the answer to the final dot was and
// how long it took, or that none came. It never sends a mail twice, never guesses what
// became of a mail, and ends after the number of mails or the time it was given.
//
// Its Receiver stands at the other end and records what arrives, in which order, and
// whether it is byte for byte what was sent. Nothing here uses the code under test.
package load

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"unicode/utf8"
)

// idHeader begins the first line of every mail. What a receiver finds above it was
// added on the way.
const idHeader = "X-Load-Id: "

// A Mail is one message to be sent.
type Mail struct {
	ID    string   // unique within a source and its seed
	From  string   // reverse-path without angle brackets; empty: the null path
	To    []string // recipients, at least one
	Data  []byte   // header and body with CRLF; its first line is X-Load-Id
	Sum   [32]byte // SHA-256 of Data; zero in mails of a Fixed, which save that work
	ready []byte   // what Prepare made
}

// NewMail makes a mail of a header and body with CRLF, to which it adds the line with
// the id.
func NewMail(id, from string, to []string, content []byte) *Mail {
	m := newMail(id, from, to, content)
	m.Sum = sha256.Sum256(m.Data)
	return m
}

func newMail(id, from string, to []string, content []byte) *Mail {
	data := make([]byte, 0, len(idHeader)+len(id)+2+len(content))
	data = append(data, idHeader+id+"\r\n"...)
	return &Mail{ID: id, From: from, To: to, Data: append(data, content...)}
}

// UTF8 reports whether the mail needs SMTPUTF8 (RFC 6531): an address or a header line
// is not US-ASCII.
func (m *Mail) UTF8() bool {
	header, _, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	return !isASCII(m.From) || !isASCII(strings.Join(m.To, "")) || !isASCII(string(header))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Prepare does the work of sending m that can be done before.
func (m *Mail) Prepare() { m.ready = m.wire() }

// wire returns the data as DATA has it: dots doubled (RFC 5321, section 4.5.2), with
// the final dot.
func (m *Mail) wire() []byte {
	if m.ready != nil {
		return m.ready
	}
	data := m.Data
	if bytes.Contains(data, []byte("\r\n.")) || bytes.HasPrefix(data, []byte(".")) {
		data = bytes.ReplaceAll(data, []byte("\r\n."), []byte("\r\n.."))
		if data[0] == '.' {
			data = append([]byte("."), data...)
		}
	}
	out := make([]byte, 0, len(data)+5)
	out = append(out, data...)
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

// A Source makes mails. Mail(n) may be called by several goroutines and returns the
// same mail for the same n, but for the time in a DKIM signature.
type Source interface {
	Mail(n int) *Mail
}

// An Only is a source of one mail.
type Only struct{ M *Mail }

// Mail returns it.
func (o Only) Mail(int) *Mail { return o.M }

// A Fixed is a source of small equal mails that costs next to nothing to make. Mail n
// goes to mailbox n modulo their number.
type Fixed struct {
	prefix string
	from   string
	to     []string
	body   []byte
}

// NewFixed returns a source of mails with size octets in all. prefix makes the ids of
// one run differ from another's.
func NewFixed(prefix, from string, to []string, size int) *Fixed {
	body := bytes.NewBufferString("Subject: bench\r\n\r\n")
	line := []byte(strings.Repeat("x", 70) + "\r\n")
	for body.Len() < size {
		body.Write(line[max(0, len(line)-(size-body.Len())):])
	}
	return &Fixed{prefix: prefix, from: from, to: to, body: body.Bytes()}
}

// Mail returns the n-th mail.
func (f *Fixed) Mail(n int) *Mail {
	return newMail(f.prefix+"-"+itoa(n), f.from, f.to[n%len(f.to):n%len(f.to)+1], f.body)
}
